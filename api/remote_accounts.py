"""The operator's accounts with vendors: a file (TOML, 0600) with a table for each backend that may be used.

    [seedance]
    host = "ap"              # one of the card's regions; unset: its first
    key = "..."              # what the card asks for

    [diffusers]              # on this machine: a folder, and the SHA-256 of every file in it, as sha256sum writes them
    folder = "..."
    pins = "..."

    [comfyui]
    address = "http://127.0.0.1:8188"      # a machine of the operator's own, only this one over plain http

A backend that is not in the file is not offered. Unknown names stop the start, as with settings.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from api.outbound import AddressRefused, destination
from api.settings import SettingsInvalid
from likeness.backends import BackendCard, Standing, cards
from likeness.remote import Account


def read_accounts(path: Path | None, content: str | None = None) -> dict[str, Account]:
    """By backend. ``content``: of the file, where that came with the environment instead.

    Raises: SettingsInvalid, which never repeats a value.
    """
    try:
        if content is None:
            if path is None:
                return {}
            if os.name == "posix" and path.stat().st_mode & 0o077:
                raise SettingsInvalid(f"{path} can be read by others; make it 0600")
            content = path.read_text(encoding="utf-8")
        found = tomllib.loads(content)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsInvalid(f"MIEN_BACKENDS cannot be read: {type(error).__name__}") from None
    return {name: _account(name, fields) for name, fields in found.items()}


def _account(name: str, fields: object) -> Account:
    card = cards().get(name)
    if card is None or not isinstance(fields, Mapping):
        raise SettingsInvalid(f"MIEN_BACKENDS: there is no backend {name} (known: {', '.join(sorted(cards()))})")
    if card.standing not in (Standing.LIVE, Standing.LOCAL):
        raise SettingsInvalid(f"MIEN_BACKENDS: {name} cannot be used: {card.why}")
    wrong = [key for key in fields if key not in ("host", "address", *card.secrets, *card.options)]
    if wrong or not all(isinstance(value, str) for value in fields.values()):
        raise SettingsInvalid(f"MIEN_BACKENDS: {name} takes texts named host, address, {_named(card)}")
    return Account(
        host="" if card.standing is Standing.LOCAL else _host(card, fields),
        secrets={key: str(fields[key]) for key in card.secrets if key in fields},
        options={**card.options, **{key: str(fields[key]) for key in card.options if key in fields}},
    )


def _host(card: BackendCard, fields: Mapping[str, object]) -> str:
    address = fields.get("address")
    if address is None:
        region = str(fields.get("host", next(iter(card.hosts))))
        if region not in card.hosts:
            raise SettingsInvalid(f"MIEN_BACKENDS: {card.name} has the hosts {', '.join(card.hosts)}")
        return card.hosts[region]
    try:
        destination(str(address), loopback=True)
    except AddressRefused as refused:
        raise SettingsInvalid(f"MIEN_BACKENDS: the address of {card.name}: {refused.code}") from None
    return str(address)


def _named(card: BackendCard) -> str:
    return ", ".join((*card.secrets, *card.options))
