"""A status list: ``python -m benchmarks.status_list ENTRIES``. Its size with 1 % revoked, and what making and reading cost.

Out of the database too: a list of that many consents, each with an entry, as the service serves it.
"""

from __future__ import annotations

import random
import secrets
import statistics
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from api.service import Service, wall_clock
from api.status import StatusLists, status_uri
from api.tables import StatusListRow
from benchmarks.report import fresh_service, report, timed
from consent.keys import KeySet, SigningKey
from consent.status_list import LIST_SIZE, Status, StatusList, read_list, sign_list
from lab.bench import Figure

_ENTRIES = 1_000_000
_REVOKED = 0.01  # goal: of the whole list
_RUNS = 20
_URI = "https://mien.example/v1/status/stl_" + "0" * 32
_FILL = """
INSERT INTO status_entries (list_id, idx, state)
SELECT :list, idx, CASE WHEN random() < :share THEN 1 ELSE 0 END FROM generate_series(0, :last) AS idx
"""


def main() -> None:
    report(__doc__, measure, count=_ENTRIES, noun="entries of the list")


def measure(count: int) -> list[Figure]:
    """Figures of one list with that many entries, a hundredth of them revoked."""
    chance, key = random.Random(1), SigningKey.from_seed(secrets.token_bytes(32))
    states = dict.fromkeys(chance.sample(range(count), round(count * _REVOKED)), Status.REVOKED)
    listed = StatusList.of(states, size=count)
    now = wall_clock()
    signed = sign_list(listed, uri=_URI, at=now, key=key)
    read = read_list(signed, KeySet.of(key), uri=_URI).statuses
    if any(read.status_at(index) != state for index, state in states.items()):
        raise SystemExit("the list reads differently than it was made")
    figures = [
        Figure(
            what=f"list of {count:,}, 1 % revoked: compressed",
            value=_compressed(listed) / 1000,
            unit="kB",
            goal="<= 16",
        ),
        Figure(what="  signed, as it travels (base64url twice)", value=len(signed) / 1000, unit="kB"),
        _median("  pack", lambda: StatusList.of(states, size=count)),
        _median("  compress and sign", lambda: sign_list(listed, uri=_URI, at=now, key=key)),
        _median("  verify and unpack", lambda: read_list(signed, KeySet.of(key), uri=_URI)),
    ]
    with fresh_service() as service:
        figures += _served(service, min(count, LIST_SIZE))
    return figures


def _compressed(listed: StatusList) -> int:
    """Bytes: four characters of base64url hold three."""
    return len(listed.to_lst()) * 3 // 4


def _median(what: str, work: Callable[[], object]) -> Figure:
    return Figure(what=what, value=1000 * statistics.median(timed(work)[0] for _ in range(_RUNS)), unit="ms")


def _served(service: Service, count: int) -> list[Figure]:
    list_id, made = "stl_" + "1" * 32, wall_clock() - timedelta(days=1)
    with service.database.transaction() as store:
        store.add(StatusListRow(list_id=list_id, size=LIST_SIZE, used=count, version=0, made_at=made))
    owner = create_engine(service.database.owner_url, poolclass=NullPool)
    with owner.begin() as connection:
        connection.execute(text(_FILL), {"list": list_id, "share": _REVOKED, "last": count - 1})
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE status_entries"))
    fresh, kept = [], []
    for _ in range(_RUNS):
        lists = StatusLists()
        seconds, first = timed(lambda lists=lists: lists.current(service, list_id))  # type: ignore[misc]
        fresh.append(seconds)
        kept.append(timed(lambda lists=lists: lists.current(service, list_id))[0])  # type: ignore[misc]
        if first is None:
            raise SystemExit("the list is not served")
    read_list(first.jwt, service.keys.public, uri=status_uri(service.settings, list_id))
    return [
        Figure(what=f"served out of {count:,} rows, after a change", value=1000 * statistics.median(fresh), unit="ms"),
        Figure(what="  again, nothing changed", value=1000 * statistics.median(kept), unit="ms"),
    ]


if __name__ == "__main__":
    main()
