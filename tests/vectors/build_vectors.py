"""Makes the test vectors of ``consent`` from fixed seeds.

    python -m tests.vectors.build_vectors           writes them
    python -m tests.vectors.build_vectors --check   exits 1 when they differ from what is written

Every case has a ``why``. The keys are made from the bytes 0..31 and 1..32 and are worth nothing. Forged cases are built here
byte by byte, without the code under test.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from consent.authority import SubjectAssurance
from consent.content import ContentCategory
from consent.gate import Obligations, Permit, commit_template, sign_permit
from consent.keys import KeySet, SigningKey
from consent.record import (
    ConsentRecord,
    Controller,
    Party,
    RevokedBy,
    ask,
    defer,
    event_bytes,
    fold,
    grant,
    narrow,
    refuse,
    renew,
    resume,
    revoke,
    sign_record,
    suspend,
)
from consent.scope import ApprovalRule, Limits
from consent.status_list import StatusList, StatusRef, sign_list
from consent.terms import VERSIONS, Purpose, by_sha256, current
from consent.tokens import ConsentToken, issue, sign
from liveness.challenge import Reveal
from liveness.policy import Assurance
from liveness.policy import Path as ChosenPath
from liveness.template import FaceTemplate
from liveness.verdict import CheckResult, Live
from tests.proofs import Holder

FOLDER = Path(__file__).parent / "consent"

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SEED, OTHER_SEED = bytes(range(32)), bytes(range(1, 33))
KEY, OTHER_KEY = SigningKey.from_seed(SEED), SigningKey.from_seed(OTHER_SEED)
KEYS = KeySet.of(KEY)
SALT = bytes(range(100, 132))
HOLDER, OTHER_HOLDER = Holder.p256(2), Holder.ed25519(OTHER_SEED)
LIST_URI = "https://gate.example/v1/status/stl_1"

Json = dict[str, Any]


def main() -> int:
    files = build()
    if sys.argv[1:] == ["--check"]:
        stale = [name for name, text in files.items() if _written(name) != text]
        for name in stale:
            sys.stderr.write(f"{name} is not what tests/vectors/build_vectors.py makes\n")
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for name, text in files.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


def _written(name: str) -> str:
    path = FOLDER / name
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def build() -> dict[str, str]:
    """File name to text."""
    files = {
        "keys.json": _keys(),
        "terms.json": _terms(),
        "commitments.json": _commitments(),
        "events.json": _events(_stages()),
        "events-1.json": _events(_stages_1()),
        "states.json": _states(),
        "records.json": _records(_stages() | _life()),
        "records-1.json": _records_1(),
        "ledger.json": _ledger(),
        "receipts.json": _receipts(),
        "tokens.json": _tokens(),
        "permits.json": _permits(),
        "status_lists.json": _status_lists(),
        "proofs.json": _proofs(),
    }
    return {
        name: json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        for name, content in files.items()
    }


# --- signing by hand -------------------------------------------------------------------------------------------------


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def compact(header: Json | bytes, payload: Json | bytes, seed: bytes = SEED) -> str:
    """A compact JWS over exactly this header and payload."""
    signed = f"{b64(_json(header))}.{b64(_json(payload))}"
    return f"{signed}.{b64(Ed25519PrivateKey.from_private_bytes(seed).sign(signed.encode()))}"


def _json(content: Json | bytes) -> bytes:
    if isinstance(content, bytes):
        return content
    return json.dumps(content, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def header(typ: str = "consent+jwt", **changes: Any) -> Json:
    return {"alg": "Ed25519", "kid": KEY.kid, "typ": typ} | changes


def payload_of(jws: str) -> Json:
    part = jws.split(".")[1]
    content: Json = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return content


# --- what is signed --------------------------------------------------------------------------------------------------


def templates() -> tuple[FaceTemplate, ...]:
    """Two unit vectors of four numbers each, under one contract."""
    vectors = ([0.5, 0.5, 0.5, 0.5], [1.0, 0.0, 0.0, 0.0])
    return tuple(FaceTemplate(vector=np.array(v, np.float32), contract_id="example-4") for v in vectors)


def _live(challenge_id: str = "chl_1", *, judged_at: datetime = NOW - timedelta(minutes=1)) -> Live:
    return Live(
        challenge_id=challenge_id,
        nonce="0f" * 16,
        capture_sha256="cd" * 32,
        policy="strict@2026-11-21",
        path=ChosenPath.SMALL_TURNS,
        extra_time=False,
        reveal=Reveal.CUE_BY_CUE,
        models={"tracker": "example@1"},
        judged_at=judged_at,
        results=(
            CheckResult.passed("one_face", 1, 1, "faces"),
            CheckResult.passed("same_person", 0.8126, 0.38, "cosine"),
        ),
        assurance=Assurance.WEB,
    )


def _stages() -> dict[str, Any]:
    """The choices of the first release, written as they are now."""
    granted = grant(
        _live(),
        consent_id="cns_1",
        subject_id="sub_1",
        controller=Controller(
            name="例 Studio", contact="https://studio.example", jurisdiction="DE", storage_location="DE"
        ),
        terms=current("en"),
        purposes=[Purpose.CAMEO, Purpose.DIGITAL_DOUBLE],
        audience=["portrait", "other"],
        limits=Limits(max_seconds=60, forbidden_words=("vote", "战争"), uses=10),
        template_commitment=commit_template(templates(), SALT),
        expires_at=None,
        now=NOW,
    )
    return _then(fold([granted]), schema=2)


def _stages_1() -> dict[str, Any]:
    """The same consent as the first release wrote it."""
    old = by_sha256("3157f7f69a7cd7a9225fe83ef6c9cec5fa366a958dff96b4ea76167e5f4d5ced")
    assert old is not None
    granted = replace(_stages()["granted"].granted, schema=1, terms_version=old.version, terms_sha256=old.sha256)
    return _then(fold([granted]), schema=1)


def _then(whole: ConsentRecord, *, schema: int) -> dict[str, Any]:
    less = narrow(whole, audience=["portrait"], expires_at=NOW + 30 * DAY, now=NOW + HOUR)
    narrowed = fold([*whole.events, replace(less, schema=schema)])
    ended = revoke(narrowed, by=RevokedBy.SUBJECT, now=NOW + DAY)
    revoked = fold([*narrowed.events, replace(ended, schema=schema)])
    return {"granted": whole, "narrowed": narrowed, "revoked": revoked}


def _life() -> dict[str, Any]:
    """Every kind of event, with every choice made."""
    controller = Controller(
        name="例 Studio",
        contact="https://studio.example",
        jurisdiction="US-IL",
        storage_location="DE",
        withdrawal="https://mien.example/v1/consents/cns_2/revoke",
    )
    asked = ask(consent_id="cns_2", subject_id="sub_2", controller=controller, purposes=[Purpose.CAMEO], now=NOW - HOUR)
    deferred = defer([asked], now=NOW - HOUR / 2)
    granted = grant(
        _live(),
        consent_id="cns_2",
        subject_id="sub_2",
        controller=controller,
        terms=current("zh"),
        purposes=[Purpose.CAMEO, Purpose.VOICE],
        audience=["*"],
        limits=Limits(
            max_seconds=60,
            forbidden_categories=(ContentCategory.POLITICS, ContentCategory.ADULT),
            allowed_categories=(ContentCategory.SATIRE,),
            territories=("DE", "US-CA"),
        ),
        template_commitment=commit_template(templates(), SALT),
        expires_at=NOW + 3000 * DAY,
        now=NOW,
        makers=["self", "maker-1"],
        approval=ApprovalRule.ALWAYS,
        check_sha256="ef" * 32,
    )
    given = fold([asked, deferred, replace(granted, number=2)])
    suspended = fold([*given.events, suspend(given, by=Party.SUBJECT, now=NOW + HOUR)])
    twice = fold([*suspended.events, suspend(suspended, by=Party.AUTHORITY, now=NOW + 2 * HOUR)])
    once = fold([*twice.events, resume(twice, of=Party.SUBJECT, by=Party.SUBJECT, now=NOW + 3 * HOUR)])
    resumed = fold([*once.events, resume(once, of=Party.AUTHORITY, by=Party.AUTHORITY, now=NOW + 4 * HOUR)])
    renewal = renew(
        resumed,
        _live("chl_2", judged_at=NOW + DAY),
        terms=current("zh"),
        enrolled=templates(),
        shown=templates(),
        same_person=0.9,
        purposes=[Purpose.CAMEO],
        now=NOW + DAY,
    )
    renewed = fold([*resumed.events, renewal])
    ended = fold([*renewed.events, revoke(renewed, by=RevokedBy.CONTROLLER, now=NOW + 2 * DAY)])
    return {
        "given": given,
        "suspended": suspended,
        "suspended twice": twice,
        "resumed once": once,
        "resumed": resumed,
        "renewed": renewed,
        "terminated": ended,
    }


def _states() -> Json:
    """Prefixes of one life, and the state at the last event of each."""
    events = _life()["terminated"].events
    asked = list(events[:2])
    states = ["requested", "deferred", "given", "unknown", "unknown", "unknown", "given", "renewed", "terminated"]
    lives = [list(events[: number + 1]) for number in range(len(events))]
    lives.append([*asked, refuse(asked, now=NOW)])
    return {
        "about": "Events of one consent and its state at the last of them. Only `given` and `renewed` allow a use.",
        "cases": [
            {"why": life[-1].kind, "events": [event_bytes(event).decode() for event in life], "state": state}
            for life, state in zip(lives, [*states, "refused"], strict=True)
        ],
    }


def _keys() -> Json:
    return {
        "about": "The public keys that the valid vectors verify with, and the seeds of the private ones.",
        "jwks": KEYS.to_jwks(),
        "seed": SEED.hex(),
        "other_seed": OTHER_SEED.hex(),
        "other_jwks": KeySet.of(OTHER_KEY).to_jwks(),
    }


def _terms() -> Json:
    return {
        "about": "Every text ever released, by the hash of its UTF-8 bytes.",
        "cases": [{"version": t.version, "language": t.language, "sha256": t.sha256} for t in VERSIONS],
    }


def _commitments() -> Json:
    mac = hmac.new(SALT, b"mien-template-1", hashlib.sha256)
    for template in templates():
        for part in (template.contract_id.encode(), template.vector.astype("<f4").tobytes()):
            mac.update(len(part).to_bytes(8, "big") + part)
    return {
        "about": "Template commitments, made here with nothing but HMAC-SHA256.",
        "cases": [
            {
                "why": "two templates in order, each as length and contract, length and little-endian float32 vector",
                "salt": SALT.hex(),
                "templates": [
                    {"contract_id": t.contract_id, "vector": [float(number) for number in t.vector]}
                    for t in templates()
                ],
                "commitment": mac.hexdigest(),
            }
        ],
    }


def _events(stages: dict[str, Any]) -> Json:
    events = [event_bytes(event).decode() for event in stages["revoked"].events]
    granted, narrowed, revoked = events
    wider = json.loads(narrowed)
    wider["scope"]["purposes"] = ["cameo", "digital_double", "training"]
    longer = json.loads(narrowed)
    longer["scope"]["expires_at"] = "2030-01-01T00:00:00.000000Z"
    forever = json.loads(granted)
    forever["scope"]["expires_at"] = "2046-01-01T00:00:00.000000Z"
    stale = json.loads(granted)
    stale["live_check"]["judged_at"] = "2026-11-21T11:44:59.999999Z"
    foreign = json.loads(revoked) | {"record_id": "cns_2"}
    early = json.loads(narrowed) | {"event_time": "2026-11-21T11:59:59.000000Z"}
    numbered = json.loads(narrowed) | {"number": 3}
    extra = json.loads(granted) | {"score": 1}
    over = json.loads(narrowed)
    over["scope"]["expires_at"] = over["event_time"]
    unordered = json.loads(granted)
    unordered["scope"]["purposes"] = ["digital_double", "cameo"]
    once = json.loads(granted)
    once["scope"]["limits"]["uses"] = True
    state = json.loads(revoked) | {"event_state": "given"}

    def text(content: Json) -> str:
        return _json(content).decode()

    return {
        "about": "Events of one consent as canonical JSON, and whether they fold to a record.",
        "cases": [
            {"why": "just granted", "events": [granted], "valid": True, "state_after_an_hour": "given"},
            {
                "why": "granted, then narrowed",
                "events": [granted, narrowed],
                "valid": True,
                "state_after_an_hour": "given",
            },
            {
                "why": "granted, narrowed, withdrawn",
                "events": events,
                "valid": True,
                "state_after_two_days": "withdrawn",
            },
            {"why": "no events", "events": [], "valid": False},
            {"why": "does not begin with being granted", "events": [narrowed, revoked], "valid": False},
            {"why": "granted twice", "events": [granted, granted], "valid": False},
            {
                "why": "the narrowing is left out: number 2 follows number 0",
                "events": [granted, revoked],
                "valid": False,
            },
            {"why": "narrowed after the withdrawal", "events": [granted, revoked, narrowed], "valid": False},
            {"why": "granted again after the withdrawal", "events": [*events, granted], "valid": False},
            {"why": "a narrowing adds a purpose", "events": [granted, text(wider)], "valid": False},
            {"why": "a narrowing ends later", "events": [granted, text(longer)], "valid": False},
            {"why": "a term of more than ten years", "events": [text(forever)], "valid": False},
            {"why": "the live check is 15 minutes and a microsecond old", "events": [text(stale)], "valid": False},
            {"why": "an event of another consent", "events": [granted, narrowed, text(foreign)], "valid": False},
            {"why": "time goes back", "events": [granted, text(early)], "valid": False},
            {"why": "a number is skipped", "events": [granted, text(numbered)], "valid": False},
            {"why": "a narrowing that is over when it begins", "events": [granted, text(over)], "valid": False},
            {"why": "purposes in another order: not the one spelling", "events": [text(unordered)], "valid": False},
            {"why": "the number of uses is true", "events": [text(once)], "valid": False},
            {"why": "a member that no event has", "events": [text(extra)], "valid": False},
            {"why": "a withdrawal that calls itself given", "events": [granted, narrowed, text(state)], "valid": False},
            {"why": "spaces: not the one spelling", "events": [granted.replace(",", ", ", 1)], "valid": False},
            {
                "why": "a member twice",
                "events": [granted.replace('"number":0', '"number":0,"number":0')],
                "valid": False,
            },
        ],
    }


def _records(stages: dict[str, Any]) -> Json:
    granted = sign_record(stages["granted"], KEY)
    payload = payload_of(granted)
    revoked_payload = payload_of(sign_record(stages["revoked"], KEY))
    typ = "consent-record+jws"
    head, body, _ = granted.split(".")
    return {
        "about": "Signed consent records (compact JWS).",
        "cases": [
            {
                "why": f"signed after the event {name}",
                "record": sign_record(stage, KEY),
                "valid": True,
                "events": len(stage.events),
            }
            for name, stage in stages.items()
        ]
        + [
            {"why": why, "record": jws, "valid": False}
            for why, jws in {
                "signed by another service": sign_record(stages["granted"], OTHER_KEY),
                "another service's signature under our key id": compact(header(typ), payload, OTHER_SEED),
                "a consent token's type": compact(header("consent+jwt"), payload),
                "the older name of the algorithm, which leaves the curve open": compact(
                    header(typ, alg="EdDSA"), payload
                ),
                "the scope says more than the events": compact(
                    header(typ), payload | {"scope": payload["scope"] | {"recipients": ["*"]}}
                ),
                "the state hides the withdrawal": compact(header(typ), revoked_payload | {"event_state": "given"}),
                "a member that no record has": compact(header(typ), payload | {"note": "ok"}),
                "a member is missing": compact(header(typ), {k: v for k, v in payload.items() if k != "jurisdiction"}),
                "no events": compact(header(typ), payload | {"events": []}),
                "no signature": f"{head}.{body}.",
                "the signature of another record": f"{head}.{body}.{sign_record(stages['revoked'], KEY).split('.')[2]}",
            }.items()
        ],
    }


def _records_1() -> Json:
    """What the first release signed, built here by hand: the code under test only reads it."""
    events = [json.loads(event_bytes(event)) for event in _stages_1()["revoked"].events]
    granted, typ = events[0], "consent-record+jws"

    def payload(count: int) -> Json:
        last = events[count - 1]
        scopes = [event["scope"] for event in events[:count] if "scope" in event]
        return {
            "schema_version": "mien-consent-record-1",
            "record_id": "cns_1",
            "pii_principal_id": "sub_1",
            "privacy_notice": granted["privacy_notice"],
            "pii_controllers": [granted["pii_controller"]],
            "jurisdiction": "DE",
            "storage_locations": ["DE"],
            "lawful_basis": "explicit_consent",
            "collection_method": "live_check",
            "pii_types": ["face_picture", "face_template"],
            "special_category": "biometric",
            "retention_period": "until_expiry_or_withdrawal",
            "withdrawal_method": "one_step_any_time",
            "event_state": last["event_state"],
            "event_time": last["event_time"],
            "scope": scopes[-1],
            "assurance": "web",
            "events": events[:count],
        }

    newer = json.loads(event_bytes(_stages()["narrowed"].events[1]))
    mixed = payload(2) | {"events": [granted, newer], "scope": newer["scope"]}
    return {
        "about": "Consent records as the first release signed them: schema 1, which still reads.",
        "cases": [
            {"why": f"{count} events", "record": compact(header(typ), payload(count)), "valid": True, "events": count}
            for count in (1, 2, 3)
        ]
        + [
            {"why": why, "record": compact(header(typ), content), "valid": False}
            for why, content in {
                "an event of schema 2 in a record of schema 1": mixed,
                "a schema that nobody wrote": payload(1) | {"schema_version": "mien-consent-record-3"},
                "schema 2 with the members of schema 1": payload(1) | {"schema_version": "mien-consent-record-2"},
                "the state hides the withdrawal": payload(3) | {"event_state": "given"},
                "a member of schema 2": payload(1) | {"suspended_by": []},
            }.items()
        ],
    }


def _leaves() -> list[bytes]:
    """Of the entries of one consent's life, by hand."""
    return [
        _json(
            {
                "at": f"2026-11-21T{12 + number}:00:00.000000Z",
                "digest": hmac.digest(SALT, b"mien-ledger-1\0" + event_bytes(event), "sha256").hex(),
                "index": number,
                "kind": event.kind,
                "ledger": "mien-ledger-2",
            }
        )
        for number, event in enumerate(_stages()["revoked"].events)
    ]


def _mth(leaves: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1."""
    if len(leaves) < 2:
        return hashlib.sha256(b"\0" + leaves[0] if leaves else b"").digest()
    k = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\1" + _mth(leaves[:k]) + _mth(leaves[k:])).digest()


def _path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 9162, 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < k:
        return [*_path(index, leaves[:k]), _mth(leaves[k:])]
    return [*_path(index - k, leaves[k:]), _mth(leaves[:k])]


ORIGIN, WITNESS = "log.example/one", "witness.example/w1"


def _note_line(name: str, seed: bytes, text: str, *, kind: int = 1, seconds: int | None = None) -> str:
    """A signature line of C2SP signed-note, or of tlog-cosignature when it has a time."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    about = name.encode() + b"\n" + bytes([kind]) + key.public_key().public_bytes_raw()
    stated = b"" if seconds is None else seconds.to_bytes(8, "big")
    before = "" if seconds is None else f"cosignature/v1\ntime {seconds}\n"
    value = hashlib.sha256(about).digest()[:4] + stated + key.sign((before + text).encode())
    return f"\u2014 {name} {base64.b64encode(value).decode()}\n"


def _checkpoint(leaves: list[bytes], *, seed: bytes = SEED, origin: str = ORIGIN, cosigned: bool = False) -> str:
    text = f"{origin}\n{len(leaves)}\n{base64.b64encode(_mth(leaves)).decode()}\n"
    line = _note_line(WITNESS, OTHER_SEED, text, kind=4, seconds=1795262400) if cosigned else ""
    return f"{text}\n{_note_line(origin, seed, text)}{line}"


def _ledger() -> Json:
    leaves = _leaves()

    def case(why: str, changed: list[bytes], *, checkpoint: list[bytes] | None = None, **expected: Any) -> Json:
        signed = leaves if checkpoint is None else checkpoint
        return {
            "why": why,
            "leaves": [leaf.decode() for leaf in changed],
            "checkpoint": {"size": len(signed), "root": _mth(signed).hex(), "note": _checkpoint(signed)},
        } | expected

    def changed(number: int, **members: Any) -> list[bytes]:
        other = _json(json.loads(leaves[number]) | members)
        return [*leaves[:number], other, *leaves[number + 1 :]]

    return {
        "about": "Leaves of the log with a signed checkpoint: the root that they have, or the first entry that is wrong. "
        "Without the stored tree a changed entry is known only as lying below the first checkpoint that contradicts it.",
        "cases": [
            case("empty", [], checkpoint=[], root=_mth([]).hex()),
            case("three entries", leaves, root=_mth(leaves).hex()),
            case("one entry after the checkpoint", leaves, checkpoint=leaves[:2], root=_mth(leaves).hex()),
            case("a digest was changed", changed(1, digest="0" * 64), broken_at=0),
            case("the last digest was changed", changed(2, digest="0" * 64), broken_at=0),
            case("a time goes back", changed(1, at="2026-01-01T00:00:00.000000Z"), broken_at=1),
            case("the middle is missing", [leaves[0], leaves[2]], broken_at=1),
            case("the beginning is missing", leaves[1:], broken_at=0),
            case("the end is missing", leaves[:2], broken_at=2),
            case("two are swapped", [leaves[0], leaves[2], leaves[1]], broken_at=1),
            case("one is there twice", [leaves[0], leaves[1], leaves[1], leaves[2]], broken_at=2),
            case("a member that no entry has", changed(1, note="ok"), broken_at=1),
            case("another format's name", changed(1, ledger="mien-ledger-1"), broken_at=1),
            case(
                "spaces: not the one spelling", [leaves[0], leaves[1].replace(b",", b", ", 1), leaves[2]], broken_at=1
            ),
        ],
    }


def _receipts() -> Json:
    stages = _stages()
    leaves = _leaves()
    filler = json.loads(leaves[0])
    before = _json(filler | {"digest": "0" * 64})
    tree = [before] + [_json(json.loads(leaf) | {"index": number}) for number, leaf in enumerate(leaves, 1)]

    def proof(index: int, leaves: list[bytes], checkpoint: str | None = None) -> str:
        path = "".join(base64.b64encode(step).decode() + "\n" for step in _path(index, leaves))
        note = _checkpoint(leaves) if checkpoint is None else checkpoint
        return f"c2sp.org/tlog-proof@v1\nindex {index}\n{path}\n{note}"

    content = {
        "schema_version": "mien-receipt-2",
        "record": sign_record(stages["granted"], KEY),
        "salt": b64(SALT),
        "leaf": json.loads(tree[1]),
        "proof": proof(1, tree[:2]),
    }
    extra = base64.b64encode(_json({name: content[name] for name in content if name != "proof"})).decode()
    one_file = proof(1, tree).replace("\nindex", f"\nextra {extra}\nindex", 1)

    def good(why: str, receipt: str | None = None, **members: Any) -> Json:
        text = _json(content | members).decode() if receipt is None else receipt
        return {"why": why, "receipt": text, "valid": True, "index": 1}

    def bad(why: str, receipt: str | None = None, *, code: str = "receipt_invalid", **members: Any) -> Json:
        return good(why, receipt, **members) | {"valid": False, "code": code}

    return {
        "about": "Receipts: whether they prove, with the public keys alone, that their record is in the log. Where `quorum` "
        "is given, so many of `witnesses` must have cosigned.",
        "witnesses": [_vkey(WITNESS, OTHER_SEED)],
        "cases": [
            good("a checkpoint right after the entry"),
            good("a later checkpoint", proof=proof(1, tree)),
            good("as one .tlog-proof", one_file),
            good("indented by hand", json.dumps(content, indent=2)),
            good("cosigned, and that is asked for", proof=proof(1, tree, _checkpoint(tree, cosigned=True))) | {"quorum": 1},
            good("cosigned by a witness that nobody knows", proof=proof(1, tree, _checkpoint(tree, cosigned=True))),
            bad("not cosigned although that is asked for", code="not_witnessed") | {"quorum": 1},
            bad("another salt", salt=b64(bytes(32))),
            bad("a salt of another length", salt=b64(SALT[:31])),
            bad("the record of a later event", record=sign_record(stages["narrowed"], KEY)),
            bad("a record signed by another service", record=sign_record(stages["granted"], OTHER_KEY)),
            bad("a checkpoint signed by another service", proof=proof(1, tree, _checkpoint(tree, seed=OTHER_SEED))),
            bad("a checkpoint of another tree", proof=proof(1, tree, _checkpoint(tree[:3]))),
            bad("the signature under another log's name",
                proof=proof(1, tree).replace(f"\n\n{ORIGIN}\n", "\n\nlog.example/two\n")),
            bad("an entry moved elsewhere", leaf=content["leaf"] | {"index": 0}),
            bad("an entry of another kind", leaf=content["leaf"] | {"kind": "consent.revoked"}),
            bad("the proof of another entry", proof=proof(0, tree[:2])),
            bad("a proof with one step more", proof=proof(1, tree).replace("\n\n", f"\n{'A' * 43}=\n\n", 1)),
            bad("a member that no receipt has", note="ok"),
            bad("a member twice", _json(content).decode().replace('{"leaf"', '{"proof":"","leaf"', 1)),
            bad("no JSON", "receipt"),
            bad("of the hash chain that came before the tree", code="receipt_outdated",
                receipt=_json({"schema_version": "mien-receipt-1", "record": "", "salt": "", "entry": {}, "path": [],
                               "head": ""}).decode()),
        ],
    }  # fmt: skip


def _vkey(name: str, seed: bytes) -> str:
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    key_id = hashlib.sha256(name.encode() + b"\n\x04" + public).digest()[:4]
    return f"{name}+{key_id.hex()}+{base64.b64encode(bytes([4]) + public).decode()}"


def _token(**more: Any) -> ConsentToken:
    return issue(
        _stages()["granted"],
        token_id="tok_1",
        audience="portrait",
        purpose=Purpose.CAMEO,
        life=HOUR,
        now=NOW,
        **more,
    )


def _tokens() -> Json:
    good = sign(_token(), KEY)
    claims = payload_of(good)
    head, body, signature = good.split(".")
    public = Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    hs256 = f"{b64(_json(header(alg='HS256')))}.{body}"
    none = f"{b64(_json(header(alg='none')))}.{body}"
    pem = (
        Ed25519PrivateKey.from_private_bytes(SEED)
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )

    def case(why: str, token: str, **expected: Any) -> Json:
        return {"why": why, "token": token, "audience": "portrait", "now": "2026-11-21T12:30:00Z"} | expected

    def bad(why: str, token: str, code: str = "bad_signature", **more: Any) -> Json:
        return case(why, token, code=code, **more)

    def without(name: str) -> Json:
        return {member: value for member, value in claims.items() if member != name}

    held = sign(_token(jkt=HOLDER.jkt, status=StatusRef(uri=LIST_URI, index=41)), KEY)
    held_claims = payload_of(held)

    def bound(why: str, **changes: Any) -> Json:
        return bad(why, compact(header(), held_claims | changes), "wrong_type")

    def status(**changes: Any) -> Json:
        return {"status_list": {"idx": 41, "uri": LIST_URI} | changes}

    doubled = _json(claims).replace(b'"aud":"portrait"', b'"aud":"portrait","aud":"portrait"')
    return {
        "about": "Consent tokens. Valid ones have `claims`, the others a `code`.",
        "cases": [
            case("valid", good, claims=claims),
            case("valid from its first second", good, now="2026-11-21T12:00:00Z", claims=claims),
            case("valid to its last microsecond", good, now="2026-11-21T12:59:59.999999Z", claims=claims),
            case("signed here by hand", compact(header(), claims), claims=claims),
            case("valid, bound to a key and with a status", held, claims=held_claims),
            bound("bound to something else than a thumbprint", cnf={"jkt": "A" * 42}),
            bound("bound to a key in another way", cnf={"jwk": HOLDER.jwk}),
            bound("bound in two ways", cnf={"jkt": HOLDER.jkt, "kid": "1"}),
            bound("bound to nothing", cnf={}),
            bound("bound to text", cnf=HOLDER.jkt),
            bound("a status without a list", status={}),
            bound("a status in two ways", status=status() | {"identifier_list": {}}),
            bound("an index below zero", status=status(idx=-1)),
            bound("an index beyond any list", status=status(idx=2**40)),
            bound("an index as text", status=status(idx="41")),
            bound("a list without an address", status=status(uri="")),
            bad("a microsecond too early", good, "not_yet_valid", now="2026-11-21T11:59:59.999999Z"),
            bad("expires at that instant", good, "expired", now="2026-11-21T13:00:00Z"),
            bad("long expired", good, "expired", now="2036-11-21T13:00:00Z"),
            bad("for another backend", good, "wrong_audience", audience="other"),
            bad("audience differs in case", good, "wrong_audience", audience="Portrait"),
            bad("empty", ""),
            bad("no JWT", "token"),
            bad("two parts", f"{head}.{body}"),
            bad("four parts", f"{good}.{signature}"),
            bad("no signature", f"{head}.{body}."),
            bad("signature of nothing but zeros", f"{head}.{body}.{b64(bytes(64))}"),
            bad("signature with a stray bit in its last character", good[:-1] + chr(ord(good[-1]) + 1)),
            bad("padded base64", f"{head}.{body}.{signature}=="),
            bad("a line end after it", good + "\n"),
            bad("alg none, no signature", f"{none}."),
            bad("alg none with the old signature", f"{none}.{signature}"),
            bad("HS256 keyed with the public key", f"{hs256}.{b64(hmac.digest(public, hs256.encode(), 'sha256'))}"),
            bad("HS256 keyed with the public key's PEM", f"{hs256}.{b64(hmac.digest(pem, hs256.encode(), 'sha256'))}"),
            bad("the older name of the algorithm, which leaves the curve open", compact(header(alg="EdDSA"), claims)),
            bad("signed by another service under our key id", compact(header(), claims, OTHER_SEED)),
            bad("an unknown key id", compact(header(kid=OTHER_KEY.kid), claims, OTHER_SEED)),
            bad("no key id", compact({"alg": "Ed25519", "typ": "consent+jwt"}, claims)),
            bad(
                "brings its own key", compact(header(jwk=KeySet.of(OTHER_KEY).to_jwks()["keys"][0]), claims, OTHER_SEED)
            ),
            bad("points to a key elsewhere", compact(header(jku="https://keys.example/jwks.json"), claims)),
            bad("a critical extension", compact(header(crit=["exp"], exp=1), claims)),
            bad("a critical extension that the library knows (b64)", compact(header(crit=["b64"], b64=True), claims)),
            bad("an empty list of critical extensions", compact(header(crit=[]), claims)),
            bad("a header member twice", compact(_json(header()).replace(b'{"alg"', b'{"alg":"none","alg"'), claims)),
            bad("header with spaces", compact(_json(header()).replace(b",", b", "), claims)),
            bad("header is a list", compact(b"[]", claims)),
            bad("typ JWT", compact(header("JWT"), claims), "wrong_type"),
            bad("typ of a permit", compact(header("permit+jwt"), claims), "wrong_type"),
            bad("typ in capitals", compact(header("CONSENT+JWT"), claims), "wrong_type"),
            bad("no typ", compact({"alg": "Ed25519", "kid": KEY.kid}, claims)),
            bad("a claim twice", compact(header(), doubled), "wrong_type"),
            bad("claims with spaces", compact(header(), _json(claims).replace(b",", b", ")), "wrong_type"),
            bad("claims are a list", compact(header(), b"[]"), "wrong_type"),
            bad("claims are no JSON", compact(header(), b"\xff"), "wrong_type"),
            bad("claims are empty", compact(header(), b""), "wrong_type"),
            *[bad(f"no {name}", compact(header(), without(name)), "wrong_type") for name in sorted(claims)],
            bad("a claim that no token has", compact(header(), claims | {"scope": "*"}), "wrong_type"),
            bad("two audiences", compact(header(), claims | {"aud": ["portrait", "other"]}), "wrong_type"),
            bad("another issuer", compact(header(), claims | {"iss": "other"}), "wrong_type"),
            bad("an unknown purpose", compact(header(), claims | {"purpose": "everything"}), "wrong_type"),
            bad("an unknown assurance", compact(header(), claims | {"assurance": "certain"}), "wrong_type"),
            bad("expiry as text", compact(header(), claims | {"exp": "4102444800"}), "wrong_type"),
            bad(
                "expiry as a fraction",
                compact(header(), _json(claims).replace(b'"exp":1', b'"exp":1.5e9,"x":1')),
                "wrong_type",
            ),
            bad("expiry is true", compact(header(), claims | {"exp": True}), "wrong_type"),
            bad("expiry beyond time", compact(header(), claims | {"exp": 10**12}), "wrong_type"),
            bad("a negative expiry", compact(header(), claims | {"exp": -1}), "wrong_type"),
            bad("nbf later than iat", compact(header(), claims | {"nbf": claims["iat"] + 1}), "wrong_type"),
            bad("an empty subject", compact(header(), claims | {"sub": ""}), "wrong_type"),
            bad("larger than 8 KiB", compact(header(), claims | {"jti": "x" * 7000})),
        ],
    }


def _permits() -> Json:
    permit = Permit(
        permit_id="prm_1",
        backend="portrait",
        purpose=Purpose.CAMEO,
        job_sha256="ab" * 32,
        consents=(("cns_1", "sub_1"), ("cns_2", "sub_2")),
        assurance=SubjectAssurance.WEB,
        issued_at=NOW,
        expires_at=NOW + timedelta(seconds=300),
        obligations=Obligations(max_seconds=60),
    )
    good = sign_permit(permit, KEY)
    claims = payload_of(good)
    held = sign_permit(replace(permit, jkt=HOLDER.jkt), KEY)
    loose = claims["obligations"] | {"visible_label": "no"}

    def case(why: str, jwt: str, **expected: Any) -> Json:
        return {"why": why, "permit": jwt, "audience": "portrait", "now": "2026-11-21T12:01:00Z"} | expected

    def bad(why: str, jwt: str, code: str = "permit_invalid", **more: Any) -> Json:
        return case(why, jwt, code=code, **more)

    return {
        "about": "Permits. Valid ones have `claims`, the others a `code`.",
        "cases": [
            case("valid", good, claims=claims),
            case("valid to its last microsecond", good, now="2026-11-21T12:04:59.999999Z", claims=claims),
            case("valid and bound to a key", held, claims=payload_of(held)),
            bad("bound to nothing", compact(header("permit+jwt"), claims | {"cnf": {}})),
            bad("bound to no thumbprint", compact(header("permit+jwt"), claims | {"cnf": {"jkt": "x"}})),
            bad("after 300 s", good, "permit_expired", now="2026-11-21T12:05:00Z"),
            bad("before it was issued", good, now="2026-11-21T11:59:59Z"),
            bad("for another backend", good, audience="other"),
            bad("signed by another service", sign_permit(permit, OTHER_KEY)),
            bad("a consent token", sign(_token(), KEY)),
            bad("a permit's claims under a token's type", compact(header("consent+jwt"), claims)),
            bad("nobody consented", compact(header("permit+jwt"), claims | {"consents": []})),
            bad("an obligation in text", compact(header("permit+jwt"), claims | {"obligations": loose})),
            bad("a claim that no permit has", compact(header("permit+jwt"), claims | {"scope": "*"})),
            bad("a job that is no hash", compact(header("permit+jwt"), claims | {"job": "any"})),
            bad("empty", ""),
        ],
    }


def _status_lists() -> Json:
    states = {0: 1, 3: 2, 41: 1, 62: 3}
    good = sign_list(StatusList.of(states, size=64), uri=LIST_URI, at=NOW, key=KEY)
    claims = payload_of(good)
    listed = claims["status_list"]
    bomb = b64(zlib.compress(bytes(2**20 + 1), 9))

    def case(why: str, jwt: str, **expected: Any) -> Json:
        return {"why": why, "status_list": jwt, "uri": LIST_URI} | expected

    def by_hand(**changes: Any) -> str:
        return compact(header("statuslist+jwt"), claims | changes)

    entries = {str(index): state for index, state in states.items()} | {"1": 0, "63": 0}
    return {
        "about": "Signed status lists. Valid ones have `entries` (index to state), the others are refused.",
        "cases": [
            case("valid", good, entries=entries),
            case("signed here by hand", by_hand(), entries=entries),
            case("the list of another address", by_hand(sub=LIST_URI + "2")),
            case("signed by another service under our key id", compact(header("statuslist+jwt"), claims, OTHER_SEED)),
            case("typ of a token", compact(header(), claims)),
            case("no ttl", compact(header("statuslist+jwt"), {k: v for k, v in claims.items() if k != "ttl"})),
            case("ttl of nothing", by_hand(ttl=0)),
            case("ttl of a year", by_hand(ttl=31_536_000)),
            case("over before it began", by_hand(exp=claims["iat"])),
            case("a claim that no list has", by_hand(aud="portrait")),
            case("entries of three bits", by_hand(status_list=listed | {"bits": 3})),
            case("a list in the list", by_hand(status_list=listed | {"aggregation_uri": LIST_URI})),
            case("not compressed", by_hand(status_list=listed | {"lst": b64(bytes(16))})),
            case("cut off", by_hand(status_list=listed | {"lst": listed["lst"][:-6]})),
            case("a bomb", by_hand(status_list=listed | {"lst": bomb})),
        ],
    }


def _proofs() -> Json:
    address = "https://gate.example/v1/permits/redeem"
    claims = HOLDER.claims("permit", address=address, at=NOW)

    def case(why: str, proof: str, **expected: Any) -> Json:
        return {
            "why": why,
            "proof": proof,
            "method": "POST",
            "address": address,
            "tokens": ["permit"],
            "now": "2026-11-21T12:00:10Z",
        } | expected

    def by(holder: Holder, **changes: Any) -> str:
        return holder.sign(holder.header(), claims | changes)

    def forged(**changes: Any) -> str:
        return HOLDER.sign(HOLDER.header(**changes), claims)

    return {
        "about": "Proofs that a caller holds a key (RFC 9449). Those that hold have a `jkt`, the others a `code`.",
        "cases": [
            case("ES256", by(HOLDER), jkt=HOLDER.jkt),
            case("Ed25519", by(OTHER_HOLDER), jkt=OTHER_HOLDER.jkt),
            case("with what libraries add", forged(kid="1", jwk=HOLDER.jwk | {"kid": "1"}), jkt=HOLDER.jkt),
            case("for another method", by(HOLDER, htm="PUT"), code="dpop_wrong_request"),
            case("for another address", by(HOLDER, htu=address + "x"), code="dpop_wrong_request"),
            case("with a query", by(HOLDER, htu=address + "?a=1"), code="dpop_wrong_request"),
            case("for another token", by(HOLDER, ath=b64(bytes(32))), code="dpop_wrong_token"),
            case("too old", by(HOLDER), now="2026-11-21T12:01:00Z", code="dpop_stale"),
            case("from the future", by(HOLDER), now="2026-11-21T11:59:54Z", code="dpop_stale"),
            case("signed by another", OTHER_HOLDER.sign(HOLDER.header(), claims), code="dpop_invalid"),
            case("with another's key", forged(jwk=Holder.p256(3).jwk), code="dpop_invalid"),
            case("with its private key", forged(jwk=HOLDER.jwk | {"d": "Ag"}), code="dpop_invalid"),
            case("alg none", forged(alg="none"), code="dpop_invalid"),
            case("typ JWT", forged(typ="JWT"), code="dpop_invalid"),
            case("a critical extension", forged(crit=["b64"], b64=True), code="dpop_invalid"),
            case("no id", by(HOLDER, jti=""), code="dpop_invalid"),
            case("a consent token", sign(_token(), KEY), code="dpop_invalid"),
            case("empty", "", code="dpop_invalid"),
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
