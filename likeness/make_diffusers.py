"""Image-to-video pipelines of Hugging Face's diffusers, on this machine. The only file that imports diffusers or torch.

Loaded from the operator's folder alone: safetensors, no code from the folder, nothing from the network. Such pipelines moderate
and mark nothing themselves; label, watermark and manifest are ours, like the gate before.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Protocol, cast

import numpy as np
from PIL import Image

from likeness.errors import RemoteError
from likeness.generate import Clip
from likeness.in_process import check_folder
from likeness.remote import Account, FaultCode, Media, Mode, RemoteJob, Role
from liveness.capture import Audio, RgbImage

_SIDES = {"16:9": (16, 9), "9:16": (9, 16), "1:1": (1, 1)}
_FPS = 16  # Wan's own
_GRID = 16  # sides are multiples of it
_SOUND_HZ = 16_000


class Pipeline(Protocol):
    """A diffusers pipeline, as far as it is used here."""

    def __call__(self, **asked: Any) -> Any:
        """``frames`` of the answer: a batch of films, ``(films, pictures, height, width, 3)`` from 0 to 1."""
        ...


class Diffusers:
    """Maker ``diffusers``. ``load``: instead of loading from the folder, for tests."""

    needs: ClassVar[tuple[str, ...]] = ("torch", "diffusers")
    runs_code: ClassVar[bool] = False
    noncommercial: ClassVar[str | None] = None

    def __init__(self, account: Account, *, load: Callable[[Path], Pipeline] | None = None) -> None:
        self._account, self._load = account, load or _load
        self._pipeline: Pipeline | None = None
        self._one_at_a_time = Lock()

    def make(self, job: RemoteJob, *, tell: Callable[[float], None]) -> Clip:
        with self._one_at_a_time:
            tell(0.0)
            if self._pipeline is None:
                folder = Path(self._account.options["folder"])
                pins = Path(self._account.options["pins"]).read_text(encoding="utf-8")
                check_folder(folder, pins, runs_code=self.runs_code)
                self._pipeline = self._load(folder)
            return self._made(self._pipeline, job, tell)

    def _made(self, pipeline: Pipeline, job: RemoteJob, tell: Callable[[float], None]) -> Clip:
        steps = int(self._account.options.get("steps", "30"))
        width, height = _pixels(job)

        def each_step(_: object, step: int, __: object, kept: dict[str, Any]) -> dict[str, Any]:
            tell((step + 1) / (steps + 1))
            return kept

        asked: dict[str, Any] = {
            "image": _picture(job.one(Role.FIRST_FRAME), width, height),
            "prompt": job.prompt,
            "width": width,
            "height": height,
            "num_frames": job.seconds * _FPS // 4 * 4 + 1,
            "num_inference_steps": steps,
            "generator": _chance(job.seed or 0),
            "output_type": "np",
            "callback_on_step_end": each_step,
        }
        if job.mode is Mode.FIRST_LAST_FRAME:
            asked["last_image"] = _picture(job.one(Role.LAST_FRAME), width, height)
        pictures = np.asarray(pipeline(**asked).frames[0])
        if pictures.ndim != 4 or pictures.shape[1:] != (height, width, 3) or not np.isfinite(pictures).all():
            raise RemoteError("the pipeline gave no film of that size", code=FaultCode.OUTPUT_UNUSABLE)
        frames = pictures[: job.seconds * _FPS]  # it makes one more than whole seconds
        return Clip(
            width=width,
            height=height,
            fps=_FPS,
            frame_count=len(frames),
            frames=_frames(frames),
            audio=Audio(samples=np.zeros(_SOUND_HZ * len(frames) // _FPS, np.float32), rate_hz=_SOUND_HZ),
            generator=f"diffusers@{job.model}",
        )


def _load(folder: Path) -> Pipeline:
    torch, diffusers = importlib.import_module("torch"), importlib.import_module("diffusers")
    accelerated = torch.cuda.is_available()
    pipeline = diffusers.DiffusionPipeline.from_pretrained(
        str(folder),
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        torch_dtype=torch.bfloat16 if accelerated else torch.float32,
    )
    return cast("Pipeline", pipeline.to("cuda" if accelerated else "cpu"))


def _chance(seed: int) -> object:
    """torch's own, where it is there; else the seed, for pipelines that are none."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return seed
    return torch.Generator("cpu").manual_seed(seed)


def _pixels(job: RemoteJob) -> tuple[int, int]:
    across, down = _SIDES[job.ratio or "16:9"]
    short = int((job.resolution or "480p").rstrip("p"))
    unit = short / min(across, down)
    return round(across * unit / _GRID) * _GRID, round(down * unit / _GRID) * _GRID


def _picture(media: Media, width: int, height: int) -> Image.Image:
    """Scaled until it covers the film, and cut about its middle."""
    with Image.open(io.BytesIO(media.content)) as opened:
        image = opened.convert("RGB")
    scale = max(width / image.width, height / image.height)
    wide, high = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    left, top = (wide - width) // 2, (high - height) // 2
    return image.resize((wide, high), Image.Resampling.LANCZOS).crop((left, top, left + width, top + height))


def _frames(pictures: np.ndarray[Any, Any]) -> Iterator[RgbImage]:
    for picture in pictures:
        yield np.ascontiguousarray((np.clip(picture, 0, 1) * 255).round().astype(np.uint8))
