"""What an app may list of its own: the consents that people gave it, and the clips that it ordered. Latest first."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, select, tuple_
from sqlalchemy.orm import Session

from api.storage_audit import Place
from api.tables import ClipConsentRow, ClipRow, ConsentRow, SubjectRow


class ListStore:
    """The part of a :class:`api.storage.Store` for lists of one app's own things."""

    _session: Session

    def subject_known_as(self, app_key_id: str, reference: bytes) -> str | None:
        """The pseudonym of the person whom this app calls so; ``None``: it never named anybody so."""
        known = select(SubjectRow.subject_id).where(
            SubjectRow.app_key_id == app_key_id, SubjectRow.reference == reference
        )
        return self._session.scalar(known)

    def consents_of_app(
        self,
        app_key_id: str,
        *,
        subject_id: str | None,
        state: str | None,
        now: datetime,
        after: Place | None,
        most: int,
    ) -> list[ConsentRow]:
        """``state``: one of :func:`_standing`."""
        found = select(ConsentRow).where(ConsentRow.app_key_id == app_key_id)
        if subject_id is not None:
            found = found.where(ConsentRow.subject_id == subject_id)
        if state is not None:
            found = found.where(*_standing(state, now))
        return list(self._session.scalars(_page(found, ConsentRow.granted_at, ConsentRow.consent_id, after, most)))

    def clips_of_app(
        self, app_key_id: str, *, state: str | None, consent_id: str | None, after: Place | None, most: int
    ) -> list[ClipRow]:
        found = select(ClipRow).where(ClipRow.app_key_id == app_key_id)
        if state is not None:
            found = found.where(ClipRow.state == state)
        if consent_id is not None:
            shows = select(ClipConsentRow.clip_id).where(
                ClipConsentRow.clip_id == ClipRow.clip_id, ClipConsentRow.consent_id == consent_id
            )
            found = found.where(shows.exists())
        return list(self._session.scalars(_page(found, ClipRow.created_at, ClipRow.clip_id, after, most)))


def _standing(state: str, now: datetime) -> list[ColumnElement[bool]]:
    """As :func:`api.clip_registry.standing` tells it of one consent."""
    held, running = ConsentRow.revoked_at.is_(None), ConsentRow.expired_at.is_(None) & (ConsentRow.expires_at > now)
    match state:
        case "revoked":
            return [ConsentRow.revoked_at.is_not(None)]
        case "suspended":
            return [held, ConsentRow.suspended_at.is_not(None)]
        case "expired":
            return [held, ConsentRow.suspended_at.is_(None), ~running]
        case _:
            return [held, ConsentRow.suspended_at.is_(None), running]


def _page(found: Select[Any], at: Any, key: Any, after: Place | None, most: int) -> Select[Any]:
    if after is not None:
        found = found.where(tuple_(at, key) < tuple_(*after))
    return found.order_by(at.desc(), key.desc()).limit(most)
