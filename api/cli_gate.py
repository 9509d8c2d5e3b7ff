"""``mien gate ask`` for scripts, ``mien gate envoy`` for a proxy, and ``mien conformance`` for who integrates one."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consent.terms import Purpose

if TYPE_CHECKING:
    from consent.job import Job
    from mien.conformance import Verdict
    from mien.gate import GateProblem, Permitted, Refused
    from mien.proof import ProofKey

_DEFAULT_REQUEST = {"prompt": "conformance", "purpose": "cameo", "tokens": ["conformance-token"], "seconds": 2}


class GateUnavailable(Exception):
    """The gate did not answer, or the call was not one that it takes. One line, for the terminal."""

    def __init__(self, problem: GateProblem) -> None:
        super().__init__(problem.detail or f"the gate answered {problem.status or 'nothing'}")
        self.code = problem.code


class ExtraMissing(Exception):
    """A part that is installed by itself is not there."""

    code = "extra_missing"


def add_ask_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", required=True, help="address of the gate")
    parser.add_argument("--backend", required=True, metavar="NAME", help="this generator's name")
    parser.add_argument("--key-file", required=True, metavar="FILE", help="file with this generator's API key")
    parser.add_argument("--proof-key", metavar="PEM", help="its own key (P-256 or Ed25519), if it registered one")
    parser.add_argument("--purpose", required=True, choices=[purpose.value for purpose in Purpose])
    parser.add_argument("--token", action="append", default=[], metavar="FILE", help="a consent token; once a person")
    parser.add_argument("--media", action="append", default=[], metavar="FILE", help="a picture or video that goes in")
    parser.add_argument(
        "--job", required=True, metavar="JSON", help="file: {prompt, parameters}; media are added to it"
    )
    parser.add_argument("--seconds", type=int, metavar="N", help="length of the clip")
    parser.add_argument("--script", metavar="FILE", help="the words that will be said or shown")


def ask(options: argparse.Namespace) -> int:
    """Ask once; the answer as JSON. Exit 0 permitted, 1 refused."""
    from consent.job import read_job
    from mien.gate import Permitted

    stated = read_job(json.loads(_text(options.job)))
    pictures = [Path(name).read_bytes() for name in options.media]
    answer = asyncio.run(_ask(options, stated, pictures, [_text(name).strip() for name in options.token]))
    if isinstance(answer, Permitted):
        shown: dict[str, Any] = {
            "decision": True,
            "permit": answer.permit,
            "permit_id": answer.permit_id,
            "job_sha256": answer.job_sha256,
            "expires_at": answer.expires_at,
            "obligations": dict(answer.obligations),
        }
    else:
        reasons = [{"code": reason.code} | dict(reason.more) for reason in answer.reasons]
        shown = {"decision": False, "reasons": reasons}
    sys.stdout.write(json.dumps(shown | {"attempt_id": answer.attempt_id}, indent=2) + "\n")
    return 0 if isinstance(answer, Permitted) else 1


async def _ask(
    options: argparse.Namespace, stated: Job, pictures: list[bytes], tokens: list[str]
) -> Permitted | Refused:
    from consent.job import Job
    from mien.gate import GATE_UNAVAILABLE, Gate, GateProblem, Refused

    more: dict[str, Any] = {} if options.seconds is None else {"seconds": options.seconds}
    if options.script is not None:
        more["script"] = _text(options.script)
    async with Gate(
        options.url, api_key=_text(options.key_file).strip(), backend=options.backend, proof_key=_proof_key(options)
    ) as gate:
        try:
            media = [await gate.hand_in(picture) for picture in pictures]
            digests = (*stated.media, *(one.sha256 for one in media))
            job = Job(prompt=stated.prompt, media=digests, parameters=stated.parameters)
            return await gate.ask(
                job, purpose=options.purpose, tokens=tokens, media=[one.media_id for one in media], **more
            )
        except GateProblem as problem:
            if problem.code == GATE_UNAVAILABLE:
                return Refused(reasons=())
            raise GateUnavailable(problem) from None


def _proof_key(options: argparse.Namespace) -> ProofKey | None:
    from mien.proof import ProofKey

    return None if options.proof_key is None else ProofKey.from_pem(_text(options.proof_key))


def _text(name: str) -> str:
    return Path(name).read_text(encoding="utf-8")


def add_envoy_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", required=True, help="address of the gate")
    parser.add_argument("--backend", required=True, metavar="NAME", help="this generator's name")
    parser.add_argument("--key-file", required=True, metavar="FILE", help="file with this generator's API key")
    parser.add_argument("--proof-key", metavar="PEM", help="its own key (P-256 or Ed25519), if it registered one")
    parser.add_argument("--listen", default="127.0.0.1:9191", metavar="HOST:PORT", help="where the proxy asks")


def stand_beside_envoy(options: argparse.Namespace) -> int:
    """Answer a proxy until stopped."""
    try:
        from mien.envoy import serve
    except ImportError:
        raise ExtraMissing("this needs grpclib: pip install 'mien[envoy]'") from None
    from mien.gate import Gate

    host, _, port = options.listen.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("--listen is HOST:PORT")
    gate = Gate(
        options.url, api_key=_text(options.key_file).strip(), backend=options.backend, proof_key=_proof_key(options)
    )

    def ready() -> None:
        sys.stdout.write(f"answering Envoy's ext_authz (gRPC) on {options.listen}\n")
        sys.stdout.flush()

    async def served() -> None:
        async with gate:
            await serve(gate, host=host, port=int(port), ready=ready)

    asyncio.run(served())
    return 0


def add_conformance_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", help="where your integration is asked to generate (POST)")
    parser.add_argument(
        "--gate-port", type=int, default=8791, metavar="PORT", help="where the stub gate listens on 127.0.0.1 (8791)"
    )
    parser.add_argument("--request", metavar="FILE", help="body of the call; default: a small JSON")
    parser.add_argument("--content-type", default="application/json", help="of that body")
    parser.add_argument(
        "--with-permit",
        action="store_true",
        help="the call brings the permit (mien.asgi, a proxy); it asks nothing itself",
    )
    parser.add_argument("--case", action="append", metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--json", metavar="FILE", help="write the verdicts here too")


def check_integration(options: argparse.Namespace) -> int:
    """Every case, a line each. Exit 0 when all passed, 1 when not."""
    from mien import conformance

    body = json.dumps(_DEFAULT_REQUEST).encode() if options.request is None else Path(options.request).read_bytes()
    known = conformance.WITH_PERMIT if options.with_permit else conformance.CASES
    cases = [case for case in known if options.case is None or case.name in options.case]
    if not cases or len(cases) < len(set(options.case or ())):
        raise ValueError(f"the cases are {', '.join(case.name for case in known)}")

    def told(verdict: Verdict) -> None:
        mark = "pass" if verdict.passed else "FAIL"
        sys.stdout.write(f"{mark}  {verdict.case:<16}{verdict.why}\n")
        sys.stdout.flush()

    with conformance.StubGate.serving(port=options.gate_port) as gate:
        sys.stdout.write(f"the gate of your integration: {gate.url}, API key: {conformance.API_KEY}\n")
        sys.stdout.flush()
        found = conformance.run(
            options.url,
            gate=gate,
            body=body,
            content_type=options.content_type,
            cases=cases,
            with_permit=options.with_permit,
            told=told,
        )
    if options.json is not None:
        written = {"url": options.url, "cases": [verdict.to_json() for verdict in found]}
        Path(options.json).write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    return 0 if all(verdict.passed for verdict in found) else 1
