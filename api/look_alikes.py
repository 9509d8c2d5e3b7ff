"""Tells people who want to know that somebody asked the gate with a face like theirs and was refused.

In this order, and never in another:

1. The gate answers. Nothing here is looked at before, and nothing here changes the answer.
2. Of a refusal, the faces that were nobody's are put aside: turned by the secret rotation, sealed under a key of their own.
3. The worker looks up the nearest of those who want to be told, and nobody else. Their sealed templates are compared exactly,
   with a limit far above that of the gate (:data:`consent.look_alikes.LIMITS`). The faces are then destroyed.
4. Hours later, at a moment drawn by chance, the person is told: on their own list, and their app hears that there is something
   to see. The asker never hears of it, also where it is that app.

Decided here. *Only questions to the gate*, not media that was handed in and never asked about, and not outputs: a question is
a use that somebody wanted, its asker is known, and it is counted; all media would make this a search of everything.
*Late and few*: whoever may try faces and may also read what one person is told, such as an app that runs a generator, could
otherwise ask whose face a photograph shows. With hours of chance between, three alerts a day and no mark of which question,
it is a poor way to ask; it is not impossible, and the threat model says so. *Best effort*: what fails here is logged, and
never a reason to fail for anybody else.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from api.audit_events import AuditAction, note
from api.audit_search import Hit, Page, paged, read_cursor
from api.auth import Person
from api.blinding import CannotBlind, blinding_of
from api.consents import controller_of, record_of
from api.errors import Problem
from api.gate_words import in_words
from api.look_alike_index import Availability
from api.look_alike_lookups import availability, enrolled_templates
from api.media import Erased, Unsealable
from api.persons import Self
from api.service import Service
from api.shreds import Shredded, look_alike_shred_id, write_down_soon
from api.statements import write_statement
from api.storage import Store
from api.tables import (
    AttemptRow,
    ConsentRow,
    LookAlikeChoiceRow,
    StatementRow,
)
from api.webhooks import Event, publish
from consent.canonical import write_instant
from consent.gate import GateCode
from consent.look_alikes import (
    LIMITS,
    LookAlikeChoice,
    agree,
    choice_bytes,
    choice_from_bytes,
    sign_choice,
    take_back,
)
from consent.terms import Terms
from liveness.template import template

log = logging.getLogger("mien.look_alikes")

_KEPT_TO_COUNT = timedelta(days=2)
_CODES_AT_ONCE, _CODES_FOR_S = 100, 10.0

TOLD = (
    "Somebody asked to use a face like yours, and was refused. It may have been yours or that of somebody who looks like you.",
    "有人请求使用一张与您相似的脸，已被拒绝。那可能是您的脸，也可能是长得像您的人的脸。",
)


# --- a person's choice -----------------------------------------------------------------------------------------------


def ask_to_be_told(
    service: Service, store: Store, me: Self, by: Person, terms: Terms, *, now: datetime
) -> StatementRow:
    """The person wants to be told: their words, and the code of their face. Twice changes nothing.

    Raises: Problem ``look_alikes_unavailable``, with the reason; ``consent_expired`` when their templates are gone.
        ConsentInvalid.
    """
    row = store.get(ConsentRow, me.consent_id, lock=True)
    if row is None:
        raise Problem("not_found")
    choice = agree(record_of(store, row.consent_id), controller=controller_of(service.settings), terms=terms, now=now)
    there = store.get(LookAlikeChoiceRow, row.consent_id)
    if there is not None:
        return _statement(store, row, there)
    if (found := availability(service, store)) is not Availability.ON:
        raise unavailable(found)
    statement = _say(service, store, row, choice, now=now)
    store.add(
        LookAlikeChoiceRow(consent_id=row.consent_id, subject_id=row.subject_id, number=statement.number, given_at=now)
    )
    try:
        _put_code(service, store, row)
    except Erased:
        raise Problem("consent_expired") from None
    except CannotBlind:
        raise unavailable(Availability.OTHER_DIMENSION) from None
    note(store, AuditAction.LOOK_ALIKES_AGREED, by=by, now=now, subject_id=row.subject_id, consent_id=row.consent_id)
    return statement


def ask_no_more(service: Service, store: Store, me: Self, by: Person, *, now: datetime) -> StatementRow | None:
    """The person wants to be told no more: their code is gone with this transaction, in whatever state the feature is.
    ``None`` when they never asked."""
    row = store.get(ConsentRow, me.consent_id, lock=True)
    there = None if row is None else store.get(LookAlikeChoiceRow, row.consent_id)
    if row is None or there is None:
        return None
    given = choice_from_bytes(_statement(store, row, there).body)
    statement = _say(service, store, row, take_back(given, now=now), now=now)
    store.forget_look_alike_choice(row.consent_id)
    store.shred(Shredded.LOOK_ALIKES, look_alike_shred_id(row.consent_id, statement.number), at=now)
    store.after_commit(lambda: write_down_soon(service.database, service.vault.files))
    note(store, AuditAction.LOOK_ALIKES_WITHDRAWN, by=by, now=now, subject_id=row.subject_id, consent_id=row.consent_id)
    return statement


def unavailable(found: Availability) -> Problem:
    return Problem("look_alikes_unavailable", more={"reason": found.value})


def _say(service: Service, store: Store, row: ConsentRow, said: LookAlikeChoice, *, now: datetime) -> StatementRow:
    return write_statement(
        store,
        row.session_id,
        row.subject_id,
        said.choice.value,
        choice_bytes(said),
        record=sign_choice(said, service.keys.active),
        now=now,
    )


def _statement(store: Store, row: ConsentRow, choice: LookAlikeChoiceRow) -> StatementRow:
    found = store.statement(row.session_id, choice.number)
    if found is None:
        raise Problem("internal_error")
    return found


def statement_of(store: Store, consent_id: str) -> StatementRow | None:
    """The yes that holds for this consent now."""
    row, choice = store.get(ConsentRow, consent_id), store.get(LookAlikeChoiceRow, consent_id)
    return None if row is None or choice is None else _statement(store, row, choice)


def _put_code(service: Service, store: Store, row: ConsentRow) -> None:
    """Of the middle of the person's templates. Raises: Erased, CannotBlind."""
    enrolled = enrolled_templates(service, store, row)
    if not enrolled:
        raise Erased
    middle = template(np.sum([each.vector for each in enrolled], axis=0), contract_id=enrolled[0].contract_id)
    blinding = blinding_of(service.keys, service.settings.look_alikes_rotation)
    store.look_alike_index.put(
        row.consent_id, blinding.code(middle), contract_id=middle.contract_id, rotation_id=blinding.rotation_id
    )


# --- 4. the person is told -------------------------------------------------------------------------------------------


def tell_due(service: Service) -> int:
    """Tell whoever is to be told by now; gives how many."""
    now = service.now()
    with service.database.transaction() as store:
        due = store.alerts_due(now)
        for alert in due:
            attempt, row = store.get(AttemptRow, alert.attempt_id), store.get(ConsentRow, alert.consent_id)
            if attempt is None or row is None:
                continue
            alert.told_at = now
            note(
                store,
                AuditAction.LOOK_ALIKE_TOLD,
                by=None,
                now=now,
                subject_id=alert.subject_id,
                consent_id=alert.consent_id,
            )
            if attempt.caller != row.app_key_id:
                said = {"consent_id": row.consent_id, "subject_id": row.subject_id, "at": write_instant(now)}
                publish(store, Event.LOOK_ALIKE_NOTICED, said, to=[row.app_key_id], now=now)
    return len(due)


def alerts(store: Store, me: Self, *, cursor: str | None, most: int) -> Page:
    """What a person was told, latest first: when to the hour, by which generator, and for what. No picture and no score."""
    after = None if cursor is None else read_cursor(cursor)
    english, chinese = TOLD
    hits = []
    for alert, attempt in store.alerts_told(me.subject_id, after=after, most=most + 1):
        told_at = alert.told_at or alert.tell_at
        body: dict[str, Any] = {
            "at": write_instant(told_at),
            "alert_id": alert.alert_id,
            "asked_at": write_instant(attempt.at.replace(minute=0, second=0, microsecond=0)),
            "backend": attempt.backend,
            "purpose": attempt.purpose,
            "en": english,
            "zh": chinese,
            "reason": in_words(GateCode.UNKNOWN_FACE.value),
        }
        hits.append(Hit(place=(told_at, alert.alert_id), kind="look_alike", body=body))
    return paged(hits, most)


# --- now and then ----------------------------------------------------------------------------------------------------


def keep_house(service: Service) -> int:
    """One round of the sweep; gives how many things were erased.

    1. choices whose consent or face is gone, also where an older release ended them
    2. faces that were put aside and not looked up in time; and old counts
    3. people are told who are to be told by now
    4. codes that are missing, or of another rotation, are made again from the sealed templates
    """
    now = service.now()
    with service.database.transaction() as store:
        erased = forget_over(store, now=now)  # 1
        for row in store.lookups_left(now - timedelta(seconds=LIMITS.face_kept.value)):  # 2
            service.vault.destroy_key(store, row.data_key_id, now=now)
            row.done_at = now
            erased += 1
        store.forget_lookups(now - _KEPT_TO_COUNT)
    tell_due(service)  # 3
    if service.settings.look_alikes:
        make_codes(service)  # 4
    return erased


def forget_over(store: Store, *, now: datetime) -> int:
    """Choices whose consent ended, or whose face was destroyed, however that came about; gives how many."""
    over = store.look_alike_choices_over(now)
    for consent_id in over:
        store.forget_look_alike_choice(consent_id)
    return len(over)


def make_codes(service: Service) -> int:
    """Make codes that are missing; gives how many. What is not done in ten seconds waits for the next round."""
    blinding = blinding_of(service.keys, service.settings.look_alikes_rotation)
    made, until = 0, time.monotonic() + _CODES_FOR_S
    while time.monotonic() < until:
        with service.database.transaction() as store:
            if availability(service, store) is not Availability.ON:
                return made
            missing = store.look_alike_index.without_code(blinding.rotation_id, _CODES_AT_ONCE)
            done = 0
            for consent_id in missing:
                row = store.get(ConsentRow, consent_id, lock=True)
                if row is None or store.get(LookAlikeChoiceRow, consent_id) is None:
                    continue
                try:
                    _put_code(service, store, row)
                except (Erased, Unsealable, CannotBlind):
                    store.forget_look_alike_choice(consent_id)  # there is no face left to look for
                done += 1
        made += done
        if done == 0:
            break
    return made
