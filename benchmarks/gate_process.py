"""An API process as ``mien serve`` runs it, without models, and beside it an empty route of a bare FastAPI application.

``python -m benchmarks.gate_process URL VAR KEYS PORT``; with no PORT, what a worker does beside it for the gate: it settles
the books. It ends when its standard input closes.
"""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path
from typing import cast

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from api.app import create_app, open_service
from api.books import settling
from api.database import Database, new_engine
from api.engines import Bounded, FaceEngines, WhenNeeded
from api.serve import keep_pauses_short, server_config
from api.service import log_to_stderr
from api.settings import Settings
from api.worker import stop_with_parent
from benchmarks.people import CONTRACT
from liveness.capture import RgbImage
from liveness.errors import EngineError
from liveness.evidence import FaceFinder
from liveness.template import FaceTemplate


class NoEmbedder:
    """Knows which embeddings are of its kind, and makes none."""

    contract_id = CONTRACT
    model_version = "bench"

    def embed(self, image: RgbImage, points: object) -> FaceTemplate:
        raise EngineError("benchmarks open no model")


def bench_faces() -> FaceEngines:
    """Engines that are asked for nothing but the contract of embeddings."""

    def none() -> object:
        raise EngineError("benchmarks open no model")

    finder = cast("FaceFinder", WhenNeeded(none))
    return FaceEngines(finder=finder, embedder=NoEmbedder(), languages=frozenset(), bound=Bounded(1))


class _Vector(BaseModel):
    vector: list[float]


def beside_an_empty_route(app: ASGIApp) -> ASGIApp:
    """``POST /empty`` takes 512 floats and answers with how many; everything else is for ``app``."""
    bare = FastAPI(openapi_url=None)

    @bare.post("/empty")
    async def empty(body: _Vector) -> dict[str, int]:
        return {"floats": len(body.vector)}

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        await (bare if scope.get("path") == "/empty" else app)(scope, receive, send)

    return either


def main(url: str, var: str, keys: str, port: str | None = None) -> None:
    """Serve, or settle, until the parent is gone."""
    log_to_stderr()
    stop_with_parent()
    settings = Settings(database_url=url, var=Path(var), keys=Path(keys))
    with open_service(settings, faces=bench_faces(), database=Database(url, new_engine(url), url)) as service:
        if port is None:
            with settling(service):
                threading.Event().wait()
            return
        address = _address(int(port))
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        keep_pauses_short()
        config = server_config(beside_an_empty_route(create_app(service)))
        uvicorn.Server(config).run(sockets=[address])


def _address(port: int) -> socket.socket:
    address = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    address.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    address.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as ``mien serve --api-only`` does
    address.bind(("127.0.0.1", port))
    address.listen(256)
    return address


if __name__ == "__main__":
    main(*sys.argv[1:])
