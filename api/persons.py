"""One person's own data, as they may see it: uses, questions to the gate, clips, and who looked.

The caller is who holds the manage token of a consent. The person's own reaches everything under the same pseudonym, which is
one app's name for one person; that of somebody who agreed for them reaches the uses of that one consent and the questions
about it. What shows a face is given only where the face is the one of that consent, so that an app that mixed two people up
shows neither to the other. Other people in the same attempt or clip are never named.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.audit_events import SHOWN_TO_PEOPLE, AuditAction
from api.audit_search import Hit, Page, paged, read_cursor, use_json
from api.auth import Person
from api.consents import record_of
from api.errors import Problem
from api.gate_words import in_words
from api.media import Erased, Unsealable, templates_from_bytes
from api.service import Service
from api.storage import Store
from api.storage_audit import Sought
from api.tables import AuditEventRow, ClipRow, ConsentRow
from consent.canonical import write_instant
from liveness.policy import STRICT
from liveness.template import FaceTemplate, similarity

_STAGES = {
    "evaluation": ("A generator asked.", "一个生成程序提出了请求。"),
    "clip_request": ("A clip was asked for.", "有人要求制作一段短片。"),
    "clip_estimate": ("Somebody wanted to know what a clip would take.", "有人询问制作一段短片需要什么。"),
    "clip_start": ("Work on a clip was to begin.", "一段短片即将开始制作。"),
    "clip_release": ("A finished clip was to be released.", "一段制作完成的短片即将发布。"),
}
_LOOKS = {
    "audit": ("Somebody looked at your data.", "有人查阅了您的数据。"),
    "opening": (
        "Somebody asked to see, or saw, a picture or recording of you.",
        "有人要求查看或查看了您的图片或录像。",
    ),
    "reference": (
        "A generator that you allowed was given your picture, for one job.",
        "您允许的一个生成程序为一项任务取得了您的图片。",
    ),
    "output": (
        "A generator made something under your leave that was not what you allowed; it was held back.",
        "一个生成程序依据您的许可制作的内容与您允许的不符，已被扣留。",
    ),
    "look_alike": (
        "You were told that somebody asked with a face like yours; see your look-alike alerts.",
        "已告知您有人用与您相似的脸提出请求；请见相似面孔提醒。",
    ),
    "gate": (
        "Somebody tried many faces that were not yours on your leave, and is refused for the rest of the day.",
        "有人多次用不是您的面孔尝试您的许可，当天之内不再受理。",
    ),
    AuditAction.SIGNED_IN: ("Somebody signed in as you.", "有人以您的身份登录。"),
    AuditAction.SIGNED_OUT: ("A sign-in of yours was ended.", "您的一次登录已结束。"),
    AuditAction.PASSKEY_MADE: ("A passkey was added for you.", "为您添加了一个通行密钥。"),
    AuditAction.PASSKEY_REMOVED: ("A passkey of yours was removed.", "您的一个通行密钥已删除。"),
    AuditAction.PASSKEY_COPIED: (
        "A sign-in with a passkey of yours was refused: there may be a copy of it. Remove it, and add a new one.",
        "一次使用您通行密钥的登录被拒绝：该密钥可能已被复制。请删除它，并添加新的。",
    ),
}
"""By the first part of an event's name, or by the whole of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Self:
    """Who asks: the consent whose manage token it is, and the pseudonym it stands under. ``for_another``: they gave it on the
    person's behalf, and see what happened under it, not the person's life."""

    consent_id: str
    subject_id: str
    for_another: bool = False


def who_asks(store: Store, person: Person, *, or_for_them: bool = False) -> Self:
    """``or_for_them``: also whoever gave the consent on the person's behalf. Most of these rights are the person's alone, who
    may have said and done more than this consent.

    Raises: Problem ``forbidden``, also for a session's token: nobody was shown live with it yet.
    """
    row = None if person.consent_id is None else store.get(ConsentRow, person.consent_id)
    if row is None:
        raise Problem("forbidden", "needs the manage token of a consent")
    for_another = record_of(store, row.consent_id).granted.authority is not None
    if for_another and not or_for_them:
        raise Problem("forbidden", "needs the person's own token; who speaks for them asks the controller")
    return Self(consent_id=row.consent_id, subject_id=row.subject_id, for_another=for_another)


def uses(store: Store, me: Self, *, cursor: str | None, most: int) -> Page:
    """Every use and every clip, latest first."""
    after = None if cursor is None else read_cursor(cursor)
    one = me.consent_id if me.for_another else None
    found = store.uses_of_subject(me.subject_id, consent_id=one, after=after, most=most + 1)
    made = store.clips_by_permit([permit.permit_id for permit, _ in found])
    hits = []
    for permit, consent_id in found:
        clip = made.get(permit.permit_id)
        body = use_json(permit) | {"consent_id": consent_id, "clip_id": None if clip is None else clip.clip_id}
        hits.append(_hit(permit.issued_at, permit.permit_id, "use", body))
    clips = [
        (clip.created_at, clip)
        for clip in store.clips_of_subject(me.subject_id)
        if one is None or one in store.consents_of_clip(clip.clip_id)
    ]
    hits += [_hit(at, clip.clip_id, "clip", clip_json(store, clip)) for at, clip in clips]
    return paged([hit for hit in hits if after is None or hit.place < after], most)


def clip_json(store: Store, clip: ClipRow) -> dict[str, Any]:
    """A clip as a person in it sees it."""
    return {
        "clip_id": clip.clip_id,
        "backend": clip.backend,
        "purpose": clip.purpose,
        "state": clip.state,
        "sha256": clip.sha256,
        "duration_ms": clip.duration_ms,
        "others_in_it": len(store.subjects_of_clip(clip.clip_id)) > 1,
    }


def attempts(store: Store, me: Self, *, cursor: str | None, most: int) -> Page:
    """Every question to the gate that came with a leave of this person's, also with one that was not valid, latest first.

    Only those: a face that came without one is looked up among people who want to be told, and nobody else
    (:mod:`api.look_alikes`).
    """
    after = None if cursor is None else read_cursor(cursor)
    own = {me.consent_id} if me.for_another else {row.consent_id for row in store.consents_of_subject(me.subject_id)}
    sought = Sought(consent_id=me.consent_id) if me.for_another else Sought(subject_id=me.subject_id)
    hits = []
    for attempt, outcome in store.search_attempts(sought, after=after, most=most + 1):
        codes = [] if outcome is None else dict.fromkeys(str(reason["code"]) for reason in outcome.reasons)
        english, chinese = _STAGES.get(attempt.stage, ("", ""))
        body = {
            "attempt_id": attempt.attempt_id,
            "backend": attempt.backend,
            "purpose": attempt.purpose,
            "stage": {"code": attempt.stage, "en": english, "zh": chinese},
            "outcome": None if outcome is None else outcome.kind,
            "reasons": [in_words(code) for code in codes],
            "consents": [consent_id for consent_id in attempt.claimed["consents"] if consent_id in own],
        }
        hits.append(_hit(attempt.at, attempt.attempt_id, "attempt", body))
    return paged(hits, most)


def looks(store: Store, me: Self, *, now: datetime, cursor: str | None, most: int) -> Page:
    """Everyone who looked at this person's data, latest first."""
    after = None if cursor is None else read_cursor(cursor)
    found = store.looks_at_subject(me.subject_id, SHOWN_TO_PEOPLE, now=now, after=after, most=most + 1)
    return paged([_hit(event.at, event.event_id, "look", _look(event)) for event in found], most)


def _look(event: AuditEventRow) -> dict[str, Any]:
    english, chinese = _LOOKS.get(event.action) or _LOOKS[event.action.partition(":")[0]]
    return {
        "event_id": event.event_id,
        "action": event.action,
        "en": english,
        "zh": chinese,
        "by": {"role": event.actor_role, "id": event.actor_id},
        "consent_id": event.consent_id,
        "object": event.more.get("object", event.object_id),
        "reason": event.reason,
    }


def consents_with_this_face(service: Service, store: Store, me: Self) -> set[str]:
    """The consents of this pseudonym whose enrolled face is that of the asking consent: one to one, among their own only."""
    mine = {me.consent_id}
    rows = {row.consent_id: row for row in store.consents_of_subject(me.subject_id)}
    own = _templates(service, store, rows[me.consent_id])
    for consent_id, row in rows.items():
        theirs = _templates(service, store, row)
        if own and theirs and similarity(own[0], theirs[0]) >= STRICT.same_person.value:
            mine.add(consent_id)
    return mine


def _templates(service: Service, store: Store, row: ConsentRow) -> list[FaceTemplate]:
    try:
        content = service.vault.get(store, row.templates_id, owner=row.consent_id)
    except (Erased, Unsealable):
        return []
    return [template for template in templates_from_bytes(content) if template is not None]


def _hit(at: datetime, key: str, kind: str, body: dict[str, Any]) -> Hit:
    return Hit(place=(at, key), kind=kind, body={"at": write_instant(at)} | body)
