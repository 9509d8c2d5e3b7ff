"""Whoever orders a clip of the generator in generator.py: asks the gate for that very call, and sends the permit along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from mien import Gate, Permitted, Refused, job_of_request


async def order(
    gate: Gate, client: httpx.AsyncClient, body: Mapping[str, Any], *, tokens: Sequence[str], media: Sequence[str]
) -> httpx.Response | Refused:
    """The generator's answer; or why the gate said no, and then nobody was asked to make anything."""
    job = job_of_request("POST", "/generate", dict(body))
    answer = await gate.ask(job, purpose="digital_double", tokens=tokens, media=media, seconds=body["seconds"])
    if not isinstance(answer, Permitted):
        return answer
    return await client.post("/generate", json=body, headers={"Mien-Permit": answer.permit}, timeout=120)
