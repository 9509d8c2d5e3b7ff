"""Keys added and retired while the service runs, for the command line. What follows of itself is in the sweep."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from api.database import open_database
from api.keys import KeyRing, ServiceKeys, add_master_key, add_signing_key, drop_master_key
from api.service import wall_clock
from api.settings import Settings
from consent.canonical import write_instant


class KeyInUse(Exception):
    """A master key still wraps something; it is retired when the sweep has wrapped that again."""

    code = "key_in_use"


def rotate_signing(settings: Settings, *, after: timedelta) -> dict[str, Any]:
    """Add the next signing key. Raises: KeysInvalid."""
    now = wall_clock()
    return {"kid": add_signing_key(settings, now=now, after=after), "signs_from": write_instant(now + after)}


def rotate_master(settings: Settings, *, after: timedelta) -> dict[str, Any]:
    """Add the next master key of the key file. Raises: KeysInvalid."""
    now = wall_clock()
    key_id = add_master_key(settings, now=now, after=after)
    outside = any(named != "file:" for named in settings.master_key)
    return {
        "key_id": key_id,
        "wraps": "stored answers" if outside else "data keys and stored answers",
        "wraps_from": write_instant(now + after),
    }


def retire_master(settings: Settings, key_id: str) -> dict[str, Any]:
    """Take a master key out of the key file, unless anything is still wrapped with it.

    Raises:
        KeyInUse: with how much. KeysInvalid: when it is the one that wraps, or not in the file. DatabaseUnavailable.
    """
    with open_database(settings) as database, database.transaction() as store:
        under = store.under_masters()
        wrapped = under.get(key_id, 0) + under.get(None, 0)  # what the first release wrote names no key
        if wrapped:
            raise KeyInUse(
                f"{wrapped} keys and answers are still under {key_id}; the sweep of a running worker moves them"
            )
        drop_master_key(settings, key_id, now=wall_clock())
    return {"retired": key_id}


def list_keys(settings: Settings) -> list[dict[str, Any]]:
    """Every key with what it does, newest first. Raises: KeysInvalid, DatabaseUnavailable."""
    keys = KeyRing(settings, now=wall_clock).current()
    with open_database(settings) as database, database.transaction() as store:
        return keys_listed(keys, store.under_masters())


def keys_listed(keys: ServiceKeys, under: dict[str | None, int]) -> list[dict[str, Any]]:
    """These keys with what each does, and how much is wrapped ``under`` each master key. No secret is in it."""
    under = dict(under)
    newest = (keys.masters.newest.key_id, keys.answers.newest.key_id)
    listed: list[dict[str, Any]] = [
        {"id": key.kid, "kind": "signing", "state": "signs" if key.kid == keys.active.kid else "verifies"}
        for key in keys.signing
    ]
    listed += [
        {
            "id": wrapper.key_id,
            "kind": "master",
            "state": "wraps" if wrapper.key_id in newest else "unwraps",
            "wrapped": under.pop(wrapper.key_id, 0),
        }
        for wrapper in keys.masters.wrappers
    ]
    return listed + [
        {"id": by, "kind": "master", "state": "not here", "wrapped": number} for by, number in under.items()
    ]
