"""Speaking for somebody else over HTTP: who may do which step, what is kept sealed, and what stops it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from api.auth import Person, Role
from api.authorities import Authorised, acts_for, authorised, shown_person, standing_of
from api.storage import Store
from api.sweeping import sweep
from api.tables import AuthorityCaseRow
from consent.authority import Act, AuthorityCode, AuthorityRefusal
from consent.gate import commit_template
from consent.record import Limits, Scope
from consent.terms import Purpose
from tests.api.conftest import World, content_digest, png
from tests.api.scripted import ALICE, BOB
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service

GREEN = (40, 200, 40)
GONE = ((200, 200, 40), (201, 200, 40), (202, 200, 40))  # three photographs of one person
DAY = 24 * 3600


def claim(**changes: Any) -> dict[str, Any]:
    return {
        "subject_ref": "gone-1",
        "type": "heir",
        "subject_state": "deceased",
        "jurisdiction": "DE",
        "quorum_rule": "all_first_rank",
        "purposes": ["digital_double", "voice"],
        "parties": [{"ref": "widow", "relation": "spouse"}, {"ref": "son", "relation": "child"}],
        "died": "2027-02-01",
    } | changes


def begun(world: World, **changes: Any) -> str:
    answer = world.call("POST", "/v1/authorities", "app", json=claim(**changes))
    assert answer.status_code == 201, answer.text
    return f"/v1/authorities/{answer.json()['case_id']}"


def paper(world: World, path: str, kind: str, *shows: str, who: str = "app", data: bytes | None = None) -> Any:
    content = f"{kind} {shows}".encode() if data is None else data
    query = {"kind": kind, "issuer": "Registry office", "shows": list(shows)}
    return world.call("POST", f"{path}/documents", who, params=query, content=content, headers=content_digest(content))


def photograph(world: World, path: str, *colours: tuple[int, int, int], who: str = "app") -> Any:
    data = png(*colours)
    return world.call("POST", f"{path}/photographs", who, content=data, headers=content_digest(data))


def phone(world: World, ref: str, colour: tuple[int, int, int]) -> str:
    """The client token of somebody just shown live."""
    return str(world.shown_live(colour, ref)["client_token"])


def complete(world: World, path: str) -> dict[str, Any]:
    """Papers, photographs and signatures are in."""
    for taken in (
        paper(world, path, "death_certificate"),
        paper(world, path, "family_register", "widow", "son"),
        *(photograph(world, path, colour) for colour in GONE),
        world.call("POST", f"{path}/representatives", phone(world, "widow", ALICE)),
        world.call("POST", f"{path}/representatives", phone(world, "son", BOB)),
    ):
        assert taken.status_code == 201, taken.text
    return dict(world.call("GET", path, "app").json())


def reviewed(world: World, path: str, who: str = "admin", **changes: Any) -> Any:
    shown = world.call("GET", path, "admin").json()
    body = {
        "approve": True,
        "photographs": [one["file_id"] for one in shown["photographs"]],
        "dossier_sha256": shown["dossier_sha256"],
    } | changes
    return world.call("POST", f"{path}/review", who, json=body)


def granted(world: World) -> str:
    path = begun(world)
    complete(world, path)
    assert reviewed(world, path).status_code == 200
    assert reviewed(world, path, world.key(Role.ADMIN, "admin-two")).json()["stage"] == "objection_window"
    world.clock.move(14 * DAY)
    assert world.call("GET", path, "app").json()["stage"] == "granted"
    return path


def reasons(answer: Any) -> list[str]:
    assert (answer.status_code, code(answer)) == (409, "authority_refused"), answer.text
    return [reason["code"] for reason in answer.json()["reasons"]]


def holds(world: World, path: str, purpose: Purpose = Purpose.VOICE) -> tuple[AuthorityCode, ...]:
    with world.service.database.transaction() as store:
        found = standing_of(world.service, store, path.rpartition("/")[2], purpose, now=world.clock())
    return () if found is None else found.codes


def consent(world: World, path: str, ref: str, colour: tuple[int, int, int], **changes: Any) -> Any:
    """What a consent on this claim would be made of, given by that person."""
    session = world.shown_live(colour, ref)
    asked: dict[str, Any] = {
        "purposes": (Purpose.VOICE,),
        "audience": ("studio",),
        "limits": Limits(max_seconds=30),
        "makers": ("estate-office",),
        "expires_at": world.clock() + timedelta(days=30),
    }
    with world.service.database.transaction() as store:
        row = store.get(AuthorityCaseRow, path.rpartition("/")[2], lock=True)
        assert row is not None
        who = Person(token_id="tok_1", session_id=session["session_id"], consent_id=None)
        person = shown_person(world.service, store, who, now=world.clock())
        scope = Scope(**(asked | changes))
        return authorised(world.service, store, row, person, scope, now=world.clock())


def test_a_family_speaks_for_its_dead_when_all_agree_two_reviewed_and_nobody_objects(world: World) -> None:
    path = begun(world)
    first = world.call("GET", path, "app").json()
    assert first["stage"] == "opened"
    assert [lack["code"] for lack in first["missing"]] == [
        "quorum_missing",
        "documents_missing",
        "photographs_missing",
    ]
    shown = complete(world, path)
    assert (shown["stage"], shown["missing"]) == ("documents", [])
    assert all(party["signed"] for party in shown["parties"])
    once = reviewed(world, path).json()
    assert (once["stage"], once["approvals"]) == ("checked_once", 1)
    assert reasons(reviewed(world, path)) == ["reviewer_repeated"]
    twice = reviewed(world, path, world.key(Role.ADMIN, "admin-two")).json()
    assert twice["stage"] == "objection_window"
    world.clock.move(14 * DAY - 1)
    assert world.call("GET", path, "app").json()["stage"] == "objection_window"
    assert holds(world, path) == (AuthorityCode.NOT_GRANTED,)
    world.clock.move(1)
    assert holds(world, path) == (), "the gate does not wait for anybody to look"
    done = world.call("GET", path, "app").json()
    assert (done["stage"], done["liveness"], done["assurance"]) == ("granted", "not_applicable", "curated")
    events = world.call("GET", f"{path}/events", "auditor").json()["events"]
    assert [event["step"] for event in events] == [
        "open", "document", "document", *["photograph"] * 3, "sign", "sign", "approve", "approve", "settle", "settle",
    ]  # fmt: skip


def test_a_consent_on_it_is_given_by_the_face_that_signed(world: World) -> None:
    path = granted(world)
    made = consent(world, path, "widow", ALICE)
    assert isinstance(made, Authorised)
    assert made.portrait == png(GONE[0])
    assert commit_template(made.likeness.templates, b"s" * 32)
    assert made.binding.case_id == made.case.case_id
    for refused, wanted in (
        (consent(world, path, "widow", GREEN), "another_person"),
        (consent(world, path, "stranger", GREEN), "party_unknown"),
        (consent(world, path, "widow", ALICE, audience=("*",)), "audience_too_wide"),
        (consent(world, path, "widow", ALICE, makers=("*",)), "audience_too_wide"),
        (consent(world, path, "widow", ALICE, purposes=(Purpose.TRAINING,)), "purpose_not_asked"),
        (consent(world, path, "son", BOB, expires_at=world.clock() + timedelta(days=366)), "term_too_long"),
    ):
        assert isinstance(refused, AuthorityRefusal)
        assert refused.codes == (wanted,)


def test_a_living_adult_decides_alone_and_the_reason_comes_in_the_language_asked_for(world: World) -> None:
    body = claim(subject_state="living_adult", died=None, language="zh")
    refused = world.call("POST", "/v1/authorities", "app", json=body)
    assert reasons(refused) == ["living_adult_decides"]
    assert refused.json()["reasons"][0]["text"].startswith("只有本人")


@pytest.mark.parametrize("share", ["2/4", "0/1", "half", "1/0", "-1/2"])
def test_a_share_that_is_no_fraction_in_lowest_terms_is_refused(world: World, share: str) -> None:
    parties = [{"ref": "son", "relation": "child", "share": share}]
    body = claim(quorum_rule="majority_of_shares", parties=parties)
    assert world.call("POST", "/v1/authorities", "app", json=body).status_code == 422


def test_only_the_app_opens_and_hands_in_and_only_admins_review(world: World) -> None:
    for who in ("backend", "auditor", "admin"):
        assert code(world.call("POST", "/v1/authorities", who, json=claim())) == "forbidden"
    path = begun(world)
    stranger = world.key(Role.APP, "app-two")
    assert code(paper(world, path, "will", who=stranger)) == "not_found"
    assert code(paper(world, path, "will", who="admin")) == "forbidden"
    assert code(photograph(world, path, GONE[0], who=stranger)) == "not_found"
    assert code(world.call("GET", path, stranger)) == "not_found"
    assert code(world.call("GET", path, "backend")) == "not_found"
    for who in ("app", "auditor", "backend"):
        assert code(reviewed(world, path, who)) == "forbidden"
    assert code(world.call("GET", path)) == "unauthenticated"
    assert code(world.call("GET", "/v1/authorities/ath_" + "0" * 32, "app")) == "not_found"


def test_a_key_that_bears_the_requesters_name_does_not_review(world: World) -> None:
    path = begun(world)
    complete(world, path)
    assert reasons(reviewed(world, path, world.key(Role.ADMIN, "app-one"))) == ["reviewer_is_requester"]
    assert reasons(reviewed(world, path, dossier_sha256="0" * 64)) == ["dossier_changed"]
    assert code(reviewed(world, path, approve=False)) == "request_invalid"
    ended = reviewed(world, path, approve=False, reason="not the register of this family")
    assert ended.json()["stage"] == "refused"


def test_one_face_signs_once_and_with_a_live_check_of_their_own(world: World) -> None:
    path = begun(world)
    signed = f"{path}/representatives"
    session = world.session("widow")
    assert code(world.call("POST", signed, session["client_token"])) == "not_live"
    widow = phone(world, "widow", ALICE)
    assert world.call("POST", signed, widow).status_code == 201
    assert reasons(world.call("POST", signed, widow)) == ["representative_repeated"]
    assert reasons(world.call("POST", signed, phone(world, "son", ALICE))) == ["another_person"]
    assert code(world.call("POST", signed, phone(world, "stranger", GREEN))) == "not_found"
    assert code(world.call("POST", signed, "app")) == "forbidden"
    again = begun(world, subject_ref="gone-2")
    assert reasons(world.call("POST", f"{again}/representatives", widow)) == ["representative_repeated"]


def test_photographs_have_one_face_and_show_one_person(world: World) -> None:
    path = begun(world)
    assert photograph(world, path, GONE[0]).status_code == 201
    assert reasons(photograph(world, path, GONE[0])) == ["document_repeated"]
    assert reasons(photograph(world, path, BOB)) == ["photographs_differ"]
    assert reasons(photograph(world, path, GONE[1], BOB)) == ["photograph_unclear"]
    assert reasons(photograph(world, path, (120, 120, 120))) == ["photograph_unclear"]
    assert len(world.call("GET", path, "app").json()["photographs"]) == 1


def test_papers_are_sealed_opened_by_reviewers_only_and_that_is_written_down(world: World) -> None:
    path = begun(world)
    secret = b"the paper itself"
    shown = paper(world, path, "death_certificate", data=secret).json()
    file = f"{path}/files/{shown['documents'][0]['file_id']}"
    for who in ("app", "auditor", "backend"):
        assert code(world.call("GET", file, who)) == "forbidden"
    opened = world.call("GET", file, "admin")
    assert (opened.content, opened.headers["Content-Type"]) == (secret, "application/octet-stream")
    assert world.call("GET", f"{path}/events", "app").json()["events"][-1]["step"] == "file_opened"
    assert reasons(paper(world, path, "will", data=secret)) == ["document_repeated"]
    with world.service.database.engine.connect() as connection:
        rows = [bytes(row) for row in connection.scalars(text("SELECT content FROM sealed")) if row is not None]
    assert rows
    assert not any(secret in row or b"spouse" in row for row in rows)


def test_what_was_handed_in_is_destroyed_when_it_is_over(world: World) -> None:
    path = begun(world)
    complete(world, path)
    document = world.call("GET", path, "app").json()["documents"][0]["file_id"]
    assert world.call("POST", f"{path}/withdraw", "app").json()["stage"] == "withdrawn"
    assert code(world.call("GET", f"{path}/files/{document}", "admin")) == "media_expired"
    with world.service.database.engine.connect() as connection:
        left = text("SELECT count(*) FROM sealed WHERE erased_at IS NULL AND kind IN ('paper', 'templates')")
        of_sessions = text("SELECT count(*) FROM liveness_sessions WHERE templates_id IS NOT NULL")
        assert connection.scalar(left) == connection.scalar(of_sessions)
    assert reasons(paper(world, path, "will")) == ["not_now"]


def test_a_relative_objects_with_their_own_token_and_takes_it_back(world: World) -> None:
    path = granted(world)
    assert holds(world, path) == ()
    son = phone(world, "son", BOB)
    assert world.call("POST", f"{path}/objections", son, json={}).json()["stage"] == "suspended"
    assert holds(world, path) == (AuthorityCode.SUSPENDED,)
    assert reasons(world.call("POST", f"{path}/objections/lift", phone(world, "widow", ALICE))) == ["no_veto"]
    lifted = world.call("POST", f"{path}/objections/lift", son).json()
    assert lifted["stage"] == "granted"
    assert holds(world, path) == ()


def test_the_app_objects_for_a_child_whom_nobody_named(world: World) -> None:
    path = granted(world)
    no = f"{path}/objections"
    assert reasons(world.call("POST", no, "app", json={"ref": "neighbour"})) == ["no_veto"]
    assert reasons(world.call("POST", no, "app", json={"ref": "cousin", "relation": "sibling"})) == ["no_veto"]
    assert code(world.call("POST", no, "app", json={})) == "request_invalid"
    assert code(world.call("POST", no, "admin", json={"ref": "son"})) == "forbidden"
    answer = world.call("POST", no, "app", json={"ref": "daughter", "relation": "child"})
    assert answer.json()["stage"] == "suspended"


def test_somebody_who_shows_live_is_not_dead(world: World) -> None:
    path = granted(world)
    world.shown_live(GREEN, "gone-1")
    assert holds(world, path) == (AuthorityCode.SUSPENDED,)
    assert world.call("GET", path, "app").json()["stage"] == "suspended"


def test_what_somebody_forbade_in_their_lifetime_ends_the_claim(world: World) -> None:
    said = "/v1/subjects/gone-1/directive"
    token = phone(world, "gone-1", GREEN)
    assert code(world.call("GET", said, token)) == "not_found"
    assert (
        code(world.call("PUT", "/v1/subjects/somebody-else/directive", token, json={"wish": "forbid"})) == "not_found"
    )
    assert reasons(world.call("PUT", said, token, json={"wish": "allow"})) == ["directive_unclear"]
    assert world.call("PUT", said, token, json={"wish": "forbid"}).status_code == 200
    assert reasons(world.call("PUT", said, token, json={"wish": "allow", "purposes": ["voice"]})) == ["not_shown_live"]
    assert world.call("GET", said, "app").json()["wish"] == "forbid"
    assert code(world.call("PUT", said, "app", json={"wish": "forbid"})) == "forbidden"
    world.clock.move(40 * DAY)
    later = (world.clock() - timedelta(days=1)).date().isoformat()
    answer = world.call("POST", "/v1/authorities", "app", json=claim(died=later))
    assert answer.json()["stage"] == "vetoed"


def test_an_agent_takes_back_and_gives_nothing_until_the_person_stops_them(world: World) -> None:
    path = begun(
        world, type="agent", subject_state="living_adult", quorum_rule="sole", purposes=[], died=None,
        parties=[{"ref": "agent", "relation": "appointed"}],
    )  # fmt: skip
    assert paper(world, path, "power_of_attorney", "agent").status_code == 201
    assert world.call("POST", f"{path}/representatives", phone(world, "agent", BOB)).status_code == 201
    assert may(world, "agent", BOB, Act.REVOKE) == (AuthorityCode.NOT_GRANTED,)
    assert reviewed(world, path).status_code == 200
    assert reviewed(world, path, world.key(Role.ADMIN, "admin-two")).json()["stage"] == "granted"
    assert may(world, "agent", BOB, Act.REVOKE) == may(world, "agent", BOB, Act.NARROW) == ()
    assert may(world, "agent", BOB, Act.GRANT) == (AuthorityCode.AGENT_ONLY_TAKES_BACK,)
    assert may(world, "stranger", GREEN, Act.REVOKE) == (AuthorityCode.NO_VETO,)
    stopped = world.call("POST", f"{path}/objections", phone(world, "gone-1", ALICE), json={})
    assert stopped.json()["stage"] == "suspended"
    assert may(world, "agent", BOB, Act.REVOKE) == (AuthorityCode.SUSPENDED,)


def may(world: World, ref: str, colour: tuple[int, int, int], act: Act) -> tuple[AuthorityCode, ...]:
    """Of the consents of gone-1."""
    session = world.shown_live(colour, ref)
    with world.service.database.transaction() as store:
        subject = store.subject(_app_of(world), world.service.keys.blind("subject", "gone-1"), now=world.clock())
        who = Person(token_id="tok_1", session_id=session["session_id"], consent_id=None)
        person = shown_person(world.service, store, who, now=world.clock())
        found = acts_for(world.service, store, person, subject.subject_id, act, now=world.clock())
    return () if found is None else found.codes


def _app_of(world: World) -> str:
    with world.service.database.engine.connect() as connection:
        return str(connection.scalar(text("SELECT key_id FROM api_keys WHERE name = 'app-one'")))


def test_time_ends_a_claim_that_nobody_looks_at(world: World) -> None:
    path = begun(world)
    complete(world, path)
    world.clock.move(90 * DAY)
    sweep(world.service)
    with world.service.database.transaction() as store:
        row = store.get(AuthorityCaseRow, path.rpartition("/")[2])
        assert row is not None
        assert (row.stage, row.ended_at) == ("expired", world.clock())
        assert _destroyed(store, row.files_key_id)


def _destroyed(store: Store, data_key_id: str) -> bool:
    from api.tables import DataKeyRow

    key = store.get(DataKeyRow, data_key_id)
    return key is not None and key.wrapped is None
