"""Faces of refused questions that were nobody's: put aside, looked up among people who want to be told, destroyed.

Steps 2 and 3 of :mod:`api.look_alikes`, which says what they are for and why so.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from api.audit_events import AuditAction, note
from api.blinding import CannotBlind, blinding_of
from api.look_alike_index import COMPARED, Availability
from api.media import Erased, Sealed, Unsealable, templates_from_bytes, templates_to_bytes
from api.service import Service
from api.storage import Store, new_id
from api.tables import AttemptRow, ConsentRow, LookAlikeAlertRow, LookAlikeChoiceRow, LookAlikeLookupRow, OutcomeRow
from consent.gate import FaceSeen, GateCode, Permit, Refusal
from consent.look_alikes import LIMITS, alike, unlike_each_other
from liveness.template import FaceTemplate

if TYPE_CHECKING:
    from api.gate import Question

log = logging.getLogger("mien.look_alikes")

_NOBODYS = frozenset({GateCode.UNKNOWN_FACE, GateCode.NO_TOKEN})
"""Reasons about a face for which nobody's leave was shown."""
_ASKED_FIRST = frozenset({"evaluation", "clip_request"})  # what comes after asks the same again

Chance = Callable[[int], int]
"""A whole number from 0 to below that one."""


# --- whether it works here -------------------------------------------------------------------------------------------


def availability(service: Service, store: Store) -> Availability:
    """Whether alerts work here, and if not, why."""
    return store.look_alike_index.availability() if service.settings.look_alikes else Availability.OFF


def enrolled_templates(service: Service, store: Store, row: ConsentRow) -> list[FaceTemplate]:
    """Raises: Erased."""
    content = service.vault.get(store, row.templates_id, owner=row.consent_id)
    return [each for each in templates_from_bytes(content) if each is not None]


# --- 2. after a refusal ----------------------------------------------------------------------------------------------


def look_later(
    service: Service,
    question: Question,
    attempt_id: str,
    faces: Sequence[FaceSeen],
    outcome: Permit | Refusal,
) -> None:
    """Put the faces of a refused question aside that were nobody's. The question is answered and committed. Never raises."""
    if not service.settings.look_alikes or isinstance(outcome, Permit) or question.stage not in _ASKED_FIRST:
        return
    nobodys = {reason.face_index for reason in outcome.reasons if reason.code in _NOBODYS}
    seen = [face.template for face in faces if face.index in nobodys and face.template is not None]
    if not seen:
        return
    try:
        _put_aside(service, question, attempt_id, seen)
    except Exception as error:
        log.warning("a refused question is not looked up: %s", type(error).__name__)


def _put_aside(service: Service, question: Question, attempt_id: str, seen: Sequence[FaceTemplate]) -> None:
    now = service.now()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    asker = asker_of(question.stage, question.backend, question.caller)
    blinding = blinding_of(service.keys, service.settings.look_alikes_rotation)
    turned = [blinding.blind(face) for face in unlike_each_other(seen)]
    with service.database.transaction() as store:
        if store.lookups_of(asker, since=today) >= LIMITS.questions_a_day.value:
            return
        key = service.vault.new_key(store, owner=attempt_id, now=now)
        faces_id = service.vault.put(
            store,
            templates_to_bytes(turned),
            kind=Sealed.TEMPLATES,
            data_key_id=key,
            now=now,
            keep=timedelta(seconds=LIMITS.face_kept.value),
        )
        store.add(LookAlikeLookupRow(attempt_id=attempt_id, asker=asker, data_key_id=key, faces_id=faces_id, at=now))
        service.queue.look_up(store, attempt_id)


def asker_of(stage: str, backend: str, caller: str) -> str:
    """As :mod:`api.mismatches` counts: a backend by its name, an app by its key."""
    return f"backend:{backend}" if stage == "evaluation" else f"key:{caller}"


# --- 3. the worker looks ---------------------------------------------------------------------------------------------


def look_up(service: Service, attempt_id: str, *, chance: Chance = secrets.randbelow) -> int:
    """Look up the faces of one refused question, once, and destroy them; gives how many people will be told."""
    now = service.now()
    with service.database.transaction() as store:
        row = store.get(LookAlikeLookupRow, attempt_id, lock=True)
        attempt, outcome = store.get(AttemptRow, attempt_id), store.get(OutcomeRow, attempt_id)
        if row is None or row.done_at is not None or attempt is None or outcome is None:
            return 0
        faces = _put_aside_faces(service, store, row)
        row.done_at = now
        service.vault.destroy_key(store, row.data_key_id, now=now)
        if availability(service, store) is not Availability.ON:
            return 0
        found = {consent_id for face in faces for consent_id in _like(service, store, face, attempt, now=now)}
        told = sum(_will_tell(store, consent_id, attempt, now=now, chance=chance) for consent_id in sorted(found))
        note(
            store,
            AuditAction.LOOKED_UP,
            by=None,
            now=now,
            backend=attempt.backend,
            object_id=attempt_id,
            more={"faces": len(faces)},  # and not how many people are told: that would say something of a face
        )
        return told


def _put_aside_faces(service: Service, store: Store, row: LookAlikeLookupRow) -> list[FaceTemplate]:
    """Turned back; none when they are gone, or were turned by a rotation that is no more."""
    blinding = blinding_of(service.keys, service.settings.look_alikes_rotation)
    try:
        content = service.vault.get(store, row.faces_id, owner=row.attempt_id)
        return [blinding.unblind(face) for face in templates_from_bytes(content) if face is not None]
    except (Erased, Unsealable, CannotBlind) as error:
        log.info("a refused question cannot be looked up any more: %s", type(error).__name__)
        return []


def _like(service: Service, store: Store, face: FaceTemplate, attempt: AttemptRow, *, now: datetime) -> list[str]:
    """Consents of people who want to be told and whose enrolled face is like this one."""
    blinding = blinding_of(service.keys, service.settings.look_alikes_rotation)
    near = service.look_alikes.nearest(
        store.look_alike_index,
        blinding.code(face),
        contract_id=face.contract_id,
        rotation_id=blinding.rotation_id,
        most=COMPARED,
    )
    found = []
    for consent_id in near:
        row, choice = store.get(ConsentRow, consent_id), store.get(LookAlikeChoiceRow, consent_id)
        if choice is None or choice.given_at > attempt.at:  # asked before they wanted to be told
            continue
        if row is None or row.revoked_at is not None or row.expires_at <= now:
            continue
        if (
            consent_id in attempt.claimed["consents"]
        ):  # they see the question itself, among those with a leave of theirs
            continue
        try:
            enrolled = enrolled_templates(service, store, row)
        except (Erased, Unsealable):
            continue
        if alike(face, enrolled):
            found.append(consent_id)
    return found


def _will_tell(store: Store, consent_id: str, attempt: AttemptRow, *, now: datetime, chance: Chance) -> bool:
    row = store.get(ConsentRow, consent_id)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if row is None or store.alerts_found(row.subject_id, since=today) >= LIMITS.told_a_day.value:
        return False
    least, within = int(LIMITS.told_after.value), int(LIMITS.told_within.value)
    alert = LookAlikeAlertRow(
        alert_id=new_id("alr"),
        consent_id=consent_id,
        subject_id=row.subject_id,
        attempt_id=attempt.attempt_id,
        found_at=now,
        tell_at=now + timedelta(seconds=least + chance(within - least)),
        told_at=None,
    )
    return store.add_alert(alert)
