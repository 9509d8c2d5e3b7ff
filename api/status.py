"""Status lists as they are served: signed when they changed or grew old, and kept in this process until then.

Every request asks the database for the list's version first. No notification is needed for a change to be seen, so none that
was lost can hide one; and a list is signed and packed at most once a change or ``ttl``.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from api.service import Service
from api.settings import Settings
from api.storage import Store
from api.tables import StatusListRow
from consent.status_list import TTL, StatusList, StatusRef, sign_list

_MOST_KEPT = 32  # of what was: about 20 kB each


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedList:
    """A signed list, and for how long whoever fetched it may go without asking again."""

    jwt: str = field(repr=False)
    fresh_for: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    version: int
    kid: str
    at: datetime
    jwt: str = field(repr=False)


class StatusLists:
    """What this process has signed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: dict[str, _Signed] = {}
        self._past: OrderedDict[tuple[str, datetime, str], str] = OrderedDict()

    def current(self, service: Service, list_id: str) -> ServedList | None:
        """The list as it stands; ``None`` when there is none of that id."""
        with service.database.transaction() as store:
            row = store.get(StatusListRow, list_id)
            if row is None:
                return None
            now, kid = service.now(), service.keys.active.kid
            with self._lock:
                kept = self._current.get(list_id)
                if kept is None or (kept.version, kept.kid) != (row.version, kid) or not kept.at <= now < kept.at + TTL:
                    # read after the version: at worst newer than it says, and then signed once more
                    statuses = StatusList.of(store.statuses(list_id), size=row.size)
                    uri = status_uri(service.settings, list_id)
                    jwt = sign_list(statuses, uri=uri, at=now, key=service.keys.active)
                    kept = self._current[list_id] = _Signed(version=row.version, kid=kid, at=now, jwt=jwt)
        return ServedList(jwt=kept.jwt, fresh_for=kept.at + TTL - now)

    def past(self, service: Service, list_id: str, at: datetime) -> ServedList | None:
        """The list as it stood at ``at``; ``None`` when there was none then, or that is yet to come.

        It is signed for all the time in which it stood so (``iat`` to ``exp``), rounded up to whole seconds as the question is.
        """
        now, key = service.now(), service.keys.active
        with service.database.transaction() as store:
            row = store.get(StatusListRow, list_id)
            if row is None or not row.made_at <= at <= now:
                return None
            since, until = store.status_unchanged(list_id, at)
            named = (list_id, since, key.kid)
            with self._lock:
                kept = self._past.get(named)
                if kept is None:
                    statuses = StatusList.of(store.statuses(list_id, at=at), size=row.size)
                    uri = status_uri(service.settings, list_id)
                    from_s, end = _next_second(since), None if until is None else _next_second(until)
                    kept = sign_list(statuses, uri=uri, at=from_s, until=end or now + timedelta(seconds=1), key=key)
                    if end is not None:
                        self._past[named] = kept
                        while len(self._past) > _MOST_KEPT:
                            self._past.popitem(last=False)
        return ServedList(jwt=kept, fresh_for=TTL)


def _next_second(at: datetime) -> datetime:
    """``at``, rounded up."""
    return at if at.microsecond == 0 else at.replace(microsecond=0) + timedelta(seconds=1)


def status_uri(settings: Settings, list_id: str) -> str:
    """Where a list is read, as tokens name it."""
    return f"{settings.public_url}/v1/status/{list_id}"


def status_ref(store: Store, settings: Settings, consent_id: str, *, now: datetime) -> StatusRef:
    """Where the status of a consent stands. Consents of the first release get their place when they are first asked for."""
    list_id, index = store.give_status(consent_id, now=now)
    return StatusRef(uri=status_uri(settings, list_id), index=index)
