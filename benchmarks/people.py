"""People with consents by the thousand, as grants write them: sealed templates, signed records, entries in the log."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from api.auth import Role, create_key
from api.consents import controller_of
from api.keys import seal
from api.ledger import append
from api.media import Sealed, templates_from_bytes, templates_to_bytes
from api.service import Service
from api.storage import new_id
from consent import tokens
from consent.gate import commit_template
from consent.ledger import SALT_BYTES, commit
from consent.record import Limits, event_bytes, fold, grant, sign_record
from consent.status_list import StatusRef
from consent.terms import Purpose, current
from liveness.challenge import Reveal
from liveness.policy import STRICT, Path
from liveness.template import FaceTemplate, template
from liveness.verdict import CheckResult, Live

CONTRACT = "bench-512-1"
BACKEND = "studio"
_AT_ONCE = 1000
_TEMPLATES_EACH = 3  # as an enrolment keeps them


@dataclass(frozen=True, slots=True, kw_only=True)
class Someone:
    """A person who consented; ``face`` is a new look at them, for a question."""

    consent_id: str
    token: str = field(repr=False)
    face: FaceTemplate = field(repr=False)


def consenting(service: Service, count: int) -> tuple[str, list[Someone]]:
    """The key of the backend :data:`BACKEND`, and that many people who let it show them for a year."""
    now = service.now()
    with service.database.transaction() as store:
        key = create_key(store, Role.BACKEND, BACKEND, now=now)
        create_key(store, Role.APP, "bench-app", now=now)
    url = make_url(service.database.owner_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as owner:  # past foreign keys: the live checks before it are not there
        owner.execute("SET session_replication_role = replica")
        list_id = new_id("stl")
        owner.execute("INSERT INTO status_lists VALUES (%s, %s, %s, 0, %s)", (list_id, max(2**20, count), count, now))
        chance = np.random.default_rng(1)
        people: list[Someone] = []
        while len(people) < count:
            people += _some(service, owner, chance, list_id, len(people), min(_AT_ONCE, count - len(people)))
        owner.execute("VACUUM (FREEZE, ANALYZE)")  # what so many rows at once leave to be done is done now
        owner.execute("CHECKPOINT")
    return key, people


def _some(
    service: Service, owner: psycopg.Connection[Any], chance: np.random.Generator, list_id: str, first: int, count: int
) -> list[Someone]:
    now, keys = service.now(), service.keys
    master, made = keys.masters.newest, list[Someone]()
    rows: dict[str, list[Sequence[object]]] = {name: [] for name in _COLUMNS}
    events = []
    for number in range(first, first + count):
        *enrolled, face = _looks_of_one(chance)
        content = templates_to_bytes(enrolled)
        kept = [each for each in templates_from_bytes(content) if each is not None]
        consent_id, subject_id, data_key_id, sealed_id = (new_id(prefix) for prefix in ("cns", "sub", "key", "sld"))
        salt, data_key = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(32)
        live = Live(
            challenge_id=new_id("chl"), nonce="0f" * 16, capture_sha256=secrets.token_hex(32),
            policy=f"{STRICT.name}@{STRICT.version}", path=Path.STANDARD, extra_time=False, reveal=Reveal.AT_ONCE,
            models={"face_embedding": CONTRACT}, judged_at=now,
            results=(CheckResult.passed("same_person", 0.81, 0.38, "cosine"),), assurance=STRICT.assurance,
        )  # fmt: skip
        event = grant(
            live, consent_id=consent_id, subject_id=subject_id, controller=controller_of(service.settings),
            terms=current("en"), purposes=[Purpose.CAMEO], audience=[BACKEND], limits=Limits(max_seconds=60),
            template_commitment=commit_template(kept, salt), expires_at=now + timedelta(days=365), now=now,
        )  # fmt: skip
        record = fold([event])
        token = tokens.issue(
            record, token_id=new_id("tok"), audience=BACKEND, purpose=Purpose.CAMEO, life=timedelta(hours=2), now=now,
            status=StatusRef(uri=f"{service.settings.public_url}/v1/status/{list_id}", index=number),
        )  # fmt: skip
        made.append(Someone(consent_id=consent_id, token=tokens.sign(token, keys.active), face=face))
        wrapped = master.wrap(data_key, about=f"data-key|{data_key_id}|{consent_id}")
        closed = seal(data_key, content, about=f"sealed|{sealed_id}|{Sealed.TEMPLATES}|{data_key_id}")
        rows["subjects"].append((subject_id, "apk_bench", hashlib.sha256(subject_id.encode()).digest(), now))
        rows["data_keys"].append((data_key_id, consent_id, wrapped, master.key_id, now))
        rows["sealed"].append((sealed_id, data_key_id, Sealed.TEMPLATES.value, closed, False, len(content), now))
        rows["consents"].append(
            (
                *(consent_id, subject_id, "apk_bench", new_id("ses"), live.challenge_id, salt, data_key_id, sealed_id),
                *(now, record.expires_at, record.destroy_by),
            )
        )
        rows["status_entries"].append((list_id, number, consent_id, 0))
        events.append((event, event_bytes(event), sign_record(record, keys.active), salt))
    for name, columns in _COLUMNS.items():
        _copy(owner, name, columns, rows[name])
    with service.database.transaction() as store:
        entries = append(store, [(event.kind, commit(body, salt)) for event, body, _, salt in events], now=now)
    written = [
        (event.consent_id, event.number, body, record, entry.index, event.at)
        for (event, body, record, _), entry in zip(events, entries, strict=True)
    ]
    _copy(owner, "consent_events", ("consent_id", "number", "body", "record", "ledger_index", "at"), written)
    return made


def _looks_of_one(chance: np.random.Generator) -> list[FaceTemplate]:
    """Templates of one face, and a further look at it, about as alike as those of a real one (cosine 0.6)."""
    middle = chance.standard_normal(512)
    looks = [middle + 0.8 * chance.standard_normal(512) for _ in range(_TEMPLATES_EACH + 1)]
    return [template(look.astype(np.float32), contract_id=CONTRACT) for look in looks]


_COLUMNS: dict[str, tuple[str, ...]] = {
    "subjects": ("subject_id", "app_key_id", "reference", "created_at"),
    "data_keys": ("data_key_id", "owner", "wrapped", "wrapped_by", "created_at"),
    "sealed": ("sealed_id", "data_key_id", "kind", "content", "in_file", "size", "made_at"),
    "consents": ("consent_id", "subject_id", "app_key_id", "session_id", "challenge_id", "salt", "data_key_id",
                 "templates_id", "granted_at", "expires_at", "destroy_by"),
    "status_entries": ("list_id", "idx", "consent_id", "state"),
}  # fmt: skip


def _copy(owner: psycopg.Connection[Any], name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    into = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(name), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with owner.cursor() as cursor, cursor.copy(into) as copy:
        for row in rows:
            copy.write_row(row)


__all__ = ["BACKEND", "CONTRACT", "Someone", "consenting"]
