"""Mien for generators: ask the gate, use its permits, and let nothing through without one.

    from mien import Gate, Job, Permitted, ProofKey

    async with Gate("https://mien.example", api_key=key, backend="studio", proof_key=ProofKey.from_pem(pem)) as gate:
        answer = await gate.ask(job, tokens=[token], media=[photo.media_id], purpose="cameo", seconds=10)
        if isinstance(answer, Permitted):
            async with gate.work(answer) as work:
                portraits = await work.references()
                ...
                release = await work.complete(clip)

Needs nothing of the service: only an HTTP client and a library for keys. Whatever fails on the way is a no.
"""

from __future__ import annotations

from consent.job import Job, job_of_request, job_sha256
from mien.gate import Gate, GateProblem, Media, Permitted, Reference, Refused, Released, Why, Work
from mien.proof import ProofKey

__all__ = [
    "Gate",
    "GateProblem",
    "Job",
    "Media",
    "Permitted",
    "ProofKey",
    "Reference",
    "Refused",
    "Released",
    "Why",
    "Work",
    "job_of_request",
    "job_sha256",
]
