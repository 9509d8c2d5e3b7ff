"""An API process on stand-in models that listens on a port, for tests and benchmarks with several of them.

``python -m tests.api.serving_process URL VAR KEYS PORT``. It ends when its standard input closes.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn

from api.app import create_app, open_service
from api.database import Database, new_engine
from api.engines import Bounded, FaceEngines
from api.service import log_to_stderr
from api.settings import Settings
from api.worker import stop_with_parent
from liveness.digits import Language
from tests.api.conftest import ColourFinder
from tests.api.scripted import ColourEmbedder


def main(url: str, var: str, keys: str, port: str) -> None:
    log_to_stderr()
    stop_with_parent()
    faces = FaceEngines(
        finder=ColourFinder(), embedder=ColourEmbedder(), languages=frozenset({Language.ENGLISH}), bound=Bounded(1)
    )
    settings = Settings(database_url=url, var=Path(var), keys=Path(keys))
    # the protocol is named as in `mien serve`, or every answer waits for Nagle's algorithm
    address = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    address.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    address.bind(("127.0.0.1", int(port)))
    address.listen(256)
    with open_service(settings, faces=faces, database=Database(url, new_engine(url), url)) as service:
        config = uvicorn.Config(create_app(service), log_level="error", access_log=False, timeout_keep_alive=60)
        uvicorn.Server(config).run(sockets=[address])


if __name__ == "__main__":
    main(*sys.argv[1:])
