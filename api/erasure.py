"""A person has everything deleted that can be: by destroying keys and salts, so that what backups hold says nothing either.

Consents end first, with an event in the log like any other withdrawal. What stays is named with its reason: signed records
without the salt that links them to the log, the log, and the gate's books under pseudonyms.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime

from api.audit_events import AuditAction, note
from api.auth import Person
from api.books import settle_what_is_there
from api.consents import append_event, end_consent, record_of
from api.service import Service
from api.shreds import Shredded, write_down_soon
from api.storage import Store
from api.storage_audit import Sought
from api.tables import SubjectRow
from consent.record import ConsentEvent, RevokedBy, revoke

KEPT = (
    (
        "signed consent records and their events, under a pseudonym, without picture, template or name",
        "to prove that you agreed and that you withdrew",
        "as long as the law at the place named in the record requires",
    ),
    (
        "entries of the log: salted digests; the salts are destroyed, so nothing links them to you",
        "others check that nothing was removed from the log",
        "always",
    ),
    (
        "questions to the gate and their answers, under pseudonyms",
        "to prove that nobody used your face without leave",
        "as long as the law at the place named in the record requires",
    ),
    (
        "who looked at your data, under pseudonyms",
        "whoever looked must be able to be held to account",
        "as long as the law at the place named in the record requires",
    ),
    (
        "fingerprints (hashes) of the files of your recordings; they cannot be turned back into recordings",
        "the same recording must not be used a second time",
        "always",
    ),
    (
        "that a clip was released, when, and the number in its pictures, under a pseudonym; not what they look like",
        "copies of the clip on other platforms must go on being known as withdrawn",
        "always",
    ),
    (
        "sealed answers to calls of the app, for calls that are sent twice",
        "they end by themselves",
        "24 hours",
    ),
)


def erase(service: Service, store: Store, subject_id: str, by: Person | None, *, now: datetime) -> dict[str, int]:
    """Delete a person, in one transaction; gives how much was deleted, by kind. ``by``: ``None`` when it is done again after a
    restore, on what they asked for before.

    1. consents that hold are withdrawn; each consent's key is destroyed, and with it templates, portrait and clips
    2. the salts that link their entries in the log to them are destroyed
    3. keys of all their live checks: recordings and what was made from them
    4. details of verdicts, fingerprints, what released clips look like, device keys, tokens, passkeys, sign-ins,
       kept answers
    5. the app's name for them: whoever comes under it later is somebody new
    6. it goes into the shred list, so that no backup brings back what only rows held
    """
    consents = store.consents_of_subject(subject_id)
    store.lock_consents(row.consent_id for row in consents)
    sessions = store.sessions_of_subject(subject_id)
    clips = store.clips_of_subject(subject_id)
    keys = [
        *(row.data_key_id for row in consents),
        *(row.data_key_id for row in sessions),
        *(row.data_key_id for row in clips),
    ]
    open_before = len(store.live_keys(keys))
    ended = 0
    for row in consents:
        record = record_of(store, row.consent_id)  # 1
        if record.revoked is None:
            event = revoke(record, by=RevokedBy.SUBJECT, now=now)
            events: list[ConsentEvent] = [*record.events, event]
            append_event(store, service.keys, row, events, now=now)
            end_consent(service, store, row, event, now=now)
            ended += 1
        service.vault.destroy_key(store, row.data_key_id, now=now)
        row.salt = b""  # 2
    store.lock_ledger()
    settle_what_is_there(store, now=now)  # or salts of what was asked a moment ago would stay
    store.forget_statement_salts(subject_id)
    for session in sessions:  # 3
        service.vault.destroy_key(store, session.data_key_id, now=now)
    gone = store.forget_subject(subject_id) | {"clip_hashes": store.forget_clip_hashes(subject_id)}  # 4
    gone |= store.forget_look_alikes(subject_id) | store.forget_accounts(subject_id)
    subject = store.get(SubjectRow, subject_id, lock=True)
    if subject is not None:  # 5
        subject.reference = secrets.token_bytes(32)
    store.shred(Shredded.PERSON, subject_id, at=now)  # 6
    store.after_commit(lambda: write_down_soon(service.database, service.vault.files))
    deleted = {"consents_withdrawn": ended, "keys_destroyed": open_before - len(store.live_keys(keys))} | gone
    note(store, AuditAction.DATA_DELETED, by=by, now=now, subject_id=subject_id, more=dict(deleted))
    return deleted


def erase_again(service: Service, store: Store, subject_ids: Iterable[str], *, now: datetime) -> int:
    """What these people had deleted is there again, from a backup of before: delete it again. Gives how many it was of."""
    again = 0
    for subject_id in subject_ids:
        asked = Sought(subject_id=subject_id, action=AuditAction.DATA_DELETED)
        if store.get(SubjectRow, subject_id) is None or store.search_events(asked, after=None, most=1):
            continue  # of after the backup, or deleted before it
        erase(service, store, subject_id, None, now=now)
        again += 1
    return again
