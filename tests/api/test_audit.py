"""What auditors find, what two admins open together, and that every look is seen by whom it was about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api.auth import Role
from api.evidence import verify_evidence_file
from consent.errors import EvidenceInvalid
from consent.evidence import verify_evidence
from consent.keys import KeySet
from tests.api.conftest import World
from tests.api.scripted import BOB
from tests.api.test_consents import revoke
from tests.api.test_gate import permitted, redeem
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service


def search(world: World, **terms: Any) -> dict[str, Any]:
    answer = world.call("GET", "/v1/audit/search", "auditor", params=terms)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def looks(world: World, consent: dict[str, Any]) -> list[str]:
    answer = world.call("GET", "/v1/subject/admin-views", consent["manage_token"])
    assert answer.status_code == 200, answer.text
    return [one["action"] for one in answer.json()["results"]]


def subject_of(world: World, consent: dict[str, Any]) -> str:
    found = search(world, kind="record", consent=consent["consent_id"])["results"]
    return str(found[0]["subject_id"])


def test_attempts_are_found_by_what_they_were(world: World) -> None:
    consent, permit = permitted(world)
    redeem(world, permit)
    done = {"permit": permit, "output_sha256": "cd" * 32}
    assert world.call("POST", "/v1/permits/complete", "backend", json=done).status_code == 200
    world.clock.move(1)
    world.ask(tokens=[])
    for terms, wanted in (
        ({}, ["refusal", "permit"]),
        ({"consent": consent["consent_id"]}, ["permit"]),
        ({"subject": subject_of(world, consent)}, ["permit"]),
        ({"reason": "no_face"}, ["refusal"]),
        ({"state": "permit", "backend": "studio"}, ["permit"]),
        ({"output_sha256": "cd" * 32}, ["permit"]),
        ({"reason": "no_face", "state": "permit"}, []),
        ({"backend": "elsewhere"}, []),
        ({"from": world.clock().isoformat()}, ["refusal"]),
        ({"to": world.clock().isoformat()}, ["permit"]),
    ):
        found = search(world, kind="attempt", **terms)["results"]
        assert [one["outcome"] for one in found] == wanted, terms


def test_records_are_found_by_state(world: World) -> None:
    gone, kept = world.consent(), world.consent(world.shown_live(BOB, "user-2"))
    revoke(world, gone)
    for state, wanted in (("withdrawn", gone), ("given", kept)):
        found = search(world, kind="record", state=state)["results"]
        assert [one["consent_id"] for one in found] == [wanted["consent_id"]]
    world.clock.move(31 * 24 * 3600)
    assert [one["consent_id"] for one in search(world, kind="record", state="expired")["results"]] == [
        kept["consent_id"]
    ]
    assert search(world, kind="record", authority="heir")["results"] == []


def test_pages_stay_as_they_were_while_rows_are_added(world: World) -> None:
    for _ in range(7):
        world.ask(tokens=[])  # all at one time: the id decides
    before = [one["attempt_id"] for one in search(world, kind="attempt")["results"]]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = search(world, kind="attempt", limit=2, **({} if cursor is None else {"cursor": cursor}))
        seen += [one["attempt_id"] for one in page["results"]]
        cursor = page["next"]
        if cursor is None:
            break
        world.clock.move(1)
        world.ask(tokens=[])
    assert seen == before


@pytest.mark.parametrize("cursor", ["x", "eA", "MjAyNw", "!!!!"])
def test_a_cursor_of_nobodys_making_is_refused(world: World, cursor: str) -> None:
    refused = world.call("GET", f"/v1/audit/search?cursor={cursor}", "auditor")
    assert (refused.status_code, code(refused)) == (400, "cursor_invalid")


def test_a_timeline_tells_a_life_in_order(world: World) -> None:
    consent, permit = permitted(world)
    redeem(world, permit)
    world.clock.move(1)
    revoke(world, consent)
    path = f"/v1/audit/subjects/{subject_of(world, consent)}/timeline"
    whole = world.call("GET", path, "auditor").json()["results"]
    kinds = [one["kind"] for one in whole]
    assert {"challenge", "verdict", "consent_event", "attempt", "use"} <= set(kinds)
    times = [one["at"] for one in whole]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("who", ["app", "backend"])
def test_only_auditors_and_admins_search(world: World, who: str) -> None:
    assert code(world.call("GET", "/v1/audit/search", who)) == "forbidden"
    assert code(world.call("GET", "/v1/audit/search")) == "unauthenticated"
    assert world.call("GET", "/v1/audit/search", "admin").status_code == 200


def test_saved_searches_belong_to_a_key(world: World) -> None:
    path, body = "/v1/audit/views/refused", {"query": {"kind": "attempt", "state": "refusal"}}
    assert world.call("PUT", path, "auditor", json=body).status_code == 200
    found = world.call("GET", "/v1/audit/views", "auditor").json()["views"]
    assert [(view["name"], view["query"]) for view in found] == [("refused", body["query"])]
    assert world.call("GET", "/v1/audit/views", "admin").json()["views"] == []
    assert code(world.call("DELETE", path, "admin")) == "not_found"
    assert code(world.call("PUT", path, "auditor", json={"query": {"colour": "red"}})) == "request_invalid"
    assert world.call("DELETE", path, "auditor").status_code == 204


# --- evidence --------------------------------------------------------------------------------------------------------


def pack_of(world: World, consent: dict[str, Any]) -> bytes:
    answer = world.call("GET", f"/v1/audit/evidence/{consent['consent_id']}", "auditor")
    assert answer.status_code == 200, answer.text
    return bytes(answer.content)


def test_an_evidence_pack_holds_offline_and_no_byte_of_it_can_change(world: World, tmp_path: Path) -> None:
    consent, _ = permitted(world)
    revoke(world, consent)
    world.ask(tokens=[])
    pack = pack_of(world, consent)
    assert len(pack) <= 100_000
    keys = KeySet.from_jwks(world.call("GET", "/.well-known/jwks.json").json())
    proven = verify_evidence(pack, keys)
    assert (len(proven.record.events), proven.questions, proven.live_checks) == (2, 1, 1)
    for place in range(0, len(pack), 37):
        changed = bytearray(pack)
        changed[place] ^= 1
        with pytest.raises(EvidenceInvalid):
            verify_evidence(bytes(changed), keys)
    for word in (b"vector", b"contract_id"):
        assert word not in pack
    file = tmp_path / "evidence.json"
    file.write_bytes(pack)
    assert verify_evidence_file(file, keys=None, settings=world.service.settings)["state"] == "withdrawn"


def test_a_pack_is_cut_at_its_bound_and_says_so(world: World) -> None:
    consent, _ = permitted(world)
    token = world.token(consent)
    for _ in range(60):
        world.ask(tokens=[token])
    pack = pack_of(world, consent)
    assert len(pack) <= 100_000
    proven = verify_evidence(pack, world.service.keys.public)
    assert proven.questions + proven.left_out == 61
    assert proven.left_out > 0


# --- looks and openings ----------------------------------------------------------------------------------------------


def test_the_person_sees_every_look(world: World) -> None:
    consent = world.consent()
    assert looks(world, consent) == []
    for path in (f"/v1/audit/consents/{consent['consent_id']}", f"/v1/audit/evidence/{consent['consent_id']}"):
        world.clock.move(1)
        world.call("GET", path, "auditor")
    world.clock.move(1)
    search(world)
    assert looks(world, consent) == ["audit:search:run", "audit:evidence:exported", "audit:consent:read"]
    other = world.consent(world.shown_live(BOB, "user-2"))
    assert looks(world, other) == []


def asked(world: World, consent: dict[str, Any], who: str = "admin") -> dict[str, Any]:
    body = {"object": consent["consent_id"], "reason": "complaint about a clip", "ticket": "CASE-17"}
    answer = world.call("POST", "/v1/audit/openings", who, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_media_is_opened_by_two_admins_for_a_quarter_of_an_hour(world: World) -> None:
    consent, second = world.consent(), world.key(Role.ADMIN, "admin-two")
    opening = asked(world, consent)
    path = f"/v1/audit/openings/{opening['opening_id']}"
    assert code(world.call("GET", f"{path}/content", "admin")) == "opening_not_approved"
    assert code(world.call("POST", f"{path}/approve", "admin")) == "second_person_needed"
    assert code(world.call("POST", f"{path}/approve", "auditor")) == "forbidden"
    world.clock.move(1)
    assert world.call("POST", f"{path}/approve", second).json()["state"] == "open"
    assert code(world.call("GET", f"{path}/content", second)) == "not_found", "only who asked looks"
    assert code(world.call("GET", f"{path}/content", "auditor")) == "forbidden"
    world.clock.move(15 * 60 - 1)
    shown = world.call("GET", f"{path}/content", "admin")
    assert (shown.status_code, shown.content[:4]) == (200, b"\x89PNG")
    assert looks(world, consent) == ["opening:media:viewed", "opening:media:approved", "opening:media:requested"]
    world.clock.move(1)
    assert code(world.call("GET", f"{path}/content", "admin")) == "opening_ended"


@pytest.mark.parametrize("who", ["auditor", "app", "backend"])
def test_nobody_but_an_admin_asks_for_media(world: World, who: str) -> None:
    body = {"object": world.consent()["consent_id"], "reason": "complaint about a clip", "ticket": "CASE-17"}
    assert code(world.call("POST", "/v1/audit/openings", who, json=body)) == "forbidden"


def test_what_was_destroyed_is_not_opened(world: World) -> None:
    consent, second = world.consent(), world.key(Role.ADMIN, "admin-two")
    path = f"/v1/audit/openings/{asked(world, consent)['opening_id']}"
    world.call("POST", f"{path}/approve", second)
    revoke(world, consent)
    assert code(world.call("GET", f"{path}/content", "admin")) == "media_erased"


def test_a_legal_hold_puts_off_the_telling_and_is_told_in_the_end(world: World) -> None:
    consent, second = world.consent(), world.key(Role.ADMIN, "admin-two")
    path = f"/v1/audit/openings/{asked(world, consent)['opening_id']}"
    held = {"until": "2027-03-02T12:00:00Z", "reason": "order of a court", "ticket": "CASE-17"}
    assert code(world.call("POST", f"{path}/hold", "admin", json=held)) == "second_person_needed"
    too_long = held | {"until": "2028-03-02T12:00:00Z"}
    assert code(world.call("POST", f"{path}/hold", second, json=too_long)) == "request_invalid"
    assert world.call("POST", f"{path}/hold", second, json=held).status_code == 200
    assert looks(world, consent) == []
    world.clock.move(24 * 3600)
    assert sorted(looks(world, consent)) == ["opening:media:requested", "opening:notice:held"]


def test_events_hold_no_token_and_no_name(world: World) -> None:
    consent, _ = permitted(world)
    world.call("GET", f"/v1/audit/evidence/{consent['consent_id']}", "auditor")
    told = json.dumps(search(world, kind="event"))
    for secret in ("user-1", "mien_person_", "mien_auditor_", consent["manage_token"]):
        assert secret not in told
