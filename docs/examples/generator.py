"""A generator behind the gate. No call reaches ``generate`` without a permit for that very call, and no clip leaves that the
gate did not see.

    MIEN_GATE=https://mien.example MIEN_GATE_KEY=mien_backend_... MIEN_GATE_PROOF_KEY=key.pem uvicorn generator:app --port 9000

Whoever calls it asked the gate first, for the job {"parameters": {"method": "POST", "path": "/generate", "body": {...}}}, and
sends the permit as ``Mien-Permit``.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import av
import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from mien import Gate, GateProblem, ProofKey, Reference
from mien.asgi import PermitRequired

_pem = os.environ.get("MIEN_GATE_PROOF_KEY")
gate = Gate(
    os.environ["MIEN_GATE"],
    api_key=os.environ["MIEN_GATE_KEY"],
    backend="studio",
    proof_key=None if _pem is None else ProofKey.from_pem(Path(_pem).read_text(encoding="ascii")),
)
behind = FastAPI()


class Order(BaseModel):
    prompt: str
    seconds: int = 2


@behind.post("/generate")
async def generate(order: Order, request: Request) -> Response:
    permit = request.scope["mien.permit"]  # spent by now: this call is the work that it was for
    seconds = min(order.seconds, request.scope["mien.obligations"]["max_seconds"])
    try:
        clip = draw(order.prompt, seconds, await gate.references(permit))
        released = await gate.complete(permit, clip, mark=True, made_by="grey@1")
    except GateProblem as problem:  # what the gate did not let out stays here
        return JSONResponse({"code": problem.code}, status_code=503)
    if not released.release or released.clip is None:
        return JSONResponse({"code": released.code}, status_code=451)
    return Response(released.clip, media_type="video/mp4")  # with label, watermark and manifest; never the raw one


def draw(prompt: str, seconds: int, people: tuple[Reference, ...]) -> bytes:
    """Your model stands here. This one draws grey pictures."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(24 * seconds):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 100 + number % 50, np.uint8), "rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return out.getvalue()


app = PermitRequired(behind, gate=gate, paths=("/generate",))
