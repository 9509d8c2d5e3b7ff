"""Generators on this machine: offered only with what they need, loaded only as the operator pinned them, and fed only checked
media."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from api.engines import maker_class
from api.remote_clips import goes_on, open_remotes
from api.settings import Settings
from api.tables import RemoteJobRow
from likeness.backends import Standing, admit, cards
from likeness.errors import RemoteError
from likeness.in_process import Unready, check_folder, read_pins, why_not
from likeness.make_diffusers import Diffusers
from likeness.make_liveportrait import LivePortrait
from likeness.remote import Account, FaultCode, Media, MediaKind, Mode, RemoteJob, Role
from tests.api.test_remote_clips import film

LOCAL = [name for name, card in cards().items() if card.standing is Standing.LOCAL]


def png(colour: tuple[int, int, int], size: tuple[int, int] = (320, 200)) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size, colour).save(content, "PNG")
    return content.getvalue()


def media(role: Role, content: bytes, kind: MediaKind = MediaKind.PICTURE) -> Media:
    media_type = "image/png" if kind is MediaKind.PICTURE else "video/mp4"
    sha256 = hashlib.sha256(content).hexdigest()
    return Media(role=role, kind=kind, media_type=media_type, content=content, sha256=sha256, consents=("con_alice",))


def pinned(folder: Path) -> Path:
    """The list that an operator makes with sha256sum."""
    pins = folder.with_suffix(".sha256")
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  ./{path.relative_to(folder)}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    pins.write_text("\n".join(lines) + "\n")
    return pins


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "weights"
    (found / "unet").mkdir(parents=True)
    (found / "model_index.json").write_text("{}")
    (found / "unet" / "model.safetensors").write_bytes(b"weights")
    return found


def account(folder: Path, **more: str) -> Account:
    return Account(host="", options={"folder": str(folder), "pins": str(pinned(folder)), "steps": "4", **more})


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name in names else there(name))


# --- whether it is offered -------------------------------------------------------------------------------------------


def test_what_is_missing_is_said_and_nothing_is_offered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not(None, Diffusers) is Unready.NOT_CONFIGURED
    assert why_not(Account(host="", options={"folder": "", "pins": ""}), Diffusers) is Unready.NOT_CONFIGURED
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert why_not(account(folder), Diffusers) is Unready.LIBRARY_MISSING
    monkeypatch.undo()
    installed(monkeypatch, "torch", "diffusers")
    assert why_not(account(folder), Diffusers) is None
    assert why_not(account(folder), LivePortrait) is Unready.LICENCE_UNACCEPTED
    assert why_not(account(folder, accept_noncommercial="yes"), LivePortrait) is None
    named = account(folder).options
    for wrong in ({"folder": str(folder / "nowhere")}, {"pins": str(folder / "model_index.json")}):
        assert why_not(Account(host="", options={**named, **wrong}), Diffusers) is Unready.WEIGHTS_MISSING


def test_every_generator_of_this_machine_is_listed_with_why_it_is_not_ready() -> None:
    no_accounts = cast("Settings", SimpleNamespace(backends=None, backends_toml=None))
    remotes = open_remotes(no_accounts)
    assert set(remotes.unready) == set(LOCAL) == {"diffusers", "liveportrait"}
    assert not remotes.local
    for name in LOCAL:
        assert maker_class(name).needs[0] == "torch"
        assert not cards()[name].hosts, "nothing of it goes anywhere"


def test_a_restored_database_orders_no_part_of_a_story_again() -> None:
    def row(backend: str, model: str) -> RemoteJobRow:
        return RemoteJobRow(clip_id="clp_1", backend=backend, model=model)

    assert goes_on("jimeng", row("jimeng", "jimeng-3.0"))
    assert not goes_on("jimeng", row("jimeng", "jimeng-3.0-story"))
    assert not goes_on("jimeng", None)
    assert goes_on("diffusers", None), "made here, it costs nobody anything"
    assert not goes_on("gone", None)


def test_a_folder_that_is_not_as_it_was_pinned_is_not_loaded(folder: Path) -> None:
    pins = pinned(folder).read_text()
    check_folder(folder, pins, runs_code=False)

    def refused(**more: Any) -> str:
        with pytest.raises(RemoteError) as error:
            check_folder(folder, pins, **{"runs_code": False} | more)
        return str(error.value.code)

    (folder / "unet" / "model.safetensors").write_bytes(b"Weights")
    assert refused() == Unready.WEIGHTS_ALTERED
    (folder / "unet" / "model.safetensors").write_bytes(b"weights")
    (folder / "extra.json").write_text("{}")
    assert refused() == Unready.WEIGHTS_UNPINNED
    (folder / "extra.json").unlink()
    (folder / "link.json").symlink_to("/etc/hostname")
    assert refused() == Unready.WEIGHTS_UNPINNED
    (folder / "link.json").unlink()
    (folder / "model_index.json").unlink()
    assert refused() == Unready.WEIGHTS_MISSING
    (folder / "model_index.json").write_text("{}")
    (folder / "unet" / "model.bin").write_bytes(b"a pickle")
    pins = pinned(folder).read_text()
    assert refused() == Unready.WEIGHTS_UNSAFE, "also where the operator pinned it"
    check_folder(folder, pins, runs_code=True)


@pytest.mark.parametrize("text", ["", "abc  x", "0" * 64 + "  /etc/passwd", "0" * 64 + "  ../x", "0" * 64 + " x"])
def test_a_list_that_is_none_pins_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="list"):
        read_pins(text)


# --- diffusers -------------------------------------------------------------------------------------------------------


class Fades:
    """Stands in the place of a pipeline: from the first picture to the last, and says what it was asked."""

    def __init__(self, *, broken: bool = False) -> None:
        self.asked: dict[str, Any] = {}
        self.broken = broken

    def __call__(self, **asked: Any) -> Any:
        self.asked = asked
        for step in range(asked["num_inference_steps"]):
            asked["callback_on_step_end"](self, step, 0, {})
        first = np.asarray(asked["image"], np.float32) / 255
        last = np.asarray(asked.get("last_image", asked["image"]), np.float32) / 255
        count = asked["num_frames"]
        film = np.stack([first + (last - first) * n / (count - 1) for n in range(count)])
        return SimpleNamespace(frames=[film * np.nan if self.broken else film])


def job(mode: Mode = Mode.FIRST_LAST_FRAME, **more: Any) -> RemoteJob:
    frames = (media(Role.FIRST_FRAME, png((200, 40, 40))), media(Role.LAST_FRAME, png((40, 40, 200))))
    fields: dict[str, Any] = {
        "model": "image-to-video",
        "mode": mode,
        "prompt": "It fades.",
        "seconds": 1,
        "ratio": "1:1",
        "resolution": "480p",
        "seed": 7,
        "media": frames if mode is Mode.FIRST_LAST_FRAME else frames[:1],
    }
    return RemoteJob(**fields | more)


def test_a_pipeline_makes_a_film_from_the_first_picture_to_the_last(folder: Path) -> None:
    pipeline, loads = Fades(), list[Path]()

    def load(place: Path) -> Fades:
        loads.append(place)
        return pipeline

    maker, told = Diffusers(account(folder), load=load), list[float]()
    admit(job(), cards()["diffusers"])
    clip = maker.make(job(), tell=told.append)
    pictures = list(clip.frames)
    assert (clip.width, clip.height, clip.fps, len(pictures)) == (480, 480, 16, 16)
    assert clip.frame_count == 16
    assert pictures[0][0, 0].tolist() == [200, 40, 40]
    assert abs(int(pictures[-1][0, 0, 2]) - 190) < 12
    assert told == sorted(told)
    assert told[-1] < 1
    assert (pipeline.asked["num_frames"] - 1) % 4 == 0
    assert pipeline.asked["image"].size == (480, 480), "scaled and cut, not squeezed"
    assert len(clip.audio.samples) == 16_000
    maker.make(job(Mode.FIRST_FRAME), tell=told.append)
    assert "last_image" not in pipeline.asked
    assert loads == [folder], "loaded once"


def test_a_pipeline_that_is_stopped_stops_and_one_that_fails_makes_nothing(folder: Path) -> None:
    class Withdrawn(Exception):
        pass

    def tell(far: float) -> None:
        if far > 0.3:
            raise Withdrawn

    with pytest.raises(Withdrawn):
        Diffusers(account(folder), load=lambda _: Fades()).make(job(), tell=tell)
    with pytest.raises(RemoteError) as unusable:
        Diffusers(account(folder), load=lambda _: Fades(broken=True)).make(job(), tell=lambda _: None)
    assert unusable.value.code == FaultCode.OUTPUT_UNUSABLE
    altered = account(folder)
    (folder / "model_index.json").write_text('{"_class_name": "Other"}')
    with pytest.raises(RemoteError) as refused:
        Diffusers(altered, load=lambda _: Fades()).make(job(), tell=lambda _: None)
    assert refused.value.code == Unready.WEIGHTS_ALTERED


# --- LivePortrait ----------------------------------------------------------------------------------------------------

PROGRAM = """
import pathlib, shutil, sys
source, driving, out = (pathlib.Path(sys.argv[sys.argv.index(flag) + 1]) for flag in ("-s", "-d", "-o"))
assert source.suffix == ".png" and driving.suffix == ".mp4"
shutil.copy(driving, out / "speaker--performer.mp4")
shutil.copy(driving, out / "speaker--performer_concat.mp4")
"""


def performing(tmp_path: Path) -> RemoteJob:
    made = film(tmp_path / "driving.mp4", seconds=0.5, fps=10)
    given = (media(Role.SPEAKER, png((200, 40, 40))), media(Role.PERFORMER, made, MediaKind.VIDEO))
    return RemoteJob(model="liveportrait", mode=Mode.PERFORMANCE, prompt="", seconds=1, media=given)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (PROGRAM, "made"),
        ("import sys; sys.exit(1)", FaultCode.VENDOR_FAILED),
        ("pass", FaultCode.OUTPUT_MISSING),
    ],
)
def test_a_program_of_the_operators_own_is_run_with_files_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    monkeypatch.setenv("MIEN_DATABASE_URL", "a secret")
    folder = tmp_path / "liveportrait"
    folder.mkdir()
    spy = 'import os; assert not [name for name in os.environ if name.startswith("MIEN")]\n'
    (folder / "inference.py").write_text(spy + program)
    maker = LivePortrait(account(folder, accept_noncommercial="yes"))
    wanted = performing(tmp_path)
    admit(wanted, cards()["liveportrait"])
    if said == "made":
        clip = maker.make(wanted, tell=lambda _: None)
        assert clip.frame_count == 5
        assert not clip.audio.samples.any(), "the performer's sound stays behind"
        return
    with pytest.raises(RemoteError) as failed:
        maker.make(wanted, tell=lambda _: None)
    assert failed.value.code == said


def test_a_program_is_ended_with_the_work(tmp_path: Path) -> None:
    folder = tmp_path / "liveportrait"
    folder.mkdir()
    (folder / "inference.py").write_text("import time; time.sleep(600)")

    class Withdrawn(Exception):
        pass

    def tell_once() -> Callable[[float], None]:
        seen = []

        def tell(_: float) -> None:
            seen.append(1)
            if len(seen) > 1:
                raise Withdrawn

        return tell

    with pytest.raises(Withdrawn):
        LivePortrait(account(folder)).make(performing(tmp_path), tell=tell_once())
