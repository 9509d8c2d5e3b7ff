"""The gate as a generator calls it: ask, redeem, fetch references, hand the clip in.

Fails closed. :meth:`Gate.ask` answers with :class:`Permitted` only for an answer that says so in every part: HTTP 200, the
boolean ``true``, and a permit; an error, a timeout, half an answer or an answer of another form is :class:`Refused` with
``gate_unavailable``. A question that is malformed raises :class:`GateProblem`, which is the caller's to mend.

Nothing is retried: a permit that may have been spent is not spent again, and a question that may have been answered can be
asked anew. Times are of a whole call: a gate that answers a byte a second is silent.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import httpx

from consent.job import Job, job_sha256
from mien.proof import ProofKey

_ASK_S = 5.0
_MEDIA_S = 120.0  # a clip goes up and is looked at
_MARKING_S = 600.0  # and is written again with its marks: some two seconds for each of its own
GATE_UNAVAILABLE = "gate_unavailable"


class GateProblem(Exception):
    """The gate would not take a call. ``code`` as documented; ``status`` of the answer, 0 when none came."""

    def __init__(self, code: str, *, status: int = 0, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.status, self.detail = code, status, detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """One reason of a refusal."""

    code: str
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """No. Whoever goes on now goes on without consent."""

    reasons: tuple[Why, ...]
    attempt_id: str | None = None

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(reason.code for reason in self.reasons))


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """Yes, for this job, once, for a few minutes."""

    permit: str = field(repr=False)
    permit_id: str
    job_sha256: str
    expires_at: str
    obligations: Mapping[str, Any]
    attempt_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """Something that was handed in, and who was found in it."""

    media_id: str
    sha256: str
    kind: str
    faces: tuple[Mapping[str, Any], ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A picture of a person of a permit. Must be gone by ``delete_by``."""

    consent_id: str
    subject_id: str
    content: bytes = field(repr=False)
    media_type: str
    delete_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """Whether a finished clip may leave; where not, why. ``clip``: the file that may, where the gate was to mark it."""

    release: bool
    code: str | None
    reasons: tuple[Why, ...]
    clip: bytes | None = field(default=None, repr=False)


class Gate:
    """A gate at an address. Use it as ``async with Gate(...)``.

    backend : this generator's name, as its API key has it. proof_key : with it tokens and permits are worth nothing to others,
    and references can be had; ``None`` where the gate knows no key of this generator.
    client : an HTTP client to use instead of an own one, which is then not closed here.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        backend: str,
        proof_key: ProofKey | None = None,
        client: httpx.AsyncClient | None = None,
        ask_s: float = _ASK_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url, self._backend, self._proof_key, self._ask_s = url.rstrip("/"), backend, proof_key, ask_s
        self._api_key, self._clock = api_key, clock
        self._client = httpx.AsyncClient(follow_redirects=False) if client is None else client
        self._own = client is None

    async def __aenter__(self) -> Gate:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own:
            await self._client.aclose()

    async def register(self) -> str:
        """Register the proof key with the gate: tokens and permits are then bound to it. Gives its thumbprint.

        Raises: GateProblem; ``key_mismatch`` when another key is registered.
        """
        if self._proof_key is None:
            raise GateProblem("dpop_missing", detail="there is no proof key to register")
        await self._called("PUT", "/v1/backends/self/key", within_s=self._ask_s)
        return self._proof_key.thumbprint

    async def hand_in(self, content: bytes, *, output: bool = False) -> Media:
        """Hand in a picture, video or sound that a job uses; or a finished clip. Raises: GateProblem."""
        digest = b64encode(hashlib.sha256(content).digest()).decode()
        answer = await self._called(
            "POST",
            "/v1/media",
            content=content,
            params={"output": "true"} if output else None,
            headers={"Content-Digest": f"sha-256=:{digest}:", "Content-Type": "application/octet-stream"},
            within_s=_MEDIA_S,
        )
        return _media(answer)

    async def fetch(self, url: str, *, sha256: str | None = None) -> Media:
        """Have the gate fetch media from an address; :meth:`content` gives what it looked at. Raises: GateProblem."""
        body = {"url": url} | ({} if sha256 is None else {"sha256": sha256})
        return _media(await self._called("POST", "/v1/media/from-address", json=body, within_s=_MEDIA_S))

    async def content(self, media_id: str) -> bytes:
        """The bytes that the gate looked at. Raises: GateProblem."""
        return (await self._called("GET", f"/v1/media/{media_id}/content", within_s=_MEDIA_S)).content

    async def ask(
        self,
        job: Job | str,
        *,
        purpose: str,
        tokens: Sequence[str],
        media: Sequence[str] = (),
        embeddings: Sequence[Mapping[str, Any]] = (),
        handles: Sequence[str] = (),
        voices: Sequence[Mapping[str, Any]] = (),
        job_id: str = "job",
        seconds: int | None = None,
        script: str | None = None,
        maker: str | None = None,
        categories: Sequence[str] | None = None,
        territories: Sequence[str] | None = None,
    ) -> Permitted | Refused:
        """May this be made? ``job``: what is to be made, or its hash. What is not stated is left out: where a person limited
        it, the answer is no. ``categories=()``: none of them.

        Raises:
            GateProblem: when the question was malformed, or this generator's key is not taken.
        """
        digest = job if isinstance(job, str) else job_sha256(job)
        stated: dict[str, Any] = {"purpose": purpose, "job_sha256": digest, "seconds": seconds, "script": script}
        stated |= {
            "maker": maker,
            "categories": None if categories is None else list(categories),
            "territories": None if territories is None else list(territories),
        }
        stated = {name: value for name, value in stated.items() if value is not None}
        if isinstance(job, Job):
            stated["job"] = job.to_json()
        question = {
            "subject": {"type": "backend", "id": self._backend},
            "action": {"name": "generate"},
            "resource": {
                "type": "likeness",
                "id": job_id,
                "properties": {
                    "consent_tokens": list(tokens),
                    "media": list(media),
                    "embeddings": list(embeddings),
                    "handles": list(handles),
                    "voices": list(voices),
                },
            },
            "context": stated,
        }
        try:
            answer = await self._called(
                "POST", "/access/v1/evaluation", tokens=tokens, json=question, within_s=self._ask_s
            )
        except GateProblem as problem:
            if 400 <= problem.status < 500 and problem.status not in (408, 425, 429):
                raise
            return Refused(reasons=(Why(code=GATE_UNAVAILABLE),))
        return _answer(answer, digest)

    async def redeem(self, permit: Permitted) -> Mapping[str, Any]:
        """Spend a permit, right before the work; gives its obligations. Once. Raises: GateProblem."""
        body = {"permit": permit.permit, "job_sha256": permit.job_sha256}
        answer = await self._called(
            "POST", "/v1/permits/redeem", tokens=[permit.permit], json=body, within_s=self._ask_s
        )
        obligations = _object(answer).get("obligations")
        if not isinstance(obligations, dict):
            raise GateProblem(GATE_UNAVAILABLE, status=answer.status_code)
        return obligations

    @asynccontextmanager
    async def work(self, permit: Permitted) -> AsyncIterator[Work]:
        """Spend a permit and work under it. Raises: GateProblem; nothing may then be made."""
        yield Work(gate=self, permit=permit, obligations=await self.redeem(permit))

    async def references(self, permit: Permitted) -> tuple[Reference, ...]:
        """The pictures that a redeemed permit releases; each is shown to its person as given out. Raises: GateProblem."""
        path = f"/v1/permits/{permit.permit_id}/references"
        listed = _object(await self._called("GET", path, within_s=self._ask_s))
        found = []
        for one in _listed(listed):
            picture = await self._called("GET", f"{path}/{one['consent_id']}", within_s=_MEDIA_S)
            found.append(
                Reference(
                    consent_id=one["consent_id"],
                    subject_id=one["subject_id"],
                    content=picture.content,
                    media_type=picture.headers.get("Content-Type", ""),
                    delete_by=str(listed.get("delete_by", "")),
                )
            )
        return tuple(found)

    async def complete(
        self,
        permit: Permitted,
        clip: bytes,
        *,
        handles: Sequence[str] = (),
        mark: bool = False,
        made_by: str | None = None,
    ) -> Released:
        """Hand the clip in. It may leave only where :attr:`Released.release` is true. Raises: GateProblem; it may not.

        mark : it has no marks yet; the gate puts label, watermark and manifest on it, and what may leave is
        :attr:`Released.clip`, and nothing else. made_by : ``name@version`` of the generator, for the manifest.
        """
        media = await self.hand_in(clip, output=True)
        body: dict[str, Any] = {
            "permit": permit.permit,
            "output_sha256": media.sha256,
            "output": media.media_id,
            "handles": list(handles),
        }
        if mark:
            body |= {"mark": True} | ({} if made_by is None else {"made_by": made_by})
        noted = _object(
            await self._called(
                "POST",
                "/v1/permits/complete",
                tokens=[permit.permit],
                json=body,
                within_s=_MARKING_S if mark else _MEDIA_S,
            )
        )
        release, marked = noted.get("release") is True, None
        if release and mark:
            marked = await self.content(str(noted.get("output")))
            if hashlib.sha256(marked).hexdigest() != noted.get("output_sha256"):
                raise GateProblem(GATE_UNAVAILABLE, detail="another clip came back than the gate marked")
        return Released(release=release, code=noted.get("code"), reasons=_reasons(noted.get("reasons")), clip=marked)

    async def _called(
        self, method: str, path: str, *, tokens: Sequence[str] = (), within_s: float, **more: Any
    ) -> httpx.Response:
        """Raises: GateProblem, for whatever is not a success."""
        headers = {"Authorization": f"Bearer {self._api_key}"} | more.pop("headers", {})
        if self._proof_key is not None:
            headers["DPoP"] = self._proof_key.prove(method, self._url + path, tokens, clock=self._clock)
        try:
            async with asyncio.timeout(
                within_s
            ):  # for all of it: one that says a byte a second is as silent as one that hangs
                answer = await self._client.request(method, self._url + path, headers=headers, timeout=within_s, **more)
        except (httpx.HTTPError, TimeoutError) as error:
            raise GateProblem(GATE_UNAVAILABLE, detail=type(error).__name__) from error
        if not answer.is_success:
            told = _problem(answer)
            raise GateProblem(
                str(told.get("code", GATE_UNAVAILABLE)), status=answer.status_code, detail=str(told.get("detail", ""))
            )
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Work under a permit that was spent."""

    gate: Gate = field(repr=False)
    permit: Permitted
    obligations: Mapping[str, Any]

    async def references(self) -> tuple[Reference, ...]:
        return await self.gate.references(self.permit)

    async def complete(
        self, clip: bytes, *, handles: Sequence[str] = (), mark: bool = False, made_by: str | None = None
    ) -> Released:
        return await self.gate.complete(self.permit, clip, handles=handles, mark=mark, made_by=made_by)


def _answer(answer: httpx.Response, digest: str) -> Permitted | Refused:
    """What the gate said; whatever is not plainly a yes is a no."""
    try:
        said = _object(answer)
    except GateProblem:
        return Refused(reasons=(Why(code=GATE_UNAVAILABLE),))
    context = said.get("context")
    context = context if isinstance(context, dict) else {}
    attempt_id = context.get("attempt_id")
    permit, permit_id = context.get("permit"), context.get("permit_id")
    if said.get("decision") is True and isinstance(permit, str) and isinstance(permit_id, str):
        return Permitted(
            permit=permit,
            permit_id=permit_id,
            job_sha256=digest,
            expires_at=str(context.get("expires_at", "")),
            obligations=context.get("obligations") or {},
            attempt_id=attempt_id,
        )
    reasons = _reasons(context.get("reasons")) if said.get("decision") is False else ()
    return Refused(reasons=reasons or (Why(code=GATE_UNAVAILABLE),), attempt_id=attempt_id)


def _reasons(listed: object) -> tuple[Why, ...]:
    if not isinstance(listed, list):
        return ()
    return tuple(
        Why(code=str(one["code"]), more={name: value for name, value in one.items() if name != "code"})
        for one in listed
        if isinstance(one, dict) and "code" in one
    )


def _listed(said: Mapping[str, Any]) -> list[dict[str, str]]:
    """The references of an answer. Raises: GateProblem, when there is none that can be asked for."""
    listed = said.get("references")
    if not isinstance(listed, list) or not all(
        isinstance(one, dict) and all(isinstance(one.get(name), str) for name in ("consent_id", "subject_id"))
        for one in listed
    ):
        raise GateProblem(GATE_UNAVAILABLE, status=200, detail="not the answer of a gate")
    return listed


def _media(answer: httpx.Response) -> Media:
    taken = _object(answer)
    if not {"media_id", "sha256", "kind"} <= taken.keys():
        raise GateProblem(GATE_UNAVAILABLE, status=answer.status_code, detail="not the answer of a gate")
    return Media(
        media_id=str(taken["media_id"]),
        sha256=str(taken["sha256"]),
        kind=str(taken["kind"]),
        faces=tuple(taken.get("faces", ())),
    )


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise GateProblem(GATE_UNAVAILABLE, status=answer.status_code, detail="not the answer of a gate")
    return said


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        return _object(answer)
    except GateProblem:
        return {}
