"""Status lists over HTTP: what a token's holder reads there, at once and about the past, and what nobody else learns."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from api.sweeping import sweep
from api.tables import ConsentRow, StatusListRow
from consent.keys import KeySet
from consent.offline import Holds, HoldsNot, OfflineCode, check_offline
from consent.status_list import LIST_SIZE, MEDIA_TYPE, MOST_USED, TTL, SignedStatusList, Status, read_list, sign_list
from consent.tokens import UnverifiedToken
from tests.api.conftest import World, png
from tests.api.scripted import ALICE, BOB
from tests.api.test_consents import revoke
from tests.api.test_database import rolled_back
from tests.api.test_liveness_sessions import code

pytestmark = pytest.mark.service


def claims_of(jwt: str) -> dict[str, Any]:
    part = jwt.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def place(token: str) -> tuple[str, int]:
    """Path and index of a token's status."""
    listed = claims_of(token)["status"]["status_list"]
    return listed["uri"].removeprefix("http://127.0.0.1:8000"), listed["idx"]


def keys(world: World) -> KeySet:
    return KeySet.from_jwks(world.call("GET", "/.well-known/jwks.json").json())


def fetched(world: World, path: str) -> SignedStatusList:
    answer = world.call("GET", path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    return read_list(answer.text, keys(world), uri="http://127.0.0.1:8000" + path.partition("?")[0])


def states(listed: SignedStatusList) -> Iterator[int]:
    return (listed.statuses.status_at(index) for index in range(listed.statuses.size))


def put(world: World, consent: dict[str, Any], state: Status) -> bool:
    with world.service.database.transaction() as store:
        store.get(ConsentRow, consent["consent_id"], lock=True)
        return store.set_status(consent["consent_id"], state, now=world.clock())


def test_a_withdrawal_shows_in_the_list_and_not_before(world: World) -> None:
    consent = world.consent()
    token = world.token(consent)
    path, index = place(token)
    answer = world.call("GET", path)
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    before = fetched(world, path)
    assert before.statuses.status_at(index) == Status.VALID
    found = check_offline(UnverifiedToken(token), answer.text, keys(world), audience="studio", now=world.clock())
    assert isinstance(found, Holds)

    world.clock.move(10)
    asked = int(world.clock().timestamp())
    world.clock.move(1.5)
    revoke(world, consent)
    after = world.call("GET", path)
    refused = check_offline(UnverifiedToken(token), after.text, keys(world), audience="studio", now=world.clock())
    assert refused == HoldsNot(OfflineCode.REVOKED)

    then = fetched(world, f"{path}?time={asked}")
    assert then.statuses.status_at(index) == Status.VALID
    assert then.issued_at <= datetime.fromtimestamp(asked, UTC) < then.expires_at
    world.clock.move(3600)
    later = int(world.clock().timestamp()) - 60
    now = fetched(world, f"{path}?time={later}")
    assert now.statuses.status_at(index) == Status.REVOKED
    assert now.issued_at <= datetime.fromtimestamp(later, UTC) < now.expires_at
    assert fetched(world, f"{path}?time={asked}").statuses == then.statuses


def offline(world: World, token: str) -> Holds | HoldsNot:
    listed = world.call("GET", place(token)[0]).text
    return check_offline(UnverifiedToken(token), listed, keys(world), audience="studio", now=world.clock())


def test_a_narrowing_reaches_who_never_asks_the_gate(world: World) -> None:
    """An old token names what is allowed no longer, and only its place in the list can say so."""
    consent = world.consent(purposes=["digital_double", "cameo"])
    path = f"/v1/consents/{consent['consent_id']}"
    taken, kept = world.token(consent, purpose="cameo"), world.token(consent)
    assert all(isinstance(offline(world, token), Holds) for token in (taken, kept))
    less = world.call("POST", f"{path}/narrow", consent["manage_token"], json={"purposes": ["digital_double"]})
    assert less.status_code == 200, less.text
    assert offline(world, taken) == offline(world, kept) == HoldsNot(OfflineCode.REVOKED)
    anew = world.token(consent)
    assert place(anew) != place(kept)
    assert isinstance(offline(world, anew), Holds)

    world.call("POST", f"{path}/suspend", consent["manage_token"])
    world.call("POST", f"{path}/narrow", consent["manage_token"], json={"limits": {"max_seconds": 5}})
    world.call("POST", f"{path}/resume", consent["manage_token"])
    assert offline(world, anew) == HoldsNot(OfflineCode.REVOKED), "resumed, and narrower than this token says"
    last = world.token(consent)
    assert isinstance(offline(world, last), Holds)
    revoke(world, consent)
    assert offline(world, last) == HoldsNot(OfflineCode.REVOKED)


def test_a_paused_consent_that_is_narrowed_is_paused_at_its_new_place(world: World) -> None:
    consent = world.consent()
    path = f"/v1/consents/{consent['consent_id']}"
    world.call("POST", f"{path}/suspend", consent["manage_token"])
    narrowed = world.call("POST", f"{path}/narrow", consent["manage_token"], json={"limits": {"max_seconds": 5}})
    assert narrowed.status_code == 200, narrowed.text
    with world.service.database.transaction() as store:
        assert store.status_of(consent["consent_id"]) is Status.SUSPENDED


def test_what_was_cannot_be_passed_off_as_what_is(world: World) -> None:
    consent = world.consent()
    token = world.token(consent)
    path, _ = place(token)
    world.clock.move(5)
    asked = int(world.clock().timestamp())
    world.clock.move(60)
    revoke(world, consent)
    world.clock.move(90)
    past = world.call("GET", f"{path}?time={asked}").text
    found = check_offline(UnverifiedToken(token), past, keys(world), audience="studio", now=world.clock())
    assert found == HoldsNot(OfflineCode.STATUS_STALE)


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_time_before_the_list_or_ahead_of_now_is_not_answered(world: World, seconds: int) -> None:
    path, _ = place(world.token(world.consent()))
    asked = int(world.clock().timestamp()) + seconds
    refused = world.call("GET", f"{path}?time={asked}")
    assert (refused.status_code, code(refused)) == (404, "not_found")


@pytest.mark.parametrize("time", ["-1", "yesterday", "1e9", str(10**15)])
def test_a_time_that_is_none_is_said(world: World, time: str) -> None:
    path, _ = place(world.token(world.consent()))
    assert code(world.call("GET", f"{path}?time={time}")) == "request_invalid"


def test_there_are_no_other_lists(world: World) -> None:
    assert world.call("GET", "/v1/status/stl_" + "0" * 32).status_code == 404
    for other in ("1?time=5", "%00", "stl_" + "0" * 31 + "%00", "x" * 2000):
        assert world.call("GET", f"/v1/status/{other}").status_code == 404


def test_tokens_of_one_consent_stand_at_one_place_and_consents_apart(world: World) -> None:
    alice, bob = world.consent(), world.consent(world.shown_live(BOB, "user-2"))
    first, second = place(world.token(alice)), place(world.token(alice, "portrait"))
    other = place(world.token(bob))
    assert first == second
    assert first[0] == other[0]
    assert first[1] != other[1]


def test_the_list_shows_neither_who_nor_how_many(world: World) -> None:
    consents = [world.consent(world.shown_live(ALICE, f"user-{n}")) for n in range(3)]
    path, _ = place(world.token(consents[0]))
    shown = [state for state in states(fetched(world, path)) if state != Status.VALID]
    assert len(shown) >= 16, "a list begins with decoys"
    with world.service.database.engine.connect() as connection:
        decoys = connection.scalar(text("SELECT count(*) FROM status_entries WHERE consent_id IS NULL"))
        used = connection.scalar(text("SELECT used FROM status_lists"))
    assert decoys == len(shown)
    assert used == decoys + 3
    assert fetched(world, path).statuses.size == LIST_SIZE
    for consent in consents:
        assert consent["consent_id"] not in world.call("GET", path).text


def test_a_change_has_company(world: World) -> None:
    listed_before: list[int] = []
    moved: list[int] = []
    for number in range(8):
        consent = world.consent(world.shown_live(ALICE, f"user-{number}"))
        path, _ = place(world.token(consent))
        listed_before = list(states(fetched(world, path)))
        revoke(world, consent)
        after = states(fetched(world, path))
        moved.append(sum(was != now for was, now in zip(listed_before, after, strict=True)))
    assert min(moved) >= 1
    assert max(moved) > 1


def test_suspended_and_disputed_come_and_go_and_revoked_stays(world: World) -> None:
    consent = world.consent()
    token, photo = world.token(consent), world.media(png(ALICE))
    path, index = place(token)
    asked = {"tokens": [token], "media": [photo["media_id"]]}
    for state, reason in ((Status.SUSPENDED, "suspended"), (Status.DISPUTED, "disputed")):
        world.clock.move(5)
        assert put(world, consent, state)
        assert not put(world, consent, state), "nothing changes twice"
        assert fetched(world, path).statuses.status_at(index) == state
        assert world.ask(**asked)["context"]["reasons"][0]["code"] == reason
    assert put(world, consent, Status.VALID)
    assert world.ask(**asked)["decision"] is True
    revoke(world, consent)
    assert not put(world, consent, Status.VALID), "what is revoked stays revoked"
    assert fetched(world, path).statuses.status_at(index) == Status.REVOKED


def test_a_permit_dies_while_its_consent_is_suspended(world: World) -> None:
    consent = world.consent()
    token, photo = world.token(consent), world.media(png(ALICE))
    permit = world.ask(tokens=[token], media=[photo["media_id"]])["context"]["permit"]
    put(world, consent, Status.SUSPENDED)
    body = {"permit": permit, "job_sha256": "ab" * 32}
    refused = world.call("POST", "/v1/permits/redeem", "backend", json=body)
    assert (refused.status_code, code(refused)) == (409, "consent_suspended")
    put(world, consent, Status.VALID)
    assert world.call("POST", "/v1/permits/redeem", "backend", json=body).status_code == 200


def test_a_list_is_signed_once_a_change_or_a_minute(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    consent = world.consent()
    path, _ = place(world.token(consent))
    signed: list[datetime] = []

    def counted(*what: Any, **how: Any) -> str:
        signed.append(how["at"])
        return sign_list(*what, **how)

    monkeypatch.setattr("api.status.sign_list", counted)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: world.call("GET", path), range(12)))
    assert len(signed) == 1
    world.clock.move(59)
    assert world.call("GET", path).headers["Cache-Control"] == "public, max-age=1"
    assert len(signed) == 1
    world.clock.move(1)
    world.call("GET", path)
    assert len(signed) == 2, "it grew old"
    revoke(world, consent)
    world.call("GET", path)
    assert len(signed) == 3, "it changed"


def test_what_an_older_release_granted_and_revoked_is_in_the_list(world: World) -> None:
    consent = world.consent()
    forget = "DELETE FROM status_entries WHERE consent_id IS NOT NULL"
    with world.service.database.engine.begin() as connection:
        connection.execute(text(forget))  # as if the first release had granted it
    path, index = place(world.token(consent))
    with world.service.database.engine.begin() as connection:
        connection.execute(text("UPDATE consents SET revoked_at = now()"))  # and revoked it, after an upgrade began
    assert fetched(world, path).statuses.status_at(index) == Status.VALID
    sweep(world.service)
    assert fetched(world, path).statuses.status_at(index) == Status.REVOKED


def test_a_list_that_is_half_full_is_followed_by_another(world: World) -> None:
    first = place(world.token(world.consent()))
    with world.service.database.engine.begin() as connection:
        connection.execute(text("UPDATE status_lists SET used = :most"), {"most": MOST_USED})
    second = place(world.token(world.consent(world.shown_live(BOB, "user-2"))))
    assert first[0] != second[0]
    with world.service.database.transaction() as store:
        row = store.get(StatusListRow, second[0].rsplit("/", 1)[1])
        assert row is not None
    assert fetched(world, second[0]).ttl == TTL


def test_the_list_may_be_read_by_pages_of_others(world: World) -> None:
    path, _ = place(world.token(world.consent()))
    headers = world.call("GET", path).headers
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"


def test_a_revocation_that_is_rolled_back_shows_nowhere(world: World) -> None:
    consent = world.consent()
    path, index = place(world.token(consent))

    with rolled_back(world.service) as store:
        assert store.set_status(consent["consent_id"], Status.REVOKED, now=world.clock())
    world.clock.move(timedelta(minutes=2).total_seconds())
    assert fetched(world, path).statuses.status_at(index) == Status.VALID


@pytest.mark.parametrize("seed", range(3))
def test_the_list_as_it_stood_is_the_list_that_was_served(world: World, seed: int) -> None:
    """Any order of changes, with their decoys: what is said of the past later is what was said then."""
    chance = random.Random(seed)
    consents = [world.consent(world.shown_live(ALICE, f"user-{number}")) for number in range(4)]
    path, _ = place(world.token(consents[0]))
    list_id = path.rsplit("/", 1)[1]
    stood: dict[datetime, dict[int, int]] = {}
    for _ in range(25):
        world.clock.move(chance.choice([0.25, 1, 7, 90]))
        with world.service.database.transaction() as store:
            consent = chance.choice(consents)
            store.get(ConsentRow, consent["consent_id"], lock=True)
            before = store.status_of(consent["consent_id"])
            state = chance.choice(list(Status))
            changed = store.set_status(consent["consent_id"], state, now=world.clock(), draw=chance.randrange)
            assert changed == (before is not Status.REVOKED and before is not state), f"seed {seed}"
        with world.service.database.transaction() as store:
            stood[world.clock()] = store.statuses(list_id)
    with world.service.database.transaction() as store:
        for at, then in stood.items():
            assert store.statuses(list_id, at=at) == then, f"seed {seed}"
            since, until = store.status_unchanged(list_id, at)
            assert since <= at, f"seed {seed}"
            assert until is None or until > at, f"seed {seed}"
