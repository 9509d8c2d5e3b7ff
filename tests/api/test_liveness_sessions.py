"""Live checks over HTTP: one challenge, one recording, one verdict, and nothing that helps an attacker measure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from api.engines import Bounded
from api.examiner import HandedIn, Judged
from api.judging import Judges, judge_challenge
from api.media import Erased
from api.queue import MOST_TRIES
from api.routes_liveness import CAPTURE_MAX_BYTES
from api.sweeping import sweep
from api.tables import ChallengeRow, DataKeyRow, SessionRow
from liveness.evidence import Fingerprint
from tests.api.conftest import World, content_digest
from tests.api.scripted import ScriptedExaminer

pytestmark = pytest.mark.service

SESSIONS = "/v1/liveness/sessions"


def status(world: World, session: dict[str, Any]) -> dict[str, Any]:
    answer = world.call("GET", f"{SESSIONS}/{session['session_id']}", session["client_token"])
    assert answer.status_code == 200
    return dict(answer.json())


def code(answer: Any) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:mien:problem:{body['code']}"
    return str(body["code"])


def test_a_person_is_shown_live_and_the_raw_recording_goes(world: World) -> None:
    session = world.session()
    challenge = world.challenge(session)
    assert len(challenge["digits"]) == 6
    assert sorted(set(challenge["turns"])) == ["left", "right"]
    assert challenge["prompts"][0]["text"].endswith(" ".join(challenge["digits"]))
    taken = world.capture(session, b"live 200,40,40")
    assert (taken.status_code, taken.json()["status"]) == (202, "judging")
    assert status(world, session)["status"] == "judging"

    assert world.judge(challenge)

    shown = status(world, session)
    assert (shown["status"], shown["assurance"], shown["reasons"]) == ("passed", "web", [])
    with world.service.database.transaction() as store:
        row = store.get(ChallengeRow, challenge["challenge_id"])
        assert row is not None
        with pytest.raises(Erased):
            world.service.vault.get(store, row.capture_id, owner=row.session_id)


def test_a_failed_attempt_says_what_to_do_and_no_numbers(world: World) -> None:
    session = world.session()
    challenge = world.challenge(session)
    world.capture(session, b"fail turn_missing")
    world.judge(challenge)
    shown = status(world, session)
    assert shown["status"] == "failed"
    assert shown["attempts_left"] == 2
    assert shown["reasons"] == ["turn_missing"]
    assert "Turn further" in shown["advice"][0]["text"]
    assert "12.5" not in str(shown)
    assert shown["verdicts"] is None

    seen = world.call("GET", f"{SESSIONS}/{session['session_id']}", "auditor").json()
    assert seen["verdicts"][0]["checks"][0] | {"unit": "deg"} == {
        "name": "scripted", "outcome": "fail", "value": 12.5, "limit": 25, "unit": "deg", "code": "turn_missing",
        "place": None,
    }  # fmt: skip


def test_a_language_that_nobody_here_can_hear_is_refused(world: World) -> None:
    refused = world.call(
        "POST", SESSIONS, "app", json={"subject_ref": "u", "language": "zh", "purpose": "digital_double"}
    )
    assert (refused.status_code, code(refused)) == (422, "language_unavailable")


def test_a_challenge_is_spent_by_its_first_recording(world: World) -> None:
    session = world.session()
    challenge = world.challenge(session)
    assert world.capture(session, b"fail wrong_digits").status_code == 202
    again = world.capture(session, b"live 200,40,40")
    assert (again.status_code, code(again)) == (409, "challenge_spent")
    world.judge(challenge)
    later = world.capture(session, b"live 200,40,40")
    assert (later.status_code, code(later)) == (409, "challenge_spent")


def test_a_recording_that_comes_too_late_is_not_taken(world: World) -> None:
    session = world.session()
    world.challenge(session)
    world.clock.move(119.9)
    other = world.session("user-2")
    world.challenge(other)
    world.clock.move(0.1)
    late = world.capture(session, b"live 200,40,40")
    assert (late.status_code, code(late)) == (410, "challenge_expired")
    assert world.capture(other, b"live 200,40,40").status_code == 202


def test_the_same_bytes_are_never_live_twice(world: World) -> None:
    """Whoever replays a recording that passed, in another session or the same, gets nothing for it."""
    first = world.session()
    challenge = world.challenge(first)
    world.capture(first, b"live 200,40,40")
    world.judge(challenge)
    second = world.session("user-2")
    replayed = world.challenge(second)
    assert world.capture(second, b"live 200,40,40").status_code == 202
    world.judge(replayed)
    shown = status(world, second)
    assert (shown["status"], shown["reasons"]) == ("failed", ["capture_reused"])


def test_three_attempts_and_no_more(world: World) -> None:
    session = world.session()
    for number in range(3):
        challenge = world.challenge(session)
        assert challenge["attempts_left"] == 2 - number
        world.capture(session, f"fail no_face {number}".encode())
        world.judge(challenge)
    path = f"{SESSIONS}/{session['session_id']}/challenge"
    refused = world.call("POST", path, session["client_token"])
    assert (refused.status_code, code(refused)) == (409, "no_attempts_left")


def test_asking_for_new_digits_costs_an_attempt(world: World) -> None:
    session = world.session()
    first = world.challenge(session)
    second = world.challenge(session)
    assert first["challenge_id"] != second["challenge_id"]
    assert second["attempts_left"] == 1
    world.capture(session, b"live 200,40,40")
    assert not world.judge(first), "the earlier challenge is void"
    assert world.judge(second)


def test_no_new_challenge_while_one_is_being_judged_or_after_a_pass(world: World) -> None:
    session = world.session()
    challenge = world.challenge(session)
    world.capture(session, b"live 200,40,40")
    path = f"{SESSIONS}/{session['session_id']}/challenge"
    assert code(world.call("POST", path, session["client_token"])) == "session_not_ready"
    world.judge(challenge)
    assert code(world.call("POST", path, session["client_token"])) == "session_not_ready"


def test_a_recording_without_a_challenge_is_not_taken(world: World) -> None:
    assert code(world.capture(world.session(), b"live 200,40,40")) == "challenge_missing"


@pytest.mark.parametrize(
    ("digest", "wanted"),
    [
        ({}, "digest_required"),
        ({"Content-Digest": "md5=:AAAA:"}, "digest_required"),
        ({"Content-Digest": "sha-256=:!!!!:"}, "digest_required"),
        (content_digest(b"other bytes"), "digest_mismatch"),
    ],
)
def test_a_recording_needs_its_digest_and_a_damaged_one_does_not_spend_the_challenge(
    world: World, digest: dict[str, str], wanted: str
) -> None:
    session = world.session()
    world.challenge(session)
    path = f"{SESSIONS}/{session['session_id']}/capture"
    refused = world.call("PUT", path, session["client_token"], content=b"live 200,40,40", headers=digest)
    assert (refused.status_code, code(refused)) == (400, wanted)
    assert world.capture(session, b"live 200,40,40").status_code == 202


@pytest.mark.parametrize("stated", [True, False])
def test_a_recording_that_is_too_large_is_cut_off(world: World, stated: bool) -> None:
    session = world.session()
    world.challenge(session)
    data = b"x" * (CAPTURE_MAX_BYTES + 1)
    content = data if stated else iter([data[:CAPTURE_MAX_BYTES], data[CAPTURE_MAX_BYTES:]])
    path = f"{SESSIONS}/{session['session_id']}/capture"
    refused = world.call("PUT", path, session["client_token"], content=content, headers=content_digest(data))
    assert (refused.status_code, code(refused)) == (413, "body_too_large")


def test_what_is_no_recording_is_not_live(world: World) -> None:
    session = world.session()
    challenge = world.challenge(session)
    world.capture(session, b"this is a text")
    assert world.judge(challenge)
    shown = status(world, session)
    assert (shown["status"], shown["reasons"]) == ("failed", ["recording_unreadable"])


def test_a_model_that_keeps_failing_finds_nobody_live(world: World) -> None:
    session = world.session()
    challenge = world.challenge(session)
    world.capture(session, b"crash")
    for tried in range(2):
        with pytest.raises(Exception, match="made to fail"):
            world.judge(challenge, tried)
        assert status(world, session)["status"] == "judging"
    assert world.judge(challenge, 2)
    assert status(world, session)["reasons"] == ["not_measured"]


def test_a_recording_that_kills_the_worker_each_time_is_given_up(world: World) -> None:
    session = world.session()
    challenge = world.challenge(session)
    world.capture(session, b"live 200,40,40")
    assert world.judge(challenge, tried=3)
    assert status(world, session)["status"] == "failed"


def test_judging_twice_gives_one_verdict(world: World) -> None:
    session = world.session()
    challenge = world.challenge(session)
    world.capture(session, b"live 200,40,40")
    assert world.judge(challenge)
    assert not world.judge(challenge)
    with world.service.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM verdicts")) == 1


def test_a_session_ends_and_its_data_goes(world: World) -> None:
    passed = world.shown_live()
    unused = world.session("user-2")
    world.clock.move(299)
    assert status(world, unused)["status"] == "created"
    world.clock.move(1)
    gone = world.call("GET", f"{SESSIONS}/{unused['session_id']}", unused["client_token"])
    assert code(gone) == "unauthenticated"
    assert world.call("GET", f"{SESSIONS}/{unused['session_id']}", "app").json()["status"] == "expired"
    assert world.call("GET", f"{SESSIONS}/{passed['session_id']}", "app").json()["status"] == "passed"
    sweep(world.service)
    world.clock.move(15 * 60)
    sweep(world.service)
    with world.service.database.transaction() as store:
        row = store.get(SessionRow, passed["session_id"])
        assert row is not None
        key = store.get(DataKeyRow, row.data_key_id)
        assert key is not None
        assert key.wrapped is None
        with pytest.raises(Erased):
            world.service.vault.get(store, row.portrait_id, owner=row.session_id)


def test_one_persons_token_reaches_no_other_session(world: World) -> None:
    mine, other = world.session(), world.session("user-2")
    for method, tail in (("GET", ""), ("POST", "/challenge")):
        answer = world.call(method, f"{SESSIONS}/{other['session_id']}{tail}", mine["client_token"])
        assert code(answer) == "not_found"
    stolen = {"session_id": other["session_id"], "client_token": mine["client_token"]}
    assert code(world.capture(stolen, b"live 200,40,40")) == "not_found"


def test_another_app_sees_nothing(world: World) -> None:
    from api.auth import Role

    session = world.session()
    stranger = world.key(Role.APP, "app-two")
    assert code(world.call("GET", f"{SESSIONS}/{session['session_id']}", stranger)) == "not_found"


def test_an_unknown_policy_is_refused(world: World) -> None:
    body = {"subject_ref": "u", "language": "en", "purpose": "cameo", "policy": "lenient"}
    assert code(world.call("POST", SESSIONS, "app", json=body)) == "policy_unknown"


def test_the_simulated_policy_gives_simulated_assurance(world: World) -> None:
    session = world.shown_live(policy="simulated")
    assert status(world, session)["assurance"] == "simulated"


# --- after too many failures -----------------------------------------------------------------------------------------


def fails(world: World, times: int, subject_ref: str = "user-1", **more: Any) -> None:
    """So many failed attempts, ten seconds apart."""
    session: dict[str, Any] = {}
    for number in range(times):
        if number % 3 == 0:
            session = world.session(subject_ref, **more)
        challenge = world.challenge(session)
        world.capture(session, f"fail no_face {subject_ref} {number}".encode())
        world.judge(challenge)
        world.clock.move(10)


def begin(world: World, subject_ref: str = "user-1", **more: Any) -> Any:
    body = {"subject_ref": subject_ref, "language": "en", "purpose": "digital_double"} | more
    return world.call("POST", SESSIONS, "app", json=body)


def test_five_failures_in_three_minutes_lock_the_person_for_half_an_hour(world: World) -> None:
    fails(world, 5)
    refused = begin(world)
    assert (refused.status_code, code(refused)) == (429, "locked_out")
    assert refused.json()["locked_until"].endswith("Z")
    assert begin(world, "user-2").status_code == 201, "another person is not held up"
    world.clock.move(1800)
    assert begin(world).status_code == 201


def test_a_session_begun_before_gets_no_challenge_while_its_person_is_locked_and_says_until_when(world: World) -> None:
    before = world.session()
    fails(world, 5)
    refused = world.call("POST", f"{SESSIONS}/{before['session_id']}/challenge", before["client_token"])
    assert (refused.status_code, code(refused)) == (429, "locked_out")
    assert status(world, before)["locked_until"] is not None
    assert status(world, before)["attempts_left"] == 3, "a refused challenge costs no attempt"


def test_a_device_is_locked_whoever_it_says_to_hold(world: World) -> None:
    """Whoever tries one stolen name after another on one phone waits as well."""
    for number in range(5):
        fails(world, 1, f"victim-{number}", device_ref="phone-1")
    assert code(begin(world, "victim-9", device_ref="phone-1")) == "locked_out"
    assert begin(world, "victim-9", device_ref="phone-2").status_code == 201


def test_failures_far_apart_do_not_lock(world: World) -> None:
    for _ in range(6):
        fails(world, 1)
        world.clock.move(50)
    assert begin(world).status_code == 201


def test_what_our_side_let_down_is_not_held_against_anyone(world: World) -> None:
    for number in range(6):
        session = world.session()
        challenge = world.challenge(session)
        world.capture(session, f"crash {number}".encode())
        world.judge(challenge, tried=MOST_TRIES)
    assert begin(world).status_code == 201


# --- paths that people choose ----------------------------------------------------------------------------------------


def wish(world: World, session: dict[str, Any], **wishes: Any) -> dict[str, Any]:
    answer = world.call("POST", f"{SESSIONS}/{session['session_id']}/challenge", session["client_token"], json=wishes)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_a_person_may_ask_for_smaller_turns_and_the_answer_says_so(world: World) -> None:
    session = world.session()
    drawn = wish(world, session, path="small_turns")
    assert (drawn["path"], len(drawn["digits"])) == ("small_turns", 8)
    world.capture(session, b"live 200,40,40")
    assert world.judge(drawn)
    assert status(world, session)["path"] == "small_turns"


def test_a_person_may_ask_for_a_check_without_speech(world: World) -> None:
    drawn = wish(world, world.session(), path="no_speech")
    assert drawn["digits"] == ""
    nods = [each for each in drawn["prompts"] if each["step"] == "nod"]
    assert len(nods) == 4
    assert all(1 <= each["nods"] <= 4 and "nod" in each["text"].lower() for each in nods)


def test_a_person_may_ask_for_more_time(world: World) -> None:
    session = world.session()
    drawn = wish(world, session, extra_time=True)
    assert drawn["extra_time"]
    world.clock.move(239)
    assert world.capture(session, b"live 200,40,40").status_code == 202


def test_an_interleaved_challenge_names_its_steps_in_order(world: World) -> None:
    drawn = wish(world, world.session(), interleaved=True)
    steps = [each["step"] for each in drawn["prompts"]]
    assert sorted(steps) == ["say", "say", "turn", "turn", "turn"]
    assert "".join(each["digits"] for each in drawn["prompts"] if each["step"] == "say") == drawn["digits"]
    assert [each["turn"] for each in drawn["prompts"] if each["step"] == "turn"] == drawn["turns"]


def test_a_path_that_does_not_exist_is_refused_and_costs_nothing(world: World) -> None:
    session = world.session()
    refused = world.call(
        "POST", f"{SESSIONS}/{session['session_id']}/challenge", session["client_token"], json={"path": "none"}
    )
    assert code(refused) == "request_invalid"
    assert status(world, session)["attempts_left"] == 3


def test_a_recording_larger_than_its_challenge_allows_is_not_taken(world: World) -> None:
    """Twice the time comes with twice the bytes; the others' bound stays."""
    session = world.session()
    world.challenge(session)
    refused = world.capture(session, bytes(20_000_001))
    assert (refused.status_code, code(refused)) == (413, "body_too_large")
    slow = world.session("user-2")
    wish(world, slow, extra_time=True)
    assert world.capture(slow, bytes(20_000_001)).status_code == 202


# --- copies of earlier takes -----------------------------------------------------------------------------------------


class Remembering(ScriptedExaminer):
    """Gives every take a fingerprint of its own, and remembers which earlier ones it was told of."""

    def __init__(self) -> None:
        self.earlier: list[tuple[Fingerprint, ...]] = []

    def examine(self, handed: HandedIn) -> Judged:
        self.earlier.append(handed.earlier)
        words = tuple(handed.data[-9:].rjust(9, b" "))
        return replace(super().examine(handed), fingerprint=Fingerprint(words=words))


def test_a_take_is_held_against_the_persons_earlier_ones_and_nobody_elses(world: World) -> None:
    examiner = Remembering()
    judges = Judges(examiner=examiner, bound=Bounded(1))

    def attempt(subject_ref: str, number: int) -> None:
        session = world.session(subject_ref)
        challenge = world.challenge(session)
        world.capture(session, f"fail no_face take {number}".encode())
        assert judge_challenge(world.service, judges, challenge["challenge_id"])

    attempt("user-1", 1)
    attempt("user-2", 2)
    attempt("user-1", 3)
    assert [len(earlier) for earlier in examiner.earlier] == [0, 0, 1]
    assert bytes(examiner.earlier[2][0].words) == b"ce take 1"
    world.clock.move(91 * 86_400)
    attempt("user-1", 4)
    assert examiner.earlier[3] == (), "what is older than 90 days is not looked at"
    sweep(world.service)
    with world.service.database.transaction() as store:
        kept = store.connection.execute("SELECT count(*) FROM fingerprints").fetchone()
    assert kept == (1,), "and not kept"


# --- what a client says of its camera --------------------------------------------------------------------------------


def test_a_virtual_camera_is_a_risk_for_auditors_and_changes_no_verdict(world: World) -> None:
    session = world.session()
    challenge = world.challenge(session)
    said = {"Mien-Camera": '{"label": "OBS Virtual Camera", "automated": true}'}
    assert world.capture(session, b"live 200,40,40", headers=said).status_code == 202
    world.judge(challenge)
    assert status(world, session)["status"] == "passed"
    assert "virtual" not in str(status(world, session))
    seen = world.call("GET", f"{SESSIONS}/{session['session_id']}", "auditor").json()
    assert seen["verdicts"][0]["camera_risks"] == ["virtual_camera", "automated"]


def test_a_camera_statement_that_cannot_be_read_is_refused_and_costs_nothing(world: World) -> None:
    session = world.session()
    world.challenge(session)
    refused = world.capture(session, b"live 200,40,40", headers={"Mien-Camera": "{"})
    assert (refused.status_code, code(refused)) == (400, "camera_statement_invalid")
    assert world.capture(session, b"live 200,40,40").status_code == 202
