"""Clips by vendors' generators: nothing leaves without consent, nothing is ordered twice, nothing comes out unmarked."""

from __future__ import annotations

import hashlib
import importlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import pytest
from fastapi.testclient import TestClient

from api.app import create_app, open_service
from api.auth import Role
from api.database import Database
from api.engines import FaceEngines
from api.outbound import NotSent
from api.remote import NetCarrier
from api.remote_accounts import read_accounts
from api.remote_clips import Remotes, open_remotes
from api.rendering import Renderers, render_clip
from api.settings import Settings, SettingsInvalid
from api.tables import RemoteJobRow
from api.vendor_purges import forget_at_vendors
from consent.keys import KeySet
from consent.purge import read_purge_receipt
from likeness.encode import encode
from likeness.provenance import ManifestState, verify_clip
from likeness.remote import Answer, Exchange
from likeness.vendor_job import job_of
from liveness.capture import RgbImage
from tests.api.conftest import Clock, World, png, renderers
from tests.api.scripted import ALICE, BOB, picture_of
from tests.api.test_clips import content, state
from tests.api.test_consents import revoke
from tests.api.test_liveness_sessions import code
from tests.api.test_worker import WallClock, until, worker
from tests.backends.kit import CLIP, NOW, SECRET, Job, Vendor, open_vendor

pytestmark = pytest.mark.service

WISH = {"model": "kling-3.0", "mode": "first_frame", "prompt": "She turns to the sea.", "seconds": 5}
PUBLIC = "https://mien.example"
GREY, BLACK = (90, 90, 90), (0, 0, 0)


def film(
    path: Path, *people: tuple[int, int, int], seconds: float = 1.0, fps: int = 24, size: tuple[int, int] = (320, 240)
) -> bytes:
    """Colours, and a square that moves, made here. Without people it shows Alice."""

    def frames() -> Iterator[RgbImage]:
        for number in range(round(seconds * fps)):
            picture = cv2.resize(picture_of(*(people or (ALICE,))), size, interpolation=cv2.INTER_NEAREST)
            picture[20:60, 10 + number : 50 + number] = 90
            yield picture

    encode(frames(), None, width=size[0], height=size[1], fps=fps, out=path)
    return path.read_bytes()


@dataclass
class Studio:
    """The service with an account at one vendor."""

    world: World
    vendor: Vendor
    remotes: Remotes

    def ordered(self, tokens: list[str], *, wish: dict[str, Any] = WISH, **more: Any) -> Any:
        body = {"kind": "remote", "backend": self.vendor.name, "tokens": tokens, "remote": wish} | more
        return self.world.call("POST", "/v1/clips", "app", json=body)

    def clip(self, tokens: list[str], **more: Any) -> str:
        answer = self.ordered(tokens, **more)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["clip_id"])

    def token(self, consent: dict[str, Any]) -> str:
        return self.world.token(consent, self.vendor.name)

    def consent(self, **more: Any) -> dict[str, Any]:
        return self.world.consent(audience=[self.vendor.name], **more)

    def make(self, clip_id: str, *, waiting: Callable[[float], None] = lambda _: None, tried: int = 0) -> bool:
        with_remotes: Renderers = replace(renderers(self.world.service), remotes=replace(self.remotes, wait=waiting))
        return render_clip(self.world.service, with_remotes, clip_id, tried=tried)

    def code(self, clip_id: str) -> str:
        return str(state(self.world, clip_id)["code"])

    def job(self, clip_id: str) -> RemoteJobRow | None:
        with self.world.service.database.transaction() as store:
            return store.get(RemoteJobRow, clip_id)


def at(vendor: Vendor, settings: Settings, tmp_path: Path) -> Settings:
    """Settings with an account there, as an operator writes it."""
    named = vendor.secrets() | vendor.options()
    lines = [f"[{vendor.name}]", f'address = "{vendor.account.host}"']
    accounts = tmp_path / "backends.toml"
    accounts.write_text("\n".join((*lines, *(f'{name} = "{value}"' for name, value in named.items()))))
    accounts.chmod(0o600)
    return replace(settings, backends=accounts, public_url=PUBLIC)


@pytest.fixture(params=["kling"])
def studio(
    request: pytest.FixtureRequest,
    settings: Settings,
    database: Database,
    faces: FaceEngines,
    tmp_path: Path,
) -> Iterator[Studio]:
    clock = Clock()
    clock.move((NOW - clock()).total_seconds())  # the vendor's clock is ours
    if "worker_that_is_killed" in request.node.name:
        clock = WallClock()  # other processes take part
    with open_vendor(importlib.import_module(f"tests.backends.stub_{request.param}").Stub()) as vendor:
        vendor.clip = film(tmp_path / "vendor.mp4")
        with (
            open_service(at(vendor, settings, tmp_path), faces=faces, now=clock, database=database) as service,
            TestClient(create_app(service)) as client,
        ):
            world = World(client, service, clock)
            names = {Role.APP: "app-one", Role.BACKEND: "studio", Role.AUDITOR: "auditor-one", Role.ADMIN: "admin-one"}
            world.keys = {role.value: world.key(role, name) for role, name in names.items()}
            yield Studio(world, vendor, open_remotes(service.settings))


def test_a_vendors_clip_is_ordered_with_consent_marked_and_fetched(studio: Studio, tmp_path: Path) -> None:
    consent = studio.consent()
    clip_id = studio.clip([studio.token(consent)])
    assert not studio.vendor.log, "nothing leaves before the permit is spent"

    assert studio.make(clip_id)

    done = state(studio.world, clip_id)
    assert (done["state"], done["progress"], done["duration_ms"]) == ("done", 1.0, 1000)
    file = tmp_path / "clip.mp4"
    file.write_bytes(content(studio.world, clip_id).content)
    manifest = verify_clip(file, anchor_pem=studio.world.call("GET", "/v1/provenance/anchor").text)
    assert manifest.state is ManifestState.TRUSTED
    assert manifest.consent is not None
    assert len(manifest.consent.consents) == 1
    assert consent["consent_id"] not in str(manifest.consent), "only whoever holds the permit can tell whose it is"
    assert (manifest.generator, manifest.actions[0], manifest.inputs) == ("kling kling-3.0", "c2pa.created", 1)
    (job,) = studio.vendor.jobs.values()
    assert len(job.media) == 1, "the portrait of who consented, and nothing else"
    assert job.order["options"]["callback_url"].startswith(f"{PUBLIC}/v1/remote/callbacks/{clip_id}/")
    assert len(studio.vendor.orders()) == 1
    assert not studio.make(clip_id), "a finished clip is not made again"
    assert len(studio.vendor.orders()) == 1


def test_a_request_without_consent_never_reaches_the_vendor(studio: Studio) -> None:
    token = studio.token(studio.consent())
    photo = studio.world.media(png(BOB), who="app")["media_id"]
    no_one = studio.world.media(png((128, 128, 128)), who="app")["media_id"]
    other = studio.world.token(studio.world.consent(studio.world.shown_live(BOB, "user-2"), BOB), "studio")
    for tokens, more in (
        ([], {}),
        (["not a token"], {}),
        ([other], {}),
        ([token, token], {}),
        ([token], {"media": [photo]}),
        ([token], {"media": [no_one]}),
        ([token], {"purpose": "cameo"}),
    ):
        refused = studio.ordered(tokens, **more)
        assert refused.status_code == 403, refused.text
    assert not studio.vendor.log


def test_consent_that_ends_before_the_work_keeps_everything_here(studio: Studio) -> None:
    consent = studio.consent()
    clip_id = studio.clip([studio.token(consent)])
    revoke(studio.world, consent)
    assert not studio.make(clip_id)
    assert not studio.vendor.log


def test_consent_that_ends_while_the_vendor_works_stops_the_job_there(
    studio: Studio, request: pytest.FixtureRequest
) -> None:
    consent = studio.consent()
    clip_id = studio.clip([studio.token(consent)])
    revoked = []

    def waiting(_: float) -> None:
        if not revoked:
            revoked.append(revoke(studio.world, consent))

    assert not studio.make(clip_id, waiting=waiting)
    assert state(studio.world, clip_id)["state"] in ("failed", "withdrawn")
    assert code(content(studio.world, clip_id)) in ("consent_revoked", "clip_failed")
    assert not any(asked.path == "/files/clip.mp4" for asked in studio.vendor.log), "what was made stays there"


RUNWAY = WISH | {"model": "gen4-turbo"}


@pytest.mark.parametrize("studio", ["runway"], indirect=True)
@pytest.mark.parametrize("how", ["withdrawn", "cancelled"])
def test_a_clip_that_nobody_wants_any_more_is_stopped_at_the_vendor(studio: Studio, how: str) -> None:
    consent = studio.consent()
    clip_id = studio.clip([studio.token(consent)], wish=RUNWAY)
    done: list[Any] = []

    def waiting(_: float) -> None:
        if not done:
            done.append(
                revoke(studio.world, consent)
                if how == "withdrawn"
                else studio.world.call("DELETE", f"/v1/clips/{clip_id}", "app")
            )

    assert not studio.make(clip_id, waiting=waiting)
    assert [asked.method for asked in studio.vendor.log if asked.method == "DELETE"] == ["DELETE"]
    assert not studio.vendor.jobs


@pytest.mark.parametrize("studio", ["runway"], indirect=True)
def test_a_run_that_was_overtaken_leaves_the_job_to_the_other(studio: Studio) -> None:
    clip_id = studio.clip([studio.token(studio.consent())], wish=RUNWAY)
    inner: list[bool] = []

    def waiting(_: float) -> None:
        if not inner:
            inner.append(False)
            inner[0] = studio.make(clip_id, tried=1)  # a second worker takes it over and finishes it

    assert not studio.make(clip_id, waiting=waiting)
    assert inner == [True]
    assert len(studio.vendor.orders()) == 1
    assert state(studio.world, clip_id)["state"] == "done"


def test_a_worker_that_dies_does_not_order_twice(studio: Studio) -> None:
    clip_id = studio.clip([studio.token(studio.consent())])

    class Killed(BaseException):
        pass

    def waiting(_: float) -> None:
        raise Killed

    with pytest.raises(Killed):
        studio.make(clip_id, waiting=waiting)
    assert studio.make(clip_id, tried=1)
    assert len(studio.vendor.orders()) == 1
    assert state(studio.world, clip_id)["state"] == "done"


def test_a_worker_that_dies_in_the_middle_of_an_order_looks_for_it(studio: Studio) -> None:
    """Written down is our key; whether the order arrived is the vendor's to say."""
    clip_id = studio.clip([studio.token(studio.consent())])

    class Killed(BaseException):
        pass

    class DiesAfterSending(NetCarrier):
        def carry(self, asked: Exchange, headers: dict[str, str], *, loopback: bool) -> Answer:
            NetCarrier().carry(asked, headers, loopback=loopback)
            raise Killed

    whole = studio.remotes
    studio.remotes = replace(whole, carrier=DiesAfterSending())
    with pytest.raises(Killed):
        studio.make(clip_id)
    job = studio.job(clip_id)
    assert job is not None
    assert (job.state, job.handle) == ("ordering", None)
    studio.remotes = whole
    assert studio.make(clip_id, tried=1)
    assert len(studio.vendor.orders()) == 1


def test_an_order_that_may_or_may_not_have_arrived_is_said_to_be_that(studio: Studio) -> None:
    clip_id = studio.clip([studio.token(studio.consent())])

    class Lost(NetCarrier):
        def carry(self, asked: Exchange, headers: dict[str, str], *, loopback: bool) -> Answer:
            if asked.spends:
                return Answer(status=502)
            return NetCarrier().carry(asked, headers, loopback=loopback)

    studio.remotes = replace(studio.remotes, carrier=Lost())
    assert not studio.make(clip_id)
    assert studio.code(clip_id) == "submit_outcome_unknown"
    job = studio.job(clip_id)
    assert job is not None
    assert job.state == "outcome_unknown"
    assert not studio.make(clip_id, tried=1)
    assert not studio.vendor.jobs


def test_what_the_vendor_says_no_to_is_told_with_one_code(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    refusals = {"content": "input_refused", "balance": "credit_exhausted", "parameter": "input_invalid"}
    token = studio.token(studio.consent())
    for trouble in studio.vendor.errors:
        if trouble.name in refusals:
            clip_id = studio.clip([token])
            studio.vendor.instead = [trouble.reply]
            assert not studio.make(clip_id)
            assert studio.code(clip_id) == refusals[trouble.name]
    assert SECRET not in caplog.text
    assert "red square" not in caplog.text
    assert "sea" not in caplog.text


def test_what_is_no_video_is_not_released(studio: Studio) -> None:
    token = studio.token(studio.consent())
    for made in (b"<html>not found</html>", CLIP, b"", film_header_only()):
        studio.vendor.clip = made
        clip_id = studio.clip([token])
        assert not studio.make(clip_id)
        assert studio.code(clip_id) == "output_unusable"
        assert code(content(studio.world, clip_id)) == "clip_failed"


def film_header_only() -> bytes:
    return b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0" * 64


def test_a_clip_longer_than_permitted_is_not_released(studio: Studio, tmp_path: Path) -> None:
    studio.vendor.clip = film(tmp_path / "long.mp4", seconds=4.0, fps=12)
    token = studio.token(studio.consent(limits={"max_seconds": 3}))
    assert not studio.make(studio.clip([token], wish=WISH | {"seconds": 3}))
    assert studio.ordered([token]).status_code == 403, "five seconds were never permitted"


def test_a_photograph_of_two_people_needs_both(studio: Studio, tmp_path: Path) -> None:
    both = studio.world.media(png(ALICE, BOB), who="app")["media_id"]
    alice = studio.token(studio.consent())
    refused = studio.ordered([alice], media=[both])
    assert {reason["code"] for reason in refused.json()["reasons"]} == {"unknown_face"}
    bob = studio.token(studio.consent(session=studio.world.shown_live(BOB, "user-2"), colour=BOB))
    clip_id = studio.clip([alice, bob], media=[both])
    studio.vendor.clip = film(tmp_path / "both.mp4", ALICE, BOB)
    assert studio.make(clip_id)
    (job,) = studio.vendor.jobs.values()
    assert job.media == [hashlib.sha256(png(ALICE, BOB)).hexdigest()], "the bytes that were checked"


def test_of_several_people_each_picture_is_of_those_whom_it_shows(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vendors that want subjects told apart get each picture under the right one."""
    photographs = [studio.world.media(png(*shown), who="app")["media_id"] for shown in ((BOB,), (ALICE, BOB))]
    alice = studio.consent()
    bob = studio.consent(session=studio.world.shown_live(BOB, "user-2"), colour=BOB)
    handed: list[tuple[str, ...]] = []

    def seen(permit: Any, wish: Any, pictures: Any, **more: Any) -> Any:
        handed.extend(picture.consents for picture in pictures)
        return job_of(permit, wish, pictures, **more)

    monkeypatch.setattr("api.remote_clips.job_of", seen)
    wish = WISH | {"mode": "first_last_frame"}
    studio.vendor.clip = film(tmp_path / "both.mp4", ALICE, BOB)
    clip_id = studio.clip([studio.token(alice), studio.token(bob)], wish=wish, media=photographs)
    assert studio.make(clip_id), studio.code(clip_id)
    assert [set(whose) for whose in handed] == [{bob["consent_id"]}, {alice["consent_id"], bob["consent_id"]}]


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ((BOB,), {"other_face", "person_missing"}),
        ((ALICE, BOB), {"other_face"}),
        ((GREY,), {"person_missing"}),
        ((BLACK,), {"face_unjudged", "person_missing"}),
    ],
    ids=["replaced", "joined", "gone", "blurred"],
)
def test_a_vendor_that_shows_somebody_else_is_caught(
    studio: Studio, tmp_path: Path, shown: tuple[tuple[int, int, int], ...], said: set[str]
) -> None:
    consent = studio.consent()
    clip_id = studio.clip([studio.token(consent)])
    studio.vendor.clip = film(tmp_path / "other.mp4", *shown)
    assert not studio.make(clip_id)
    ended = state(studio.world, clip_id)
    assert ended["state"] == "failed"
    assert {reason["code"] for reason in ended["reasons"]} == said
    assert ended["code"] == ended["reasons"][0]["code"]
    assert "score" not in str(ended)
    assert code(content(studio.world, clip_id)) == "clip_failed"
    seen = studio.world.call("GET", "/v1/subject/admin-views", consent["manage_token"]).json()["results"]
    (event,) = [one for one in seen if one["action"] == "output:clip:withheld"]
    assert event["reason"] == ended["code"]
    assert not studio.make(clip_id, tried=1)
    assert len(studio.vendor.orders()) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"backend": "sora"}, "backend_retired"),
        ({"backend": "midjourney"}, "backend_without_api"),
        ({"backend": "nobody"}, "backend_unknown"),
        ({"backend": "vidu", "wish": WISH | {"model": "vidu-q3-pro"}}, "generator_unavailable"),
        ({"wish": WISH | {"model": "kling-9"}}, "remote_refused"),
        ({"backend": "replicate", "wish": WISH | {"model": "seedance-2.0"}}, "remote_refused"),
        ({"backend": "seedance", "wish": WISH | {"model": "seedance-2.0"}}, "generator_unavailable"),
        ({"sound": "med_" + "0" * 32}, "remote_refused"),
        ({"wish": WISH | {"prompts": ["then", "there"]}}, "remote_refused"),
        ({"wish": WISH | {"mode": "reference"}}, "remote_refused"),
        ({"wish": WISH | {"mode": "text_to_video"}}, "remote_refused"),
        ({"wish": WISH | {"seconds": 31}}, "remote_refused"),
        ({"wish": WISH | {"ratio": "2:1"}}, "remote_refused"),
        ({"wish": WISH | {"seed": 7}}, "remote_refused"),
        ({"wish": WISH | {"prompt": "the man of asset://asset-1"}}, "remote_refused"),
        ({"wish": WISH | {"prompt": "<<<element_1>>> smiles"}}, "remote_refused"),
        ({"wish": WISH | {"extra": {"element_list": [1]}}}, "request_invalid"),
        ({"wish": None}, "backend_unknown"),
        ({"script": "Hello."}, "request_invalid"),
    ],
)
def test_what_the_vendor_does_not_make_is_refused_at_once(studio: Studio, more: dict[str, Any], said: str) -> None:
    refused = studio.ordered([studio.token(studio.consent())], **more)
    assert code(refused) == said, refused.text
    assert not studio.vendor.log


def test_what_can_be_ordered_is_listed(studio: Studio) -> None:
    listed = {
        each["backend"]: each for each in studio.world.call("GET", "/v1/clips/backends", "app").json()["backends"]
    }
    assert listed["kling"]["ready"] is True
    assert listed["seedance"]["ready"] is False
    assert (listed["sora"]["standing"], listed["midjourney"]["standing"]) == ("retired", "no_api")
    assert SECRET not in str(listed)


# --- what the vendor has of a person whose consent is over ------------------------------------------------------------


def owed(studio: Studio, consent: dict[str, Any], who: str | None = None) -> dict[str, Any]:
    """What the person sees."""
    path = f"/v1/consents/{consent['consent_id']}/purges"
    (purge,) = studio.world.call("GET", path, who or consent["manage_token"]).json()["purges"]
    return dict(purge)


def forget(studio: Studio) -> int:
    return forget_at_vendors(studio.world.service, studio.remotes)


@pytest.mark.parametrize("studio", ["runway"], indirect=True)
def test_a_withdrawal_has_the_vendor_delete_what_it_has_and_the_person_gets_a_receipt(studio: Studio) -> None:
    consent = studio.consent()
    assert studio.make(studio.clip([studio.token(consent)], wish=RUNWAY))
    assert forget(studio) == 0
    assert studio.vendor.jobs, "nobody withdrew anything"
    revoke(studio.world, consent)
    purge = owed(studio, consent)
    assert (purge["backend"], purge["state"], purge["seconds_left"]) == ("runway", "required", 48 * 3600)
    assert forget(studio) == 1
    assert not studio.vendor.jobs
    done = owed(studio, consent)
    assert (done["state"], done["seconds_left"]) == ("confirmed", 0)
    keys = KeySet.from_jwks(studio.world.call("GET", "/.well-known/jwks.json").json())
    receipt = read_purge_receipt(done["receipt"], keys)
    assert (receipt.backend, receipt.assets_deleted) == ("runway", 1)
    assert forget(studio) == 0
    assert len([asked for asked in studio.vendor.log if asked.method == "DELETE"]) == 1


def test_a_vendor_without_a_call_for_that_is_said_to_keep_it_and_until_when(studio: Studio) -> None:
    consent = studio.consent()
    assert studio.make(studio.clip([studio.token(consent)]))
    revoke(studio.world, consent)
    asked = len(studio.vendor.log)
    assert forget(studio) == 1
    purge = owed(studio, consent)
    assert (purge["state"], purge["confirmed_at"], purge["receipt"]) == ("retained", None, None)
    until = datetime.fromisoformat(purge["retained_until"]) - studio.world.clock()
    assert timedelta(days=30) <= until <= timedelta(days=31), "as its documents say"
    assert (forget(studio), len(studio.vendor.log)) == (0, asked)
    studio.world.clock.move(49 * 3600)
    bob = studio.consent(session=studio.world.shown_live(BOB, "user-2"), colour=BOB)
    answer = studio.ordered([studio.token(bob)])
    assert answer.status_code == 202, (answer.text, "it could not have deleted, so it is not refused for that")
    studio.world.clock.move(30 * 86400)
    assert owed(studio, consent, "app")["state"] == "lapsed"


@pytest.mark.parametrize("studio", ["runway"], indirect=True)
def test_a_vendor_that_does_not_delete_in_time_is_refused_until_it_does(studio: Studio) -> None:
    consent = studio.consent()
    assert studio.make(studio.clip([studio.token(consent)], wish=RUNWAY))
    revoke(studio.world, consent)

    class Away(NetCarrier):
        def carry(self, asked: Exchange, headers: dict[str, str], *, loopback: bool) -> Answer:
            raise NotSent("connection_failed")

    whole, studio.remotes = studio.remotes, replace(studio.remotes, carrier=Away())
    assert forget(studio) == 0
    studio.remotes = whole
    assert forget(studio) == 0, "not at once again"
    assert owed(studio, consent)["state"] == "required"
    studio.world.clock.move(49 * 3600)
    bob = studio.consent(session=studio.world.shown_live(BOB, "user-2"), colour=BOB)
    refused = studio.ordered([studio.token(bob)], wish=RUNWAY)
    assert [reason["code"] for reason in refused.json()["reasons"]] == ["backend_blocked"]
    assert forget(studio) == 1
    assert owed(studio, consent)["state"] == "confirmed"
    assert studio.ordered([studio.token(bob)], wish=RUNWAY).status_code == 202


def test_a_withdrawal_right_before_the_order_keeps_the_pictures_here(studio: Studio) -> None:
    consent = studio.consent()
    clip_id = studio.clip([studio.token(consent)])

    class Just(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            revoke(studio.world, consent)
            return super().get(name, default)

    studio.remotes = replace(studio.remotes, backends=Just(studio.remotes.backends))
    assert not studio.make(clip_id)
    assert not studio.vendor.log
    path = f"/v1/consents/{consent['consent_id']}/purges"
    assert studio.world.call("GET", path, consent["manage_token"]).json()["purges"] == []


@pytest.mark.parametrize("studio", ["runway"], indirect=True)
def test_an_order_of_which_nobody_knows_is_said_to_be_kept(studio: Studio) -> None:
    consent = studio.consent()
    clip_id = studio.clip([studio.token(consent)], wish=RUNWAY)
    studio.vendor.lose_orders = 1
    assert not studio.make(clip_id)
    assert studio.code(clip_id) == "submit_outcome_unknown"
    revoke(studio.world, consent)
    assert forget(studio) == 0
    assert owed(studio, consent)["state"] == "required"
    studio.world.clock.move(601)
    assert forget(studio) == 1
    assert (owed(studio, consent)["state"], owed(studio, consent)["retained_until"]) == ("retained", None)


@pytest.mark.parametrize("studio", ["runway"], indirect=True)
def test_what_was_deleted_for_one_person_is_owed_to_nobody_else(studio: Studio, tmp_path: Path) -> None:
    both = studio.world.media(png(ALICE, BOB), who="app")["media_id"]
    alice = studio.consent()
    bob = studio.consent(session=studio.world.shown_live(BOB, "user-2"), colour=BOB)
    studio.vendor.clip = film(tmp_path / "both.mp4", ALICE, BOB)
    assert studio.make(studio.clip([studio.token(alice), studio.token(bob)], media=[both], wish=RUNWAY))
    revoke(studio.world, alice)
    assert forget(studio) == 1
    revoke(studio.world, bob)
    path = f"/v1/consents/{bob['consent_id']}/purges"
    assert studio.world.call("GET", path, bob["manage_token"]).json()["purges"] == []


# --- callbacks -------------------------------------------------------------------------------------------------------


def told(studio: Studio, url: str, *, headers: dict[str, str] | None = None, body: bytes | None = None) -> Any:
    (job,) = studio.vendor.jobs.values()
    true = studio.vendor.callback(job)
    return studio.world.call(
        "POST", url.removeprefix(PUBLIC), content=true.body if body is None else body,
        headers=dict(true.headers) if headers is None else headers,
    )  # fmt: skip


def test_a_callback_wakes_and_a_forged_one_does_nothing(studio: Studio) -> None:
    clip_id = studio.clip([studio.token(studio.consent())])
    answers: list[Any] = []

    def waiting(_: float) -> None:
        if answers:
            return
        (job,) = studio.vendor.jobs.values()
        url = job.order["options"]["callback_url"]
        answers.append(told(studio, url))
        answers.append(told(studio, url))  # twice
        answers.append(told(studio, url, headers={}))
        answers.append(told(studio, url, body=b'{"status":"succeeded"}'))
        answers.append(told(studio, url[:-4] + "AAAA"))
        answers.append(told(studio, url.replace(clip_id, "clp_" + "0" * 32)))
        answers.append(told(studio, url, body=b"x" * 300_000))

    assert studio.make(clip_id, waiting=waiting)
    assert [answer.status_code for answer in answers] == [200, 200, 403, 403, 404, 404, 413]
    assert answers[0].text == "ok"
    late = told(studio, next(iter(studio.vendor.jobs.values())).order["options"]["callback_url"])
    assert late.status_code == 200
    assert len(studio.vendor.orders()) == 1


def test_the_bell_wakes_only_who_waits_for_that_clip() -> None:
    remotes = Remotes()
    remotes.bells.ring("clp_1")
    assert not remotes.bells.wait("clp_2", 0.01)
    assert remotes.bells.wait("clp_1", 0.01)
    assert not remotes.bells.wait("clp_1", 0.01)


# --- accounts --------------------------------------------------------------------------------------------------------


def test_accounts_are_read_strictly_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "backends.toml"
    file.write_text(f'[kling]\nkey = "{SECRET}"\nhost = "cn"\n')
    file.chmod(0o644)
    with pytest.raises(SettingsInvalid, match="0600"):
        read_accounts(file)
    file.chmod(0o600)
    account = read_accounts(file)["kling"]
    assert account.host == "https://api-beijing.klingai.com"
    assert SECRET not in repr(account)
    assert read_accounts(None) == {}
    for wrong in (
        "[nobody]\nkey = 'x'", "[sora]\nkey = 'x'", "[kling]\nkeey = 'x'", "[kling]\nhost = 'mars'", "[kling]\nkey = 7",
        "[kling]\naddress = 'http://10.0.0.1'", "[kling]\naddress = 'file:///etc/passwd'", "kling = 'x'", "[",
    ):  # fmt: skip
        with pytest.raises(SettingsInvalid) as refused:
            read_accounts(None, wrong)
        assert "'x'" not in str(refused.value)


def test_nothing_goes_to_an_address_that_is_not_public(studio: Studio) -> None:
    """A vendor's answer that names a place inside as the clip's address."""
    token = studio.token(studio.consent())
    inside = replace(studio.remotes, carrier=NetCarrier(resolve=lambda *_: ["10.0.0.7"]))
    type(studio.vendor).clip_url = property(lambda _: "https://files.vendor.example/clip.mp4")  # type: ignore[assignment,method-assign]
    try:
        studio.remotes = inside
        clip_id = studio.clip([token])

        class Named(NetCarrier):
            def carry(self, asked: Exchange, headers: dict[str, str], *, loopback: bool) -> Answer:
                if "files.vendor" in asked.url:
                    return NetCarrier(resolve=lambda *_: ["10.0.0.7"]).carry(asked, headers, loopback=False)
                return NetCarrier().carry(asked, headers, loopback=loopback)

        studio.remotes = replace(inside, carrier=Named())
        assert not studio.make(clip_id)
        assert studio.code(clip_id) == "output_unusable"
    finally:
        del type(studio.vendor).clip_url  # the stub's own again


def test_a_vendor_that_cannot_be_reached_is_said_to_be_that(studio: Studio) -> None:
    clip_id = studio.clip([studio.token(studio.consent())])

    class Away(NetCarrier):
        def carry(self, asked: Exchange, headers: dict[str, str], *, loopback: bool) -> Answer:
            raise NotSent("connection_failed")

    studio.remotes = replace(studio.remotes, carrier=Away())
    assert not studio.make(clip_id)
    assert studio.code(clip_id) == "vendor_unavailable"
    assert not studio.vendor.log


@pytest.mark.parametrize("studio", ["runway"], indirect=True)
def test_a_worker_that_is_killed_leaves_the_vendors_job_to_the_next(studio: Studio, tmp_path: Path) -> None:
    """Real processes: the second takes up the job where the first was killed, and orders nothing."""
    clip_id = studio.clip([studio.token(studio.consent())], wish=RUNWAY)
    hold = tmp_path / "hold"

    def looks() -> int:
        return sum(asked.method == "GET" and asked.path.startswith("/v1/tasks/") for asked in studio.vendor.log)

    with worker(studio.world, hold) as first:
        until(lambda: looks() > 0, 120)
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert state(studio.world, clip_id)["state"] == "running"
    with worker(studio.world, hold):
        until(lambda: state(studio.world, clip_id)["state"] != "running", 120)
    ended = state(studio.world, clip_id)
    assert (ended["state"], ended["code"]) == ("done", None)
    assert len(studio.vendor.orders()) == 1


def test_a_worker_that_is_killed_before_the_answer_to_its_order_orders_nothing_again(
    studio: Studio, tmp_path: Path
) -> None:
    """Real processes: the order arrived, its answer did not; the second worker asks for the job by our key."""
    clip_id = studio.clip([studio.token(studio.consent())])
    taken, answer = threading.Event(), threading.Event()

    def hold_the_answer(_: Job) -> None:
        taken.set()
        answer.wait(120)

    studio.vendor.before_answer = hold_the_answer
    with worker(studio.world, tmp_path / "hold") as first:
        assert taken.wait(120)
        first.send_signal(signal.SIGKILL)
        first.wait()
    answer.set()
    job = studio.job(clip_id)
    assert job is not None
    assert (job.state, job.handle) == ("ordering", None)
    with worker(studio.world, tmp_path / "hold"):
        until(lambda: state(studio.world, clip_id)["state"] != "running", 120)
    ended = state(studio.world, clip_id)
    assert (ended["state"], ended["code"]) == ("done", None)
    assert len(studio.vendor.orders()) == 1


@pytest.mark.parametrize("studio", ["runway"], indirect=True)
def test_a_clip_that_is_late_is_stopped_at_the_vendor_too(studio: Studio) -> None:
    clip_id = studio.clip([studio.token(studio.consent())], wish=RUNWAY, deadline_s=60)
    late: list[bool] = []

    def waiting(_: float) -> None:
        if not late:
            late.append(True)
            studio.world.clock.move(60)

    assert not studio.make(clip_id, waiting=waiting)
    assert studio.code(clip_id) == "deadline"
    assert [asked.method for asked in studio.vendor.log if asked.method == "DELETE"] == ["DELETE"]
    assert not studio.make(clip_id, tried=1)
    assert len(studio.vendor.orders()) == 1
