"""A record is held against all that vouches for it; whoever changes one of them is named by the step that finds it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from tests.api.conftest import World, owner_of
from tests.api.test_consents import revoke
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service

STEPS = ["signature", "entries", "inclusion", "consistency", "status_list"]


def verified(world: World, consent: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = world.call("POST", f"/v1/audit/consents/{consent['consent_id']}/verify", "auditor", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def outcomes(found: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["outcome"] for step in found["steps"]}


def alter(world: World, statement: str) -> None:
    with owner_of(world.service.database).begin() as connection:
        assert connection.execute(text(statement)).rowcount


def test_a_record_that_nobody_touched_holds_in_every_step(world: World) -> None:
    consent = world.consent()
    first = verified(world, consent)
    assert outcomes(first)["consistency"] in ("holds", "not_possible")  # there may be no checkpoint before
    assert outcomes(first)["status_list"] == "holds"
    world.token(consent)
    revoke(world, consent)
    again = verified(world, consent, seen=first["now"], whole_log=True)
    assert outcomes(again) == dict.fromkeys([*STEPS, "log"], "holds")
    assert again["holds"]
    values = {step["name"]: step["values"] for step in again["steps"]}
    assert values["signature"]["state"] == "withdrawn"
    assert values["consistency"]["remembered_by"] == "you"
    assert values["status_list"]["says"] == values["status_list"]["record_says"] == "revoked"
    assert values["log"]["size"] == again["now"]["size"]
    events = world.call("GET", "/v1/audit/search?kind=event&action=audit:record:verified", "auditor").json()["results"]
    assert [event["consent_id"] for event in events] == [consent["consent_id"]] * 2


@pytest.mark.parametrize(
    ("statement", "fails"),
    [
        ("UPDATE consent_events SET record = left(record, -4) || 'AAAA'", ["signature"]),
        ("UPDATE consents SET salt = decode(repeat('00', 32), 'hex')", ["entries"]),
        ("UPDATE ledger_entries SET digest = repeat('0', 64) WHERE entry_index = 0", ["entries", "inclusion"]),
        ("UPDATE log_nodes SET hash = decode(repeat('00', 32), 'hex') WHERE node_index = 1", ["inclusion"]),
        ("UPDATE log_checkpoints SET note = replace(note, '1', '2')", ["inclusion", "consistency"]),
        ("UPDATE status_entries SET state = 0 WHERE consent_id IS NOT NULL", ["status_list"]),
    ],
)
def test_what_was_altered_is_named_by_its_step(world: World, statement: str, fails: list[str]) -> None:
    consent = world.consent()
    world.token(consent)
    revoke(world, consent)
    verified(world, consent)
    alter(world, statement)
    found = verified(world, consent)
    failed = [step["name"] for step in found["steps"] if step["outcome"] == "fails"]
    assert (set(fails) <= set(failed), found["holds"]) == (True, False), found
    assert all(step["why"] for step in found["steps"] if step["outcome"] == "fails")


def test_a_log_shown_shorter_or_another_than_before_is_noticed(world: World) -> None:
    consent = world.consent()
    now = verified(world, consent)["now"]
    longer = verified(world, consent, seen={"size": now["size"] + 5, "root": now["root"]})
    assert outcomes(longer)["consistency"] == "fails"
    other = verified(world, consent, seen={"size": now["size"], "root": "A" * 43 + "="})
    assert outcomes(other)["consistency"] == "fails"


def test_only_auditors_and_admins_verify(world: World) -> None:
    consent = world.consent()
    path = f"/v1/audit/consents/{consent['consent_id']}/verify"
    assert code(world.call("POST", path, "app", json={})) == "forbidden"
    assert code(world.call("POST", path, "auditor", json={"seen": {"size": -1, "root": "x"}})) == "request_invalid"
    nothing = "/v1/audit/consents/cns_" + "0" * 32 + "/verify"
    assert code(world.call("POST", nothing, "auditor", json={})) == "not_found"
