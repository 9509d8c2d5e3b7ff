"""How many wrong faces somebody may try on a person in a day.

Every refusal of a face says one thing about a template: not this one. Many of them, on faces made for it, walk towards
it (template recovery from accept and reject alone: arXiv 2601.17620). So faces that were compared with somebody and
were not theirs are counted, by that person and by who asked; after ``MIEN_MISMATCHES_A_DAY`` of them the rest of the
day (UTC) is refused without looking.

Who asked is a backend by its name, whatever keys it has, or an app by its key. Two questions at the same moment may both be
answered though only one was left; the number of those is bounded by the number of questions that are answered at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from api.audit_events import AuditAction, note
from api.line import Held, Line
from api.service import Service
from api.storage import Store
from consent.gate import GateCode, Presented, Refusal, Use

if TYPE_CHECKING:
    from api.gate import Question

_A_VIDEO_COUNTS = 10  # a stranger who walks through a film is seen in each of its pictures
_NOT_COMPARED = frozenset(
    {
        GateCode.BAD_SIGNATURE, GateCode.WRONG_AUDIENCE, GateCode.EXPIRED, GateCode.NOT_YET_VALID, GateCode.REVOKED,
        GateCode.SUSPENDED, GateCode.SCOPE_PURPOSE, GateCode.SCOPE_AUDIENCE, GateCode.SCOPE_MAKER, GateCode.SCOPE_LIMITS,
        GateCode.SCOPE_CONTENT, GateCode.SCOPE_TERRITORY, GateCode.AUTHORITY_INVALID, GateCode.ASSURANCE_TOO_LOW,
        GateCode.REPLAY, GateCode.RECORD_MISSING, GateCode.DISPUTED,
        GateCode.DPOP_MISSING, GateCode.DPOP_INVALID, GateCode.DPOP_WRONG_REQUEST, GateCode.DPOP_WRONG_TOKEN,
        GateCode.DPOP_STALE, GateCode.USE_DPOP_NONCE, GateCode.DPOP_REPLAYED, GateCode.KEY_MISMATCH,
    }
)  # fmt: skip
"""Reasons about a token with which no face was compared."""


def spent(service: Service, presented: Sequence[Presented], found: Held) -> tuple[int, ...]:
    """The places of the tokens on whose people too many wrong faces were tried today; mostly none."""
    most = service.settings.mismatches_a_day
    return tuple(
        number
        for number, one in enumerate(presented)
        if one.record is not None and found.consents[one.record.consent_id].tried >= most
    )


def count(
    service: Service,
    line: Line,
    question: Question,
    use: Use,
    presented: Sequence[Presented],
    outcome: Refusal,
) -> None:
    """Count the faces of a refusal that were compared and were nobody's, against everyone they were compared with.

    A token whose person is not in the picture counts as one more: that answer says as much.
    """
    apart = {reason.token_index for reason in outcome.reasons if reason.code in _NOT_COMPARED}
    people = {
        number: one.record.subject_id
        for number, one in enumerate(presented)
        if one.record is not None and number not in apart
    }
    wrong = [reason for reason in outcome.reasons if reason.code is GateCode.UNKNOWN_FACE]
    unused = [reason for reason in outcome.reasons if reason.code is GateCode.TOKEN_UNUSED]
    if not people or not (wrong or unused):
        return
    by_medium = Counter(reason.media_id for reason in wrong)
    several = {
        face.media_id for face in use.faces if face.media_id is not None and _is_of_a_video(line.store, face.media_id)
    }
    tried = sum(min(n, _A_VIDEO_COUNTS) if medium in several else n for medium, n in by_medium.items())
    counts: Counter[str] = Counter()
    for number, subject_id in people.items():
        more = tried + (1 if not wrong and any(reason.token_index == number for reason in unused) else 0)
        if more:
            counts[subject_id] = max(counts[subject_id], more)
    if not counts:
        return
    most = service.settings.mismatches_a_day
    for subject_id, total in line.store.add_mismatches(counts, asker(question), day=service.now().date()).items():
        if total >= most > total - counts[subject_id]:
            note(
                line.store,
                AuditAction.BUDGET_SPENT,
                by=None,
                now=service.now(),
                subject_id=subject_id,
                backend=question.backend,
                object_id=question.caller,
                reason=GateCode.MISMATCH_BUDGET.value,
                more={"tried": total},
            )


def asker(question: Question) -> str:
    """Under which name they are counted."""
    return f"backend:{question.backend}" if question.stage == "evaluation" else f"key:{question.caller}"


def _is_of_a_video(store: Store, media_id: str) -> bool:
    from api.tables import MediaRow

    row = store.get(MediaRow, media_id)
    return row is not None and row.kind == "video"
