"""The last evaluation of the live check, as ``mien evaluate --json`` wrote it: how often attacks got in, and people did not.

The operator points to the file (``MIEN_EVALUATION``). Nothing is assumed where it is missing, damaged, or of another policy
than the one that is running: that is said.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from liveness.policy import POLICIES

_MOST_BYTES = 8 * 2**20


class EvaluationUnreadable(Exception):
    """The file is not there, or is no evaluation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Errors among tries, with the exact one-sided 95 % upper bound (Clopper-Pearson). what: a species of attack, or empty."""

    what: str
    policy: str
    errors: int
    tries: int
    upper95: float

    @property
    def rate(self) -> float:
        return self.errors / self.tries


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """attacks : attacks accepted (APCER), the worst first. genuine : people refused (BPCER). people : how many took part."""

    measured_at: datetime
    policy: str
    people: int
    attacks: tuple[Measured, ...]
    genuine: Measured | None

    def is_of(self, policy: str) -> bool:
        """Whether it is of what runs now under that name."""
        return self.policy == running(policy)


def running(policy: str) -> str:
    """A policy with its version, as verdicts name it."""
    return f"{policy}@{POLICIES[policy].version}"


def read_evaluation(file: Path) -> Evaluation:
    """The evaluation in a file.

    Raises:
        EvaluationUnreadable: when there is none in it.
    """
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise EvaluationUnreadable("larger than any evaluation")
        content = json.loads(file.read_text(encoding="utf-8"))
        pad = content["presentation_attacks"]
        attacks = [
            _measured(each["apcer"], what=str(each["species"]), policy=str(each["policy"])) for each in pad["species"]
        ]
        genuine = pad["genuine"]["bpcer"]
        measured_at = datetime.fromisoformat(content["measured_at"])
        if measured_at.tzinfo is None:
            raise EvaluationUnreadable("its time has no zone")
        return Evaluation(
            measured_at=measured_at,
            policy=str(content["policy"]),
            people=int(pad["people"]),
            attacks=tuple(
                sorted((one for one in attacks if one.tries), key=lambda one: (-one.rate, -one.upper95, one.what))
            ),
            genuine=None if not genuine["tries"] else _measured(genuine, what="", policy=str(pad["policy"])),
        )
    except EvaluationUnreadable:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationUnreadable("no evaluation that mien evaluate --json wrote") from error


def _measured(said: dict[str, Any], *, what: str, policy: str) -> Measured:
    errors, tries, upper = int(said["errors"]), int(said["tries"]), float(said["upper95"])
    if not (0 <= errors <= tries and 0 <= upper <= 1):
        raise EvaluationUnreadable("an error rate that cannot be")
    return Measured(what=what, policy=policy, errors=errors, tries=tries, upper95=upper)
