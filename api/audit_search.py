"""What auditors find: records, attempts and events in one list, latest first, and the life of one person as a timeline."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.audit_events import event_json
from api.books import attempt_of, outcome_of
from api.consents import record_of
from api.errors import Problem
from api.storage import Store
from api.storage_audit import Place, Sought
from api.tables import AttemptRow, AuditEventRow, ConsentRow, OutcomeRow, PermitRow
from consent.canonical import Malformed, read_instant, write_instant


class SearchKind(StrEnum):
    """What a search looks through."""

    RECORD = "record"
    ATTEMPT = "attempt"
    EVENT = "event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One thing found: where it stands in the list, what auditors see of it, and whose it is."""

    place: Place
    kind: str
    body: dict[str, Any]
    subjects: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """``next``: the cursor of the page after this; ``None`` at the end."""

    hits: tuple[Hit, ...]
    next: str | None

    def subjects(self, store: Store) -> set[str]:
        """Whose data is on this page."""
        attempts = [hit.place[1] for hit in self.hits if hit.kind == SearchKind.ATTEMPT]
        return {subject for hit in self.hits for subject in hit.subjects} | store.subjects_of_attempts(attempts)

    def to_json(self) -> dict[str, Any]:
        return {"results": [{"kind": hit.kind} | hit.body for hit in self.hits], "next": self.next}


def search(
    store: Store, sought: Sought, kinds: Iterable[SearchKind], *, now: datetime, cursor: str | None, most: int
) -> Page:
    """One page of what is sought. Nothing that was there when a search began is left out or shown twice, whatever is added
    while its pages are read."""
    after = None if cursor is None else read_cursor(cursor)
    hits: list[Hit] = []
    for kind in kinds:
        match kind:
            case SearchKind.RECORD:
                found = store.search_records(sought, now=now, after=after, most=most + 1)
                hits += [_of_record(row, state) for row, state in found]
            case SearchKind.ATTEMPT:
                hits += attempt_hits(store, store.search_attempts(sought, after=after, most=most + 1))
            case SearchKind.EVENT:
                hits += [_of_event(event) for event in store.search_events(sought, after=after, most=most + 1)]
    return paged(hits, most)


def timeline(store: Store, subject_id: str, *, now: datetime, cursor: str | None, most: int) -> Page:
    """All that happened with one person's likeness: live checks, what they agreed to and took back, questions to the gate,
    uses, clips, and who looked. Latest first."""
    after = None if cursor is None else read_cursor(cursor)
    sought = Sought(subject_id=subject_id)
    hits = attempt_hits(store, store.search_attempts(sought, after=after, most=most + 1))
    hits += [_of_event(event) for event in store.search_events(sought, after=after, most=most + 1)]
    for consent in store.consents_of_subject(subject_id):
        for written, event in zip(
            store.consent_events(consent.consent_id), record_of(store, consent.consent_id).events, strict=True
        ):
            body = {"consent_id": consent.consent_id, "event": event.kind, "number": written.number}
            hits.append(_hit(written.at, f"{consent.consent_id}.{written.number:03}", "consent_event", body))
    for challenge in store.challenges_of_subject(subject_id):
        body = {"session_id": challenge.session_id, "challenge_id": challenge.challenge_id, "path": challenge.path}
        hits.append(_hit(challenge.issued_at, challenge.challenge_id, "challenge", body))
    for session in store.sessions_of_subject(subject_id):
        for verdict in store.verdicts_of(session.session_id):
            body = {"session_id": session.session_id, "challenge_id": verdict.challenge_id, "live": verdict.live}
            body |= {"assurance": verdict.assurance, "reasons": verdict.reasons}
            hits.append(_hit(verdict.judged_at, f"ver_{verdict.challenge_id[4:]}", "verdict", body))
    for permit, consent_id in store.uses_of_subject(subject_id, after=after, most=most + 1):
        body = use_json(permit) | {"consent_id": consent_id}
        hits.append(_hit(permit.issued_at, permit.permit_id, "use", body))
    for clip in store.clips_of_subject(subject_id):
        body = {"clip_id": clip.clip_id, "state": clip.state, "backend": clip.backend, "sha256": clip.sha256}
        hits.append(_hit(clip.created_at, clip.clip_id, "clip", body))
    return paged([hit for hit in hits if after is None or hit.place < after], most)


def attempt_hits(store: Store, found: list[tuple[AttemptRow, OutcomeRow | None]]) -> list[Hit]:
    permits = store.permits_of_attempts([attempt.attempt_id for attempt, outcome in found if outcome is not None])
    hits = []
    for attempt, outcome in found:
        permit = permits.get(attempt.attempt_id)
        body = attempt_json(attempt, outcome) | {"output_sha256": None if permit is None else permit.output_sha256}
        hits.append(_hit(attempt.at, attempt.attempt_id, SearchKind.ATTEMPT, body))
    return hits


def attempt_json(attempt: AttemptRow, outcome: OutcomeRow | None) -> dict[str, Any]:
    """A question and its answer as auditors see them."""
    asked = attempt_of(attempt).to_json()
    asked.pop("schema_version")
    answered = None if outcome is None else outcome_of(outcome)
    return asked | {
        "decision": None if outcome is None else outcome.decision,
        "outcome": None if answered is None else answered.kind.value,
        "decided_at": None if answered is None else write_instant(answered.at),
        "reasons": [] if outcome is None else outcome.reasons,
        "permit_id": None if outcome is None else outcome.permit_id,
    }


def use_json(permit: PermitRow) -> dict[str, Any]:
    """A permit that was redeemed, and what came of it."""
    return {
        "permit_id": permit.permit_id,
        "backend": permit.backend,
        "purpose": permit.purpose,
        "redeemed_at": None if permit.redeemed_at is None else write_instant(permit.redeemed_at),
        "completed_at": None if permit.completed_at is None else write_instant(permit.completed_at),
        "output_sha256": permit.output_sha256,
    }


def record_json(row: ConsentRow, state: str) -> dict[str, Any]:
    return {
        "consent_id": row.consent_id,
        "subject_id": row.subject_id,
        "session_id": row.session_id,
        "state": state,
        "granted_at": write_instant(row.granted_at),
        "expires_at": write_instant(row.expires_at),
        "revoked_at": None if row.revoked_at is None else write_instant(row.revoked_at),
    }


def _of_record(row: ConsentRow, state: str) -> Hit:
    return Hit(
        place=(row.granted_at, row.consent_id),
        kind=SearchKind.RECORD,
        body=record_json(row, state),
        subjects=frozenset({row.subject_id}),
    )


def _of_event(event: AuditEventRow) -> Hit:
    about = {event.subject_id} if event.subject_id is not None else set()
    return Hit(
        place=(event.at, event.event_id), kind=SearchKind.EVENT, body=event_json(event), subjects=frozenset(about)
    )


def _hit(at: datetime, key: str, kind: str, body: dict[str, Any]) -> Hit:
    return Hit(place=(at, key), kind=kind, body={"at": write_instant(at)} | body)


def paged(hits: list[Hit], most: int) -> Page:
    """The first ``most`` of these, and where to go on if there are more."""
    ordered = sorted(hits, key=lambda hit: hit.place, reverse=True)
    more = len(ordered) > most
    shown = tuple(ordered[:most])
    return Page(hits=shown, next=write_cursor(shown[-1].place) if more and shown else None)


def write_cursor(place: Place) -> str:
    at, key = place
    return base64.urlsafe_b64encode(f"{write_instant(at)}|{key}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> Place:
    """Where a page begins. Raises: Problem ``cursor_invalid``."""
    try:
        at, _, key = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition("|")
        if not key or not key.isprintable():
            raise Malformed("no key")
        return read_instant(at), key
    except (binascii.Error, ValueError) as error:
        raise Problem("cursor_invalid") from error
