"""The local generator: a portrait that talks and moves its head, warped over its own landmark mesh.

No network and no GPU; every pixel comes from the portrait. What a rendering goes through:

    (1) speech: the script said by the voice, or the sound as it came; too long is refused here, with the seconds
    (2) the face in the portrait, exactly one
    (3) the stage: the portrait laid out in the frame, sides it does not reach filled with its own colours, out of focus
    (4) motion curves of mouth, head and eyes (:mod:`likeness.motion`)
    (5) frame by frame, as they are taken: mesh in pose, and a slowly drifting camera
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from likeness import motion
from likeness.double import Double
from likeness.errors import RenderError, VoiceUnavailable
from likeness.generate import Clip, RenderRequest
from likeness.mesh import PortraitMesh, Pose
from likeness.voice import Phone, SpeechSynthesiser
from liveness.capture import Audio, RgbImage
from liveness.evidence import Box, Face, FaceFinder

_SILENCE_MS = 600  # before the first and after the last word
_FACE_HEIGHT = 0.40  # of the frame's shorter side: the face as large as in an ordinary interview shot
_FACE_MOST = 0.58  # a portrait that fills the frame may show it up to this large
_FACE_ACROSS, _FACE_DOWN = 0.5, 0.47  # where the middle of the face is, of the frame
_OVERSCAN = 1.04  # the stage is this much larger than the frame, so that the camera may drift
_FEATHER = 0.15  # of the portrait's shorter side: how softly it passes over into the backdrop
_BACKDROP_LIGHT = 0.80
_NARROWEST_FACE = 24  # pixels in the portrait: less shows nobody


class PortraitGenerator:
    """``Generator`` on this machine. Opened once; may be called from several threads if finder and voice may be."""

    name = "portrait"
    most_people = 1

    def __init__(self, finder: FaceFinder, voice: SpeechSynthesiser | None = None) -> None:
        """``voice``: says scripts; without one only sound is taken."""
        self._finder, self._voice = finder, voice
        self.version = "1" if voice is None else f"1+{voice.voice_version.replace(' ', '-')}"

    def render(self, doubles: Sequence[Double], request: RenderRequest) -> Clip:
        """See :class:`likeness.generate.Generator`. Numbers as in the module docstring."""
        if len(doubles) != 1:
            raise RenderError(f"{len(doubles)} people, the portrait generator shows one", code="too_many_people")
        speech = self._speech(request)  # (1)
        portrait = doubles[0].portrait
        face = self._face(portrait)  # (2)
        stage, staged = lay_out(portrait, face, width=request.width, height=request.height)  # (3)
        total_ms = speech.audio.duration_ms + 2 * _SILENCE_MS
        frame_count = min(math.ceil(total_ms * request.fps / 1000), math.floor(request.max_seconds * request.fps))
        moves = _moves(speech, total_ms, request.seed)  # (4)
        return Clip(
            width=request.width,
            height=request.height,
            fps=request.fps,
            frame_count=frame_count,
            frames=_frames(PortraitMesh(stage, staged), moves, request, frame_count),  # (5)
            audio=_between_silence(speech.audio, frame_count / request.fps),
            generator=f"{self.name}@{self.version}",
        )

    def _speech(self, request: RenderRequest) -> _Speech:
        most_ms = request.max_seconds * 1000 - 2 * _SILENCE_MS
        if request.sound is not None:
            _fits(request.sound.duration_ms, most_ms, "sound")
            return _Speech(audio=request.sound, phones=None)
        if self._voice is None or request.language not in self._voice.languages:
            raise VoiceUnavailable(f"no voice for {request.language} is installed; hand in sound instead of a script")
        script = request.script or ""
        # An estimate is at most a third off: what is far too long is refused without being said.
        _fits(round(self._voice.estimate_ms(script, language=request.language) * 0.65), most_ms, "script")
        said = self._voice.say(script, language=request.language)
        _fits(said.audio.duration_ms, most_ms, "script")
        return _Speech(audio=said.audio, phones=said.phones)

    def _face(self, portrait: RgbImage) -> Face:
        faces = [found.face for found in self._finder.find_every(portrait)]
        if len(faces) != 1 or faces[0] is None:
            raise RenderError(
                f"{len(faces)} faces in the portrait, wanted one that can be measured", code="portrait_unfit"
            )
        if faces[0].box.width < _NARROWEST_FACE:
            raise RenderError(
                f"the face is {faces[0].box.width:.0f} px wide, at least {_NARROWEST_FACE} wanted",
                code="portrait_unfit",
            )
        return faces[0]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Speech:
    """Sound, and its speech sounds where they are known."""

    audio: Audio
    phones: tuple[Phone, ...] | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Moves:
    mouth: motion.Mouth
    head: motion.Head
    camera: NDArray[np.float64]  # (steps, 3): right, down (of the stage's play, -1..1), zoom 0..1


def lay_out(portrait: RgbImage, face: Face, *, width: int, height: int) -> tuple[RgbImage, Face]:
    """The portrait on a stage a little larger than the frame, and its face there.

    Where the portrait can fill the frame without showing the face larger than 58 % of the shorter side, it does. Else it
    is shown smaller, and passes softly over into a blurred, darker enlargement of itself.
    """
    stage_size = (round(width * _OVERSCAN), round(height * _OVERSCAN))
    box, short = face.box, min(width, height)
    fills = max(stage_size[0] / portrait.shape[1], stage_size[1] / portrait.shape[0])
    wanted, most = _FACE_HEIGHT * short / box.height, _FACE_MOST * short / box.height
    scale = max(fills, wanted) if fills <= most else wanted
    size = (max(round(portrait.shape[1] * scale), 2), max(round(portrait.shape[0] * scale), 2))
    left = _place(stage_size[0] * _FACE_ACROSS - (box.x + box.width / 2) * scale, size[0], stage_size[0])
    top = _place(stage_size[1] * _FACE_DOWN - (box.y + box.height / 2) * scale, size[1], stage_size[1])
    enlarged = cv2.resize(portrait, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if scale > 1.3:  # enlarging softens; a little of it is taken back
        soft = cv2.GaussianBlur(enlarged, (0, 0), 0.6 * scale)
        enlarged = cv2.addWeighted(enlarged, 1.35, soft, -0.35, 0)
    stage = _backdrop(portrait, stage_size)
    to = (max(left, 0), max(top, 0), min(left + size[0], stage_size[0]), min(top + size[1], stage_size[1]))
    seen = enlarged[to[1] - top : to[3] - top, to[0] - left : to[2] - left].astype(np.float32)
    share = _soft_edges(to, stage_size, _FEATHER * min(size))[..., None]
    under = stage[to[1] : to[3], to[0] : to[2]]
    under[:] = np.clip(under + (seen - under) * share + 0.5, 0, 255).astype(np.uint8)
    return stage, _moved(face, (size[0] / portrait.shape[1], size[1] / portrait.shape[0]), left, top)


def _place(wanted: float, size: int, stage: int) -> int:
    """Where the portrait begins: as wanted, but without a gap where it is large enough, and without a cut where not."""
    spare = stage - size
    return round(min(max(wanted, min(spare, 0)), max(spare, 0)))


def _backdrop(portrait: RgbImage, size: tuple[int, int]) -> RgbImage:
    """The portrait's own colours, far out of focus and darker towards the corners."""
    scale = max(size[0] / portrait.shape[1], size[1] / portrait.shape[0])
    width, height = min(round(size[0] / scale), portrait.shape[1]), min(round(size[1] / scale), portrait.shape[0])
    left, top = (portrait.shape[1] - width) // 2, (portrait.shape[0] - height) // 2
    tiny = cv2.resize(portrait[top : top + height, left : left + width], (64, 64), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.GaussianBlur(tiny, (0, 0), 4.5), size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    x, y = np.linspace(-1, 1, size[0], dtype=np.float32), np.linspace(-1, 1, size[1], dtype=np.float32)
    light = _BACKDROP_LIGHT * (1 - 0.22 * (x[None, :] ** 2 + y[:, None] ** 2))
    grain = np.random.default_rng(0).normal(0, 0.8, (size[1], size[0], 1)).astype(np.float32)  # else smooth areas band
    return np.asarray(np.clip(soft * light[..., None] + grain + 0.5, 0, 255), np.uint8)


def _soft_edges(to: tuple[int, int, int, int], stage: tuple[int, int], feather: float) -> NDArray[np.float32]:
    """How much of the portrait is seen over its visible part: 1 inside, fading where it ends within the stage."""
    across = _soft_line(to[0], to[2], stage[0], feather)
    down = _soft_line(to[1], to[3], stage[1], feather)
    return np.asarray(down[:, None] * across[None, :], np.float32)


def _soft_line(start: int, end: int, stage: int, feather: float) -> NDArray[np.float32]:
    at = np.arange(end - start, dtype=np.float32)
    share = np.ones(end - start, np.float32)
    for inside, distance in ((start > 0, at), (end < stage, at[::-1])):
        if inside:
            held = np.clip(distance / max(feather, 1.0), 0, 1)
            share *= held * held * (3 - 2 * held)
    return share


def _moved(face: Face, scale: tuple[float, float], left: int, top: int) -> Face:
    x, y = scale
    sizes, offset = np.array([x, y, x], np.float32), np.array([left, top, 0], np.float32)
    box = face.box
    return replace(
        face,
        box=Box(x=box.x * x + left, y=box.y * y + top, width=box.width * x, height=box.height * y),
        landmarks=face.landmarks * sizes + offset,
        points=face.points * sizes[:2] + offset[:2],
    )


def _moves(speech: _Speech, total_ms: int, seed: int) -> _Moves:
    speaking = (_SILENCE_MS, total_ms - _SILENCE_MS)
    if speech.phones is None:
        mouth = motion.mouth_from_sound(speech.audio, lead_in_ms=_SILENCE_MS, total_ms=total_ms)
        stressed = motion.stresses_of_sound(speech.audio, _SILENCE_MS)
    else:
        mouth = motion.mouth_from_phones(speech.phones, speech.audio, lead_in_ms=_SILENCE_MS, total_ms=total_ms)
        stressed = motion.stresses(speech.phones, _SILENCE_MS)
    head = motion.head(stressed, speaking=speaking, total_ms=total_ms, seed=seed)
    return _Moves(mouth=mouth, head=head, camera=motion.camera(total_ms=total_ms, seed=seed))


def _frames(mesh: PortraitMesh, moves: _Moves, request: RenderRequest, count: int) -> Iterator[RgbImage]:
    play_x, play_y = (mesh.width - request.width) / 2, (mesh.height - request.height) / 2
    for number in range(count):
        at_ms = 1000 * number / request.fps
        posed = mesh.render(_pose(moves, at_ms))
        right, down, near = (motion.sample(moves.camera[:, axis], at_ms) for axis in range(3))
        # The camera sees a window of the stage: at its widest just inside, nearer by up to half of the overscan.
        zoom = 1 + (_OVERSCAN - 1) * 0.5 * near
        spare_x, spare_y = play_x + request.width / 2 * (1 - 1 / zoom), play_y + request.height / 2 * (1 - 1 / zoom)
        middle_x, middle_y = mesh.width / 2 + 0.8 * right * spare_x, mesh.height / 2 + 0.8 * down * spare_y
        back = np.array(
            [[1 / zoom, 0, middle_x - request.width / 2 / zoom], [0, 1 / zoom, middle_y - request.height / 2 / zoom]]
        )
        yield np.ascontiguousarray(
            cv2.warpAffine(
                posed,
                back,
                (request.width, request.height),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REFLECT_101,
            ),
            np.uint8,
        )


def _pose(moves: _Moves, at_ms: float) -> Pose:
    head, mouth = moves.head, moves.mouth
    return Pose(
        yaw_deg=motion.sample(head.yaw_deg, at_ms),
        pitch_deg=motion.sample(head.pitch_deg, at_ms),
        roll_deg=motion.sample(head.roll_deg, at_ms),
        shift_x=motion.sample(head.shift_x, at_ms),
        shift_y=motion.sample(head.shift_y, at_ms),
        jaw_open=motion.sample(mouth.jaw, at_ms),
        lips_closed=motion.sample(mouth.closed, at_ms),
        mouth_wide=motion.sample(mouth.wide, at_ms),
        blink=motion.sample(head.blink, at_ms),
    )


def _between_silence(audio: Audio, seconds: float) -> Audio:
    """The speech after its silence, as long as the pictures and no longer."""
    samples = np.zeros(round(seconds * audio.rate_hz), np.float32)
    start = audio.rate_hz * _SILENCE_MS // 1000
    spoken = audio.samples[: max(len(samples) - start, 0)]
    samples[start : start + len(spoken)] = spoken
    return Audio(samples=samples, rate_hz=audio.rate_hz)


def _fits(ms: int, most_ms: float, what: str) -> None:
    if ms > most_ms:
        takes, most = (ms + 2 * _SILENCE_MS) / 1000, (most_ms + 2 * _SILENCE_MS) / 1000
        raise RenderError(f"the {what} makes a clip of {takes:.1f} s, at most {most:.1f} s", code=f"{what}_too_long")
