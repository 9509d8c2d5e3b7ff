"""The written vectors, valid and invalid. Whoever writes another verifier can run the same files."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consent.canonical import Malformed, Members
from consent.dpop import DpopCode, DpopProblem, DpopProof, verify_proof
from consent.errors import (
    LedgerBroken,
    PermitInvalid,
    ReceiptInvalid,
    RecordInvalid,
    StatusListInvalid,
    TokenInvalid,
)
from consent.gate import Permit, commit_template, verify_permit
from consent.keys import KeySet
from consent.ledger import StoredCheckpoint, WitnessPolicy, entry_from, verify_log, verify_receipt
from consent.note import read_vkey
from consent.record import event_bytes, event_from_bytes, fold, read_record, state_of
from consent.status_list import read_list
from consent.tokens import ConsentToken, UnverifiedToken, verify
from liveness.template import FaceTemplate
from tests.consent.given import DAY, HOUR, NOW
from tests.vectors import build_vectors

FOLDER = Path(__file__).parents[1] / "vectors" / "consent"
Case = dict[str, Any]


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def cases(name: str) -> list[Any]:
    return [pytest.param(case, id=f"{number}-{case['why']}") for number, case in enumerate(read(name)["cases"])]


KEYS = KeySet.from_jwks(read("keys.json")["jwks"])


def test_the_written_vectors_are_what_the_script_makes() -> None:
    made = build_vectors.build()
    assert {path.name for path in FOLDER.iterdir()} == set(made)
    for name, text in made.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name}: run python -m tests.vectors.build_vectors"


@pytest.mark.parametrize("case", cases("tokens.json"))
def test_tokens(case: Case) -> None:
    def token() -> ConsentToken:
        unverified = UnverifiedToken(case["token"])
        return verify(unverified, KEYS, audience=case["audience"], now=datetime.fromisoformat(case["now"]))

    if "code" in case:
        with pytest.raises(TokenInvalid) as caught:
            token()
        assert caught.value.code == case["code"]
        assert len(str(caught.value)) < 60  # no token, no claim in a message that may be logged
    else:
        found, claims = token(), case["claims"]
        assert (found.token_id, found.consent_id, found.subject_id) == (claims["jti"], claims["cid"], claims["sub"])
        assert (found.audience, found.purpose, found.assurance) == (
            claims["aud"],
            claims["purpose"],
            claims["assurance"],
        )
        assert found.template_commitment == claims["tpl"]
        assert found.jkt == claims.get("cnf", {}).get("jkt")
        listed = None if found.status is None else {"idx": found.status.index, "uri": found.status.uri}
        assert listed == claims.get("status", {}).get("status_list")
        assert (found.issued_at.timestamp(), found.expires_at.timestamp()) == (claims["iat"], claims["exp"])


@pytest.mark.parametrize("case", cases("permits.json"))
def test_permits(case: Case) -> None:
    def permit() -> Permit:
        return verify_permit(case["permit"], KEYS, audience=case["audience"], now=datetime.fromisoformat(case["now"]))

    if "code" in case:
        with pytest.raises(PermitInvalid) as caught:
            permit()
        assert caught.value.code == case["code"]
    else:
        found, claims = permit(), case["claims"]
        assert (found.permit_id, found.backend, found.job_sha256) == (claims["jti"], claims["aud"], claims["job"])
        assert [{"cid": cid, "sub": sub} for cid, sub in found.consents] == claims["consents"]
        assert found.obligations.max_seconds == claims["obligations"]["max_seconds"]
        assert found.jkt == claims.get("cnf", {}).get("jkt")


@pytest.mark.parametrize("case", [*cases("events.json"), *cases("events-1.json")])
def test_events(case: Case) -> None:
    def record() -> Any:
        return fold([event_from_bytes(text.encode("utf-8")) for text in case["events"]])

    if not case["valid"]:
        with pytest.raises(RecordInvalid):
            record()
        return
    found = record()
    assert [event_bytes(event).decode("utf-8") for event in found.events] == case["events"]
    if "state_after_an_hour" in case:
        assert found.state_at(NOW + HOUR) == case["state_after_an_hour"]
    if "state_after_two_days" in case:
        assert found.state_at(NOW + 2 * DAY) == case["state_after_two_days"]


@pytest.mark.parametrize("case", cases("states.json"))
def test_states(case: Case) -> None:
    events = [event_from_bytes(text.encode("utf-8")) for text in case["events"]]
    assert [event_bytes(event).decode("utf-8") for event in events] == case["events"]
    assert state_of(events, events[-1].at) == case["state"]


@pytest.mark.parametrize("case", [*cases("records.json"), *cases("records-1.json")])
def test_records(case: Case) -> None:
    if case["valid"]:
        assert len(read_record(case["record"], KEYS).events) == case["events"]
    else:
        with pytest.raises(RecordInvalid):
            read_record(case["record"], KEYS)


@pytest.mark.parametrize("case", cases("ledger.json"))
def test_ledger(case: Case) -> None:
    leaves = [leaf.encode() for leaf in case["leaves"]]
    kept = case["checkpoint"]
    signed = StoredCheckpoint(size=kept["size"], root=bytes.fromhex(kept["root"]), note=kept["note"])
    if "broken_at" in case:
        with pytest.raises(LedgerBroken) as caught:
            verify_log(leaves, keys=KEYS, checkpoints=[signed])
        assert caught.value.index == case["broken_at"]
    else:
        assert verify_log(leaves, keys=KEYS, checkpoints=[signed]).root.hex() == case["root"]


@pytest.mark.parametrize("case", cases("receipts.json"))
def test_receipts(case: Case) -> None:
    witnesses = tuple(read_vkey(vkey) for vkey in read("receipts.json")["witnesses"])
    policy = WitnessPolicy(witnesses=witnesses, quorum=case["quorum"]) if "quorum" in case else None
    if case["valid"]:
        assert verify_receipt(case["receipt"], KEYS, policy=policy).entry.index == case["index"]
    else:
        with pytest.raises(ReceiptInvalid) as caught:
            verify_receipt(case["receipt"], KEYS, policy=policy)
        assert caught.value.code == case["code"]


@pytest.mark.parametrize("case", cases("commitments.json"))
def test_commitments(case: Case) -> None:
    templates = [
        FaceTemplate(vector=np.array(one["vector"], np.float32), contract_id=one["contract_id"])
        for one in case["templates"]
    ]
    assert commit_template(templates, bytes.fromhex(case["salt"])) == case["commitment"]


@pytest.mark.parametrize("case", cases("status_lists.json"))
def test_status_lists(case: Case) -> None:
    if "entries" not in case:
        with pytest.raises(StatusListInvalid):
            read_list(case["status_list"], KEYS, uri=case["uri"])
        return
    statuses = read_list(case["status_list"], KEYS, uri=case["uri"]).statuses
    assert {index: statuses.status_at(int(index)) for index in case["entries"]} == case["entries"]


@pytest.mark.parametrize("case", cases("proofs.json"))
def test_proofs(case: Case) -> None:
    found = verify_proof(
        case["proof"],
        method=case["method"],
        address=case["address"],
        tokens=case["tokens"],
        now=datetime.fromisoformat(case["now"]),
    )
    if "code" in case:
        assert found == DpopProblem(DpopCode(case["code"]))
    else:
        assert isinstance(found, DpopProof)
        assert found.jkt == case["jkt"]


def test_an_entry_of_another_shape_is_malformed() -> None:
    with pytest.raises(Malformed):
        entry_from(Members({"index": 0}))
