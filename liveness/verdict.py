"""From check results to ``Live`` or ``NotLive``.

``judge`` is the only maker of a ``Live``. Nothing is live by default: no results, a missing check, a failed check and a
check that could not judge are all ``NotLive``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from liveness.challenge import Challenge, Reveal
from liveness.policy import Assurance, LivenessPolicy, Path
from liveness.reasons import Reason


class Outcome(StrEnum):
    """``cannot_judge`` is no accusation, and no pass either."""

    PASS = "pass"  # noqa: S105 - an outcome, no password
    FAIL = "fail"
    CANNOT_JUDGE = "cannot_judge"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What one check found. ``value`` and ``limit`` are in ``unit`` and for auditors only; ``code`` and ``place`` (which digit,
    turn or cue, from 1, where the code is about one of several) are for callers.

    Built through :meth:`passed`, :meth:`failed` and :meth:`unjudged`.
    """

    name: str
    outcome: Outcome
    value: float | None
    limit: float | None
    unit: str
    code: Reason | None
    place: int | None = None

    def __post_init__(self) -> None:
        if (self.outcome is Outcome.PASS) != (self.code is None):
            raise ValueError(f"{self.name}: a pass has no code, anything else has one")

    @classmethod
    def passed(cls, name: str, value: float, limit: float, unit: str) -> CheckResult:
        return cls(name=name, outcome=Outcome.PASS, value=value, limit=limit, unit=unit, code=None)

    @classmethod
    def failed(
        cls, name: str, code: Reason, value: float | None, limit: float, unit: str, *, place: int | None = None
    ) -> CheckResult:
        return cls(name=name, outcome=Outcome.FAIL, value=value, limit=limit, unit=unit, code=code, place=place)

    @classmethod
    def unjudged(cls, name: str, code: Reason = Reason.NOT_MEASURED, *, unit: str = "") -> CheckResult:
        return cls(name=name, outcome=Outcome.CANNOT_JUDGE, value=None, limit=None, unit=unit, code=code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What both verdicts carry, so that either can be explained and traced years later.

    policy : ``name@version``. models : role to model version. path, extra_time, reveal : as the challenge had them.
    """

    challenge_id: str
    path: Path
    extra_time: bool
    reveal: Reveal
    nonce: str
    capture_sha256: str
    policy: str
    models: dict[str, str]
    judged_at: datetime
    results: tuple[CheckResult, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Live(Judgement):
    """A live person did what was asked. Worth as much as ``assurance`` says."""

    assurance: Assurance


@dataclass(frozen=True, slots=True, kw_only=True)
class NotLive(Judgement):
    """Not shown live. ``reasons`` in the order of the checks, each once."""

    reasons: tuple[Reason, ...]


Verdict = Live | NotLive


def judge(
    results: Sequence[CheckResult],
    *,
    required: Sequence[str],
    challenge: Challenge,
    capture_sha256: str,
    policy: LivenessPolicy,
    models: dict[str, str],
    now: datetime,
    attested: bool = False,
) -> Verdict:
    """Live only when every required check is there exactly once and passed, and nothing else failed.

    attested : a device's maker vouched for this very recording (``liveness.attestation``): raises ``web`` to ``attested``.

    Raises:
        ValueError: when ``required`` is empty; an empty list of checks never means yes.
    """
    if not required:
        raise ValueError("a verdict needs at least one required check")
    reasons = [result.code for result in results if result.code is not None]
    names = [result.name for result in results]
    if sorted(names) != sorted(required):
        reasons.append(Reason.NOT_MEASURED)
    common = {
        "challenge_id": challenge.challenge_id,
        "nonce": challenge.nonce,
        "path": challenge.path,
        "extra_time": challenge.extra_time,
        "reveal": challenge.reveal,
        "capture_sha256": capture_sha256,
        "policy": f"{policy.name}@{policy.version}",
        "models": models,
        "judged_at": now,
        "results": tuple(results),
    }
    if reasons:
        return NotLive(reasons=tuple(dict.fromkeys(reasons)), **common)  # type: ignore[arg-type]
    raised = attested and policy.assurance is Assurance.WEB
    return Live(assurance=Assurance.ATTESTED if raised else policy.assurance, **common)  # type: ignore[arg-type]
