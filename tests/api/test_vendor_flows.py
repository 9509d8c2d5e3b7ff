"""What vendors are sent besides pictures, and by which ways: recordings, films, addresses, people whom they verified, stories
of several jobs. All vendors at once: nothing reaches any of them without consent."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app, open_service
from api.auth import Role
from api.database import Database
from api.engines import FaceEngines
from api.remote import NetCarrier
from api.remote_clips import Remotes, open_remotes
from api.rendering import render_clip
from api.settings import Settings
from api.tables import HandoverRow, VendorPersonRow
from api.vendor_people import forget_due
from likeness.backends import RemoteModel, cards
from likeness.remote import Answer, Exchange, Mode
from likeness.vendor_job import PEOPLE_MODES
from tests.api.conftest import Clock, World, png, renderers
from tests.api.scripted import ALICE, BOB
from tests.api.test_clips import content, state
from tests.api.test_consents import revoke
from tests.api.test_liveness_sessions import code
from tests.api.test_media import sound
from tests.api.test_remote_clips import PUBLIC, film
from tests.backends.kit import NOW, Vendor, open_vendor
from tests.backends.test_every_backend import STUBS

pytestmark = pytest.mark.service

EVERYWHERE = ["*"]
GREY = (128, 128, 128)
ORDERS = [
    (name, model, mode)
    for name in STUBS
    for model in cards()[name].models
    for mode in sorted(model.modes)
    if mode in PEOPLE_MODES and (model.real_people == "allowed" or cards()[name].verifies)
]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Studios:
    """The service with an account at every vendor there is."""

    world: World
    vendors: dict[str, Vendor]
    remotes: Remotes
    film: bytes
    handed: dict[str, str] = field(default_factory=dict)

    def media(self, data: bytes) -> str:
        if sha256(data) not in self.handed:
            self.handed[sha256(data)] = str(self.world.media(data, who="app")["media_id"])
        return self.handed[sha256(data)]

    def consent(self, colour: tuple[int, int, int] = ALICE, ref: str = "user-1", **more: Any) -> dict[str, Any]:
        session = self.world.shown_live(colour, ref)
        return self.world.consent(session, colour, **{"audience": EVERYWHERE, "limits": {"max_seconds": 60}} | more)

    def wish(self, model: RemoteModel, mode: Mode, **more: Any) -> dict[str, Any]:
        seconds = {Mode.KEYFRAMES: 10, Mode.REFERENCE: 5}.get(mode, model.seconds[0])
        wish = {
            "model": model.name,
            "mode": mode.value,
            "prompt": "They look at the sea.",
            "seconds": seconds if seconds in model.seconds else model.seconds[-1],
            "resolution": model.resolutions[0] if model.resolutions else None,
            "sound": model.sound.value == "always",
        }
        if model.chains and mode is Mode.REFERENCE:
            wish["prompts"] = ["at dawn", "at dusk"]
        return wish | more

    def inputs(self, mode: Mode, token: int | None = 0) -> dict[str, Any]:
        """What goes with an order of that mode; ``token``: whose voice it is."""
        alice, later = self.media(png(ALICE)), self.media(png((210, 45, 45)))
        match mode:
            case Mode.FIRST_LAST_FRAME:
                return {"media": [alice, later]}
            case Mode.KEYFRAMES:
                return {"media": [alice, later, alice]}
            case Mode.SPEECH_TO_VIDEO:
                voice = self.media(sound())
                return {"sound": voice, "voices": [{"media_id": voice, "token": token}]}
            case Mode.PERFORMANCE:
                return {"media": [alice, self.media(self.film)]}
            case Mode.EDIT | Mode.EXTEND:
                return {"media": [self.media(self.film)]}
        return {}

    def order(self, backend: str, tokens: list[str], wish: dict[str, Any], **more: Any) -> Any:
        body = {"kind": "remote", "backend": backend, "tokens": tokens, "remote": wish} | more
        return self.world.call("POST", "/v1/clips", "app", json=body)

    def clip(self, *args: Any, **more: Any) -> str:
        answer = self.order(*args, **more)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["clip_id"])

    def make(self, clip_id: str, *, waiting: Callable[[float], None] = lambda _: None, tried: int = 0) -> bool:
        with_remotes = replace(renderers(self.world.service), remotes=replace(self.remotes, wait=waiting))
        return render_clip(self.world.service, with_remotes, clip_id, tried=tried)

    def quiet(self) -> bool:
        return not any(vendor.log for vendor in self.vendors.values())

    def handovers(self) -> int:
        with self.world.service.database.transaction() as store:
            return store._session.query(HandoverRow).count()

    def person(self, consent: dict[str, Any]) -> VendorPersonRow:
        with self.world.service.database.transaction() as store:
            row = store.vendor_person(consent["consent_id"], "seedance")
            assert row is not None
            return row


@pytest.fixture
def studios(settings: Settings, database: Database, faces: FaceEngines, tmp_path: Path) -> Iterator[Studios]:
    clock = Clock()
    clock.move((NOW - clock()).total_seconds())
    made = film(tmp_path / "vendor.mp4", seconds=0.4, fps=10)
    with ExitStack() as opened:
        vendors: dict[str, Vendor] = {}
        lines: list[str] = []
        for name in STUBS:
            stub = importlib.import_module(f"tests.backends.stub_{name}").Stub()
            vendors[name] = vendor = opened.enter_context(open_vendor(stub))
            vendor.clip, vendor.picture = made, png(ALICE)
            lines += [f"[{name}]", f'address = "{vendor.account.host}"']
            lines += [f'{key} = "{value}"' for key, value in (vendor.secrets() | vendor.options()).items()]
        accounts = tmp_path / "backends.toml"
        accounts.write_text("\n".join(lines))
        accounts.chmod(0o600)
        own = replace(settings, backends=accounts, public_url=PUBLIC)
        service = opened.enter_context(open_service(own, faces=faces, now=clock, database=database))
        client = opened.enter_context(TestClient(create_app(service)))
        world = World(client, service, clock)
        names = {Role.APP: "app-one", Role.BACKEND: "studio", Role.AUDITOR: "auditor-one", Role.ADMIN: "admin-one"}
        world.keys = {role.value: world.key(role, name) for role, name in names.items()}

        def fetch(url: str) -> str:
            answer = client.get(url.removeprefix(PUBLIC))
            return sha256(answer.content) if answer.status_code == 200 else "nothing"

        for vendor in vendors.values():
            vendor.fetches = fetch
        yield Studios(world, vendors, open_remotes(service.settings), made)


# --- nothing without consent -----------------------------------------------------------------------------------------


def test_a_request_without_consent_never_reaches_any_vendor(studios: Studios) -> None:
    """Every model and mode in which people can be ordered, at every vendor."""
    elsewhere = studios.world.token(studios.consent(audience=["studio"]), "studio")
    bob = studios.consent(BOB, "user-2")
    asked, begun = 0, set()
    for name, model, mode in ORDERS:
        wish = studios.wish(model, mode)
        of_bob = studios.world.token(bob, name) if name not in begun else ""
        shown = studios.inputs(mode)
        if not shown.get("media"):
            shown |= {"media": [studios.media(png(ALICE))]}  # Bob's own portrait would be his to give
        for tokens in ([], ["not a token"], [elsewhere], [of_bob]) if name not in begun else ([], [elsewhere]):
            refused = studios.order(name, tokens, wish, **shown)
            assert refused.status_code == 403, (name, model.name, mode, refused.text)
            assert refused.json()["code"] == "gate_refused"
            asked += 1
        begun.add(name)
    assert asked >= 2 * 60
    assert studios.quiet()


def test_consent_that_ended_before_the_work_reaches_no_vendor(studios: Studios) -> None:
    consent = studios.consent()
    waiting = []
    for name in STUBS:
        model, mode = next((model, mode) for other, model, mode in ORDERS if other == name)
        if model.real_people == "allowed":
            token = studios.world.token(consent, name)
            waiting.append(studios.clip(name, [token], studios.wish(model, mode), **studios.inputs(mode)))
    revoke(studios.world, consent)
    for clip_id in waiting:
        assert not studios.make(clip_id)
    assert len(waiting) >= 16
    assert studios.quiet()


# --- voices and films ------------------------------------------------------------------------------------------------

SPEAKING = [(name, model) for name, model, mode in ORDERS if mode in (Mode.SPEECH_TO_VIDEO, Mode.PERFORMANCE)]


def test_whoever_speaks_or_moves_in_a_vendors_clip_consented_and_the_checked_bytes_arrive(studios: Studios) -> None:
    consent = studios.consent()
    assert {name for name, _ in SPEAKING} == {"jimeng", "kling_legacy", "wan", "runway", "fal", "replicate"}
    # by address, by base64, by address of another kind, as a data URI; the others' bytes are looked at in tests/backends
    for name in ("jimeng", "kling_legacy", "wan", "runway"):
        model = [one for other, one in SPEAKING if other == name][-1]
        (mode,) = model.modes
        vendor = studios.vendors[name]
        clip_id = studios.clip(
            name, [studios.world.token(consent, name)], studios.wish(model, mode), **studios.inputs(mode)
        )
        assert studios.make(clip_id), (name, model.name, state(studios.world, clip_id))
        taken = list(vendor.jobs.values())[-1]
        second = sound() if mode is Mode.SPEECH_TO_VIDEO else studios.film
        assert len(taken.media) == 2
        assert taken.media[1] == sha256(second), (name, model.name)
        assert state(studios.world, clip_id)["state"] == "done"
        assert not studios.handovers(), "the address ends with the job"
        for url in vendor.fetched:
            assert code(studios.world.call("GET", url.removeprefix(PUBLIC))) == "not_found"


def test_a_recording_says_whose_voice_it_is_or_goes_nowhere(studios: Studios) -> None:
    alice, bob = studios.consent(), studios.consent(BOB, "user-2")
    name, model = "fal", cards()["fal"].model("omnihuman-1.5")
    tokens = [studios.world.token(alice, name), studios.world.token(bob, name)]
    wish = studios.wish(model, Mode.SPEECH_TO_VIDEO)
    voice, shown = studios.media(sound()), [studios.media(png(ALICE))]

    def reasons(answer: Any) -> set[str]:
        assert answer.status_code == 403, answer.text
        return {reason["code"] for reason in answer.json()["reasons"]}

    undeclared = studios.order(name, tokens[:1], wish, sound=voice, media=shown)
    assert reasons(undeclared) == {"voice_undeclared"}
    missing = studios.order(name, tokens[:1], wish, sound=voice, media=shown, voices=[{"media_id": voice, "token": 1}])
    assert "no_token" in reasons(missing)
    nobodys = studios.order(name, tokens, wish, sound=voice, media=shown, voices=[{"media_id": voice}])
    assert reasons(nobodys) == {"token_unused"}
    assert studios.quiet()

    bobs = studios.clip(name, tokens, wish, sound=voice, media=shown, voices=[{"media_id": voice, "token": 1}])
    assert studios.make(bobs), "Bob is heard and need not be seen"
    assert studios.vendors[name].jobs
    revoke(studios.world, bob)
    assert code(content(studios.world, bobs)) == "consent_revoked", "his voice is his likeness"


def test_a_voice_that_is_none_or_too_long_is_not_sent(studios: Studios) -> None:
    voice, moving = studios.media(sound()), studios.media(studios.film)
    model = cards()["fal"].model("omnihuman-1.5")
    token = studios.world.token(studios.consent(), "fal")
    for more, said in (
        ({}, "remote_refused"),  # no recording
        ({"sound": moving}, "request_invalid"),
        ({"sound": voice, "script": "Hello."}, "request_invalid"),
        ({"sound": voice, "music": voice}, "request_invalid"),
    ):
        assert code(studios.order("fal", [token], studios.wish(model, Mode.SPEECH_TO_VIDEO), **more)) == said
    model = cards()["wan"].model("wan2.2-animate-move")
    token = studios.world.token(studios.consent(), "wan")
    wish = studios.wish(model, Mode.PERFORMANCE, seconds=2)
    studios.film = film(Path(studios.world.service.settings.var) / "long.mp4", seconds=3.0, fps=10)
    clip_id = studios.clip("wan", [token], wish, **studios.inputs(Mode.PERFORMANCE))
    assert not studios.make(clip_id)
    assert state(studios.world, clip_id)["code"] == "input_invalid"
    assert studios.quiet()


# --- addresses -------------------------------------------------------------------------------------------------------


def test_an_address_gives_the_checked_bytes_while_the_consent_holds_and_to_nobody_who_guesses(
    studios: Studios,
) -> None:
    consent, vendor = studios.consent(), studios.vendors["luma_legacy"]
    token, model = studios.world.token(consent, "luma_legacy"), cards()["luma_legacy"].model("ray-2")
    clip_id = studios.clip("luma_legacy", [token], studios.wish(model, Mode.FIRST_FRAME))
    seen: list[int] = []

    def get(url: str, method: str = "GET") -> Any:
        return studios.world.call(method, url.removeprefix(PUBLIC))

    def waiting(_: float) -> None:
        if seen:
            return
        (url,) = vendor.fetched
        assert vendor.fetched[url] == sha256(get(url).content)
        assert get(url).headers["content-type"].startswith("image/")
        assert get(url).headers["cache-control"] == "no-store"
        head = get(url, "HEAD")
        seen.append(head.status_code)
        assert code(get(url[:-9] + "AAAAA.png")) == "not_found"
        assert code(get(url.replace("inputs/", "inputs/x"))) == "not_found"
        revoke(studios.world, consent)
        seen.append(get(url).status_code)

    assert not studios.make(clip_id, waiting=waiting)
    assert seen == [200, 404]
    assert not studios.handovers()


def test_what_needs_an_address_is_refused_where_the_world_cannot_reach_us(studios: Studios) -> None:
    plain = replace(studios.world.service.settings, public_url="http://127.0.0.1:8000")
    with (
        open_service(
            plain,
            faces=studios.world.service.faces,
            now=studios.world.clock,
            database=studios.world.service.database,
        ) as service,
        TestClient(create_app(service)) as client,
    ):
        inside = replace(studios, world=World(client, service, studios.world.clock, keys=studios.world.keys))
        consent = inside.consent()
        for name, model in (("jimeng", "omnihuman-1.5"), ("luma_legacy", "ray-2")):
            found = cards()[name].model(model)
            mode = Mode.SPEECH_TO_VIDEO if name == "jimeng" else Mode.FIRST_FRAME
            refused = inside.order(
                name, [inside.world.token(consent, name)], inside.wish(found, mode), **inside.inputs(mode)
            )
            assert (code(refused), refused.json()["reason"]) == ("remote_refused", "no_address")
    assert studios.quiet()


# --- people are told apart -------------------------------------------------------------------------------------------


def test_two_people_in_two_pictures_are_two_subjects(studios: Studios) -> None:
    alice, bob = studios.consent(), studios.consent(BOB, "user-2")
    tokens = [studios.world.token(alice, "vidu"), studios.world.token(bob, "vidu")]
    model = cards()["vidu"].model("vidu-q2")
    pictures = [png(BOB), png(ALICE), png(GREY), png((45, 45, 210))]
    media = [studios.media(each) for each in pictures]
    wish = studios.wish(model, Mode.REFERENCE, prompt="@person1 greets @person2 at @thing1.")
    vendor = studios.vendors["vidu"]
    vendor.clip = film(Path(studios.world.service.settings.var) / "both.mp4", ALICE, BOB, seconds=0.4, fps=10)
    assert studios.make(studios.clip("vidu", tokens, wish, media=media))
    (job,) = vendor.jobs.values()
    assert [each["id"] for each in job.order["subjects"]] == ["person1", "person2", "thing1"]
    bobs, alices, thing = (each["images"] for each in job.order["subjects"])
    assert (len(bobs), len(alices), len(thing)) == (2, 1, 1)
    assert job.media == [sha256(pictures[number]) for number in (0, 3, 1, 2)], "each person's pictures together"

    nobody = studios.clip("vidu", tokens, wish | {"prompt": "@person3 waves."}, media=media)
    assert not studios.make(nobody)
    assert state(studios.world, nobody)["code"] == "input_invalid"


# --- stories of several jobs -----------------------------------------------------------------------------------------


def test_a_story_is_one_clip_of_shots_from_frame_to_frame(studios: Studios) -> None:
    token = studios.world.token(studios.consent(), "jimeng")
    model, vendor = cards()["jimeng"].model("jimeng-3.0-story"), studios.vendors["jimeng"]
    wish = studios.wish(model, Mode.KEYFRAMES, prompts=["She rises.", "She sits down."])
    clip_id = studios.clip("jimeng", [token], wish, **studios.inputs(Mode.KEYFRAMES))
    assert studios.make(clip_id)
    first, second = vendor.jobs.values()
    assert first.media[1] == second.media[0], "a shot begins where the one before it ends"
    assert [job.order["prompt"] for job in (first, second)] == [
        "They look at the sea. She rises.",
        "They look at the sea. She sits down.",
    ]
    done = state(studios.world, clip_id)
    assert (done["state"], done["duration_ms"]) == ("done", 700), "two films of 4 pictures, that share one"
    odd = studios.clip("jimeng", [token], wish | {"seconds": 15}, **studios.inputs(Mode.KEYFRAMES))
    assert not studios.make(odd)
    assert state(studios.world, odd)["code"] == "input_invalid"
    assert len(vendor.orders()) == 2


def test_a_story_that_a_worker_died_in_goes_on_where_it_was(studios: Studios) -> None:
    token = studios.world.token(studios.consent(), "jimeng")
    model, vendor = cards()["jimeng"].model("jimeng-3.0-story"), studios.vendors["jimeng"]
    clip_id = studios.clip("jimeng", [token], studios.wish(model, Mode.KEYFRAMES), **studios.inputs(Mode.KEYFRAMES))

    class Killed(BaseException):
        pass

    def waiting(_: float) -> None:
        if len(vendor.jobs) == 2:
            raise Killed

    with pytest.raises(Killed):
        studios.make(clip_id, waiting=waiting)
    fetched = sum(asked.path == "/files/clip.mp4" for asked in vendor.log)
    assert studios.make(clip_id, tried=1)
    assert len(vendor.orders()) == 2, "no shot is paid for twice"
    assert sum(asked.path == "/files/clip.mp4" for asked in vendor.log) == fetched + 1, "nor fetched twice"


def test_a_shot_whose_answer_was_lost_ends_the_story(studios: Studios) -> None:
    token = studios.world.token(studios.consent(), "jimeng")
    model, vendor = cards()["jimeng"].model("jimeng-3.0-story"), studios.vendors["jimeng"]
    clip_id = studios.clip("jimeng", [token], studios.wish(model, Mode.KEYFRAMES), **studios.inputs(Mode.KEYFRAMES))

    class Lossy(NetCarrier):
        def carry(self, asked: Exchange, headers: dict[str, str], *, loopback: bool) -> Answer:
            if asked.spends and vendor.jobs:
                return Answer(status=502)
            return NetCarrier().carry(asked, headers, loopback=loopback)

    studios.remotes = replace(studios.remotes, carrier=Lossy())
    for tried in (0, 1):
        assert not studios.make(clip_id, tried=tried)
    assert state(studios.world, clip_id)["code"] == "submit_outcome_unknown"
    assert len(vendor.jobs) == 1


def test_frames_that_a_vendor_makes_are_looked_at_before_they_become_a_film(studios: Studios) -> None:
    token = studios.world.token(studios.consent(), "jimeng")
    model, vendor = cards()["jimeng"].model("jimeng-4.0-story"), studios.vendors["jimeng"]
    for made, ends in ((ALICE, "done"), (BOB, "failed"), (GREY, "done")):
        vendor.forget()
        vendor.picture = png(made)
        clip_id = studios.clip("jimeng", [token], studios.wish(model, Mode.REFERENCE))
        assert studios.make(clip_id) is (ends == "done")
        assert state(studios.world, clip_id)["state"] == ends
        kinds = [job.order["req_key"] for job in vendor.jobs.values()]
        if ends == "failed":
            assert kinds == ["jimeng_t2i_v40"], "one frame shows somebody else: nothing more is ordered"
            assert state(studios.world, clip_id)["code"] == "output_unusable"
        else:
            assert kinds == ["jimeng_t2i_v40", "jimeng_t2i_v40", "jimeng_i2v_first_tail_v30"]
            assert list(vendor.jobs.values())[-1].media == [sha256(png(made))] * 2
        assert not studios.handovers()


# --- people whom a vendor verified -----------------------------------------------------------------------------------


def verification(studios: Studios, consent: dict[str, Any], step: str = "", who: str | None = None) -> Any:
    path = f"/v1/consents/{consent['consent_id']}/vendors/seedance/verification{step}"
    return studios.world.call("POST", path, who or "app")


def verified(studios: Studios, consent: dict[str, Any]) -> None:
    """The person did the vendor's own live check, and everything that follows."""
    ark: Any = studios.vendors["seedance"]
    begun = verification(studios, consent)
    assert begun.status_code == 201, begun.text
    ark.person_passed(begun.json()["link"].rpartition("/")[2])
    for wanted in ("verified", "kept", "ready"):
        answer = verification(studios, consent, "/advance")
        assert answer.json().get("state") == wanted, answer.text


SEEDANCE = {"model": "seedance-2.0", "mode": "reference", "prompt": "Image 1 walks.", "seconds": 5}


def test_a_person_whom_the_vendor_verified_is_ordered_by_the_name_of_their_picture(studios: Studios) -> None:
    consent, ark = studios.consent(), studios.vendors["seedance"]
    token = studios.world.token(consent, "seedance")
    refused = studios.order("seedance", [token], SEEDANCE)
    assert (code(refused), refused.json()["reason"]) == ("remote_refused", "person_unverified")
    assert studios.quiet()

    verified(studios, consent)
    portrait = studios.person(consent).picture_sha256
    assert list(ark.assets.values()) == [portrait], "the vendor fetched the portrait, and nothing else"
    assert not studios.handovers()
    assert studios.make(studios.clip("seedance", [token], SEEDANCE))
    (job,) = ark.jobs.values()
    assert [item["image_url"]["url"] for item in job.order["content"] if "image_url" in item] == ["asset://asset-0"]

    photo = studios.clip("seedance", [token], SEEDANCE, media=[studios.media(png(ALICE))])
    assert not studios.make(photo), "another picture of the same person is not the one that the vendor looked at"
    assert state(studios.world, photo)["code"] == "person_unverified"
    assert len(ark.orders()) == 1


def test_the_vendor_deletes_the_person_when_the_consent_ends(studios: Studios) -> None:
    consent = studios.consent()
    ark: Any = studios.vendors["seedance"]
    verified(studios, consent)
    service = studios.world.service
    assert not forget_due(service, studios.remotes), "while it holds, nothing is deleted"
    revoke(studios.world, consent)
    ark.deaf = True
    assert not forget_due(service, studios.remotes)
    assert ark.people
    assert not forget_due(service, studios.remotes), "not asked again at once"
    ark.deaf = False
    studios.world.clock.move(90)
    stale = [vendor for vendor in studios.vendors.values() if vendor is ark]
    assert stale
    _at_the_same_time(studios)
    assert forget_due(service, studios.remotes) == 1
    assert not ark.people
    assert not ark.assets
    assert not any(group.startswith("group-") for group in ark.groups.values())
    row = studios.person(consent)
    assert (row.state, row.forgotten_at is not None) == ("forgotten", True)
    assert not forget_due(service, studios.remotes)
    listed = studios.world.call("GET", f"/v1/consents/{consent['consent_id']}/vendors", "app").json()["people"]
    assert [(each["backend"], each["state"]) for each in listed] == [("seedance", "forgotten")]


def _at_the_same_time(studios: Studios) -> None:
    """The stub's clock stands still; ours goes back to it, and what was to be tried later is due."""
    from datetime import timedelta

    from sqlalchemy import update

    studios.world.clock.move(-90)
    with studios.world.service.database.transaction() as store:
        store._session.execute(update(VendorPersonRow).values(try_after=NOW - timedelta(seconds=1)))


def test_a_verification_needs_a_consent_that_covers_the_vendor_and_is_its_owners(studios: Studios) -> None:
    elsewhere = studios.consent(audience=["kling"])
    assert code(verification(studios, elsewhere)) == "scope_audience"
    ended = studios.consent(BOB, "user-2")
    revoke(studios.world, ended)
    assert code(verification(studios, ended)) == "consent_revoked"
    good = studios.consent()
    assert code(verification(studios, good, who=studios.world.key(Role.APP, "app-two"))) == "not_found"
    assert code(verification(studios, good, who=ended["manage_token"])) in ("not_found", "unauthenticated")
    assert code(verification(studios, good, "/advance")) == "not_found"
    path = f"/v1/consents/{good['consent_id']}/vendors/kling/verification"
    assert code(studios.world.call("POST", path, "app")) == "vendor_person_unknown"
    assert studios.quiet()


def test_a_person_whom_the_vendor_does_not_recognise_is_not_ordered(studios: Studios) -> None:
    consent = studios.consent()
    ark: Any = studios.vendors["seedance"]
    begun = verification(studios, consent, who=consent["manage_token"])
    assert begun.status_code == 201, "the person may begin it too"
    assert code(verification(studios, consent, "/advance")) == "vendor_person_unverified"
    ark.person_passed(begun.json()["link"].rpartition("/")[2])
    assert code(verification(studios, consent)) == "vendor_person_known", "they passed: no second group is made"
    ark.slow = True
    states = [verification(studios, consent, "/advance").json()["state"] for _ in range(2)]
    assert states == ["kept", "kept"]
    ark.slow, ark.strangers = False, True
    assert verification(studios, consent, "/advance").json()["state"] == "refused"
    refused = studios.order("seedance", [studios.world.token(consent, "seedance")], SEEDANCE)
    assert refused.json()["reason"] == "person_unverified"
    ark.strangers = False
    assert verification(studios, consent).status_code == 201, "once more, from the start"
    assert not ark.people, "and nothing of the first try stays there"
    studios.world.call("GET", "/v1/remote/returned").raise_for_status()


# --- callbacks for an account ----------------------------------------------------------------------------------------


def test_a_callback_for_an_account_wakes_whom_it_is_for_and_a_forged_one_nobody(studios: Studios) -> None:
    vendor = studios.vendors["pixverse"]
    token = studios.world.token(studios.consent(), "pixverse")
    model = cards()["pixverse"].model("pixverse-v5.5")
    clip_id = studios.clip("pixverse", [token], studios.wish(model, Mode.FIRST_FRAME))
    told: list[tuple[int, str]] = []

    def tell(path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
        (job,) = vendor.jobs.values()
        true = vendor.callback(job)
        return studios.world.call(
            "POST", path, content=true.body if body is None else body, headers=dict(true.headers) | (headers or {})
        )

    def waiting(_: float) -> None:
        if told:
            return
        with studios.world.service.database.transaction() as store:
            (job,) = vendor.jobs.values()
            told.append((0, store.clip_of_vendor_job("pixverse", job.id) or ""))
            assert store.clip_of_vendor_job("kling", job.id) is None
        right = "/v1/remote/accounts/pixverse"
        for answer in (
            tell(right),
            tell(right),  # twice
            tell(right, b'{"id": 1, "status": 1}'),
            tell(right, headers={"Webhook-Timestamp": "1"}),
            tell("/v1/remote/accounts/kling"),
            tell("/v1/remote/accounts/nobody"),
        ):
            told.append((answer.status_code, ""))

    assert studios.make(clip_id, waiting=waiting)
    assert told[0] == (0, clip_id)
    assert [status for status, _ in told[1:]] == [200, 200, 403, 403, 404, 404]
