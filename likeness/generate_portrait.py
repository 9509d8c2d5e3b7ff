"""The local generator: people in one picture who talk and move their heads, each warped over their own landmark mesh.

No network and no GPU; every pixel comes from the picture. What a rendering goes through:

    (1) who is who: one face for one double; of several people in one picture, each face goes to the double it resembles most,
        one to one
    (2) speech: script or lines said, each person by a voice of their own, or the sound as it came; too long is refused here,
        with the seconds
    (3) the stage: the picture laid out in the frame, sides it does not reach filled with its own colours, out of focus
    (4) motion curves of mouth, head and eyes for each (:mod:`likeness.motion`): who is silent has the mouth shut, blinks,
        breathes and turns a little towards who speaks
    (5) frame by frame, as they are taken: one mesh after the other in pose, and a slowly drifting camera

Decided here: a face that is nobody's of the doubles, or a double who is not in the picture, is a refusal: somebody would stand
beside who never said yes, or be promised and left out. There is one voice model, and it is nobody's in the picture; each person
gets it at another pitch, by their place in the order of the doubles and not by what they look like.
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
from likeness.framing import Affine, backdrop, framed, place, soft_edges
from likeness.generate import Clip, Kind, Line, RenderRequest, Speech
from likeness.mesh import PortraitMesh, Pose
from likeness.sound_av import pitched
from likeness.soundtrack import Sound, placed
from likeness.voice import Phone, SpeechSynthesiser
from liveness.capture import Audio, RgbImage
from liveness.errors import ContractMismatch
from liveness.evidence import Box, Face, FaceEmbedder, FaceFinder
from liveness.template import similarity

_SILENCE_MS = 600  # before the first and after the last word
_BETWEEN_LINES_MS = 320  # until somebody else answers
_TOGETHER_MS = 14  # that each is later than the one before, when all speak: people are not of one mouth
_PITCHES = (1.0, 1.17, 0.9, 1.28)  # of the voice, by place; formants move along (design: told apart, still human)
_FACE_HEIGHT = 0.40  # of the frame's shorter side: the face as large as in an ordinary interview shot
_FACE_MOST = 0.58  # a portrait that fills the frame may show it up to this large
_FACE_ACROSS, _FACE_DOWN = 0.5, 0.47  # where the middle of the face is, of the frame
_OVERSCAN = 1.04  # the stage is this much larger than the frame, so that the camera may drift
_FEATHER = 0.15  # of the portrait's shorter side: how softly it passes over into the backdrop
_NARROWEST_FACE = 24  # pixels in the portrait: less shows nobody
_ATTENDS_DEG = 4.0  # at most, towards who speaks
_LIVELINESS_BESIDE = 0.75  # of heads that have others beside them


class PortraitGenerator:
    """``Generator`` on this machine. Opened once; may be called from several threads if finder, voice and embedder may be."""

    name = "portrait"
    kind = Kind.PORTRAIT
    most_people = len(_PITCHES)

    def __init__(
        self, finder: FaceFinder, voice: SpeechSynthesiser | None = None, embedder: FaceEmbedder | None = None
    ) -> None:
        """``voice``: says scripts; without one only sound is taken. ``embedder``: tells several people apart; without one there
        is one person in a picture."""
        self._finder, self._voice, self._embedder = finder, voice, embedder
        self.version = "2" if voice is None else f"2+{voice.voice_version.replace(' ', '-')}"

    def render(self, doubles: Sequence[Double], request: RenderRequest) -> Clip:
        """See :class:`likeness.generate.Generator`. Numbers as in the module docstring.

        Raises:
            RenderError: ``portrait_unfit``, ``too_many_people``, ``script_too_long``, ``sound_too_long``, ``unlike_models``;
                ``nobody_named`` when a line is given to none of the doubles.
        """
        speech = request.content
        if not isinstance(speech, Speech):
            raise RenderError(f"the portrait generator makes no {request.content.kind}", code="kind_mismatch")
        if not doubles or len(doubles) > (self.most_people if speech.together is not None else 1):
            raise RenderError(f"{len(doubles)} people in one portrait", code="too_many_people")
        size = (request.width, request.height)
        faces = self._faces(doubles, speech)  # (1)
        spoken = self._spoken(speech, doubles, request.max_seconds)  # (2)
        if speech.together is None:
            stage, staged = lay_out(doubles[0].portrait, faces[0], width=size[0], height=size[1])  # (3)
            on_stage: tuple[Face, ...] = (staged,)
        else:
            stage, on_stage = lay_out_together(speech.together, faces, size)  # (3)
        total_ms = spoken.audio.duration_ms + 2 * _SILENCE_MS
        frame_count = min(math.ceil(total_ms * request.fps / 1000), math.floor(request.max_seconds * request.fps))
        moves = _moves(spoken, on_stage, total_ms, request.seed)  # (4)
        meshes = [
            PortraitMesh(stage, face, beside=[other for other in on_stage if other is not face]) for face in on_stage
        ]
        return Clip(
            width=request.width,
            height=request.height,
            fps=request.fps,
            frame_count=frame_count,
            frames=_frames(meshes, moves, request, frame_count),  # (5)
            audio=placed(spoken.audio, at_s=_SILENCE_MS / 1000, seconds=frame_count / request.fps),
            generator=f"{self.name}@{self.version}",
        )

    def _faces(self, doubles: Sequence[Double], speech: Speech) -> tuple[Face, ...]:
        """The face of each double, in their order."""
        picture = doubles[0].portrait if speech.together is None else speech.together
        found = [each.face for each in self._finder.find_every(picture)]
        faces = [face for face in found if face is not None]
        if len(found) != len(doubles) or len(faces) != len(found):
            raise RenderError(
                f"{len(found)} faces in the picture, wanted {len(doubles)} that can be measured", code="portrait_unfit"
            )
        for face in faces:
            if face.box.width < _NARROWEST_FACE:
                raise RenderError(
                    f"a face is {face.box.width:.0f} px wide, at least {_NARROWEST_FACE} wanted", code="portrait_unfit"
                )
        return tuple(faces) if len(faces) == 1 else self._each_to_their_own(picture, faces, doubles)

    def _each_to_their_own(
        self, picture: RgbImage, faces: Sequence[Face], doubles: Sequence[Double]
    ) -> tuple[Face, ...]:
        """That each is somebody's of these is the gate's to say, which has more templates of each; here, whose."""
        from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped, unused-ignore]

        if self._embedder is None:
            raise RenderError("several people cannot be told apart here", code="too_many_people")
        seen = [self._embedder.embed(picture, face.points) for face in faces]
        try:
            alike = np.array([[similarity(one, double.template) for one in seen] for double in doubles])
        except ContractMismatch as error:
            raise RenderError("the doubles' templates are another model's", code="unlike_models") from error
        _, whose = linear_sum_assignment(alike, maximize=True)
        return tuple(faces[number] for number in whose.tolist())

    def _spoken(self, wanted: Speech, doubles: Sequence[Double], max_seconds: float) -> _Spoken:
        most_ms = max_seconds * 1000 - 2 * _SILENCE_MS
        if wanted.sound is not None:
            _fits(wanted.sound.duration_ms, most_ms, "sound")
            heard = wanted.sound.mono() if isinstance(wanted.sound, Sound) else wanted.sound
            one = _Part(phones=None, heard=heard, turns=((0, heard.duration_ms),))
            return _Spoken(audio=wanted.sound, parts=(one,) * len(doubles))
        voice = self._voice
        if voice is None or wanted.language not in voice.languages:
            raise VoiceUnavailable(f"no voice for {wanted.language} is installed; hand in sound instead of a script")
        lines = wanted.lines or (Line(text=wanted.script or ""),)
        known = {double.subject_id: number for number, double in enumerate(doubles)}
        if any(line.of is not None and line.of not in known for line in lines):
            raise RenderError("a line is given to nobody of the picture", code="nobody_named")
        # An estimate is at most a third off: what is far too long is refused without being said.
        pauses_ms = _BETWEEN_LINES_MS * (len(lines) - 1)
        estimate_ms = sum(voice.estimate_ms(line.text, language=wanted.language) for line in lines)
        _fits(round(estimate_ms * 0.65) + pauses_ms, most_ms, "script")
        conversation = _Conversation(len(doubles))
        for line in lines:
            speakers = range(len(doubles)) if line.of is None else (known[line.of],)
            said = voice.say(line.text, language=wanted.language)
            conversation.say(said.audio, said.phones, speakers)
            _fits(conversation.at_ms, most_ms, "script")
        return conversation.spoken()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Part:
    """What one person has to say, on the clock of the speech. phones : their speech sounds, with pauses where others speak;
    ``None``: not known. heard : their voice alone. turns : from when until when they speak, milliseconds."""

    phones: tuple[Phone, ...] | None = field(repr=False)
    heard: Audio = field(repr=False)
    turns: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Spoken:
    """All that is heard, and each person's part in it."""

    audio: Audio | Sound
    parts: tuple[_Part, ...] = field(repr=False)


class _Conversation:
    """Lines one after the other; each person's voice on a track of their own."""

    def __init__(self, people: int) -> None:
        self._rate_hz = 0
        self._tracks: list[list[tuple[int, NDArray[np.float32]]]] = [[] for _ in range(people)]
        self._phones: list[list[Phone]] = [[] for _ in range(people)]
        self._turns: list[list[tuple[int, int]]] = [[] for _ in range(people)]
        self.at_ms = 0  # where the last line ends

    def say(self, audio: Audio, phones: Sequence[Phone], speakers: Sequence[int]) -> None:
        """A line by one of them, or by several at once."""
        self._rate_hz = audio.rate_hz
        start_ms = self.at_ms + (_BETWEEN_LINES_MS if self.at_ms else 0)
        share = np.float32(1 / math.sqrt(len(speakers)))
        for place_of, number in enumerate(speakers):
            own_ms = start_ms + place_of * _TOGETHER_MS
            voiced = pitched(audio, _PITCHES[number]) if len(self._tracks) > 1 else audio
            self._tracks[number].append((own_ms, voiced.samples * share))
            self._phones[number] += [
                replace(phone, start_ms=phone.start_ms + own_ms, end_ms=phone.end_ms + own_ms) for phone in phones
            ]
            self._turns[number].append((own_ms, own_ms + audio.duration_ms))
            self.at_ms = max(self.at_ms, own_ms + audio.duration_ms)

    def spoken(self) -> _Spoken:
        tracks = [self._laid(track) for track in self._tracks]
        both = np.asarray(np.sum(tracks, axis=0), np.float32)
        both /= max(float(np.abs(both).max(initial=0.0)) / 0.98, 1.0)
        return _Spoken(
            audio=Audio(samples=both, rate_hz=self._rate_hz),
            parts=tuple(
                _Part(phones=tuple(phones), heard=Audio(samples=track, rate_hz=self._rate_hz), turns=tuple(turns))
                for phones, track, turns in zip(self._phones, tracks, self._turns, strict=True)
            ),
        )

    def _laid(self, track: Sequence[tuple[int, NDArray[np.float32]]]) -> NDArray[np.float32]:
        samples = np.zeros(math.ceil(self.at_ms * self._rate_hz / 1000), np.float32)
        for at_ms, voiced in track:
            start = at_ms * self._rate_hz // 1000
            part = voiced[: len(samples) - start]
            samples[start : start + len(part)] = part
        return samples


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Moves:
    mouth: motion.Mouth
    head: motion.Head


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
    left = place(stage_size[0] * _FACE_ACROSS - (box.x + box.width / 2) * scale, size[0], stage_size[0])
    top = place(stage_size[1] * _FACE_DOWN - (box.y + box.height / 2) * scale, size[1], stage_size[1])
    enlarged = cv2.resize(portrait, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if scale > 1.3:  # enlarging softens; a little of it is taken back
        soft = cv2.GaussianBlur(enlarged, (0, 0), 0.6 * scale)
        enlarged = cv2.addWeighted(enlarged, 1.35, soft, -0.35, 0)
    stage = backdrop(portrait, stage_size)
    to = (max(left, 0), max(top, 0), min(left + size[0], stage_size[0]), min(top + size[1], stage_size[1]))
    seen = enlarged[to[1] - top : to[3] - top, to[0] - left : to[2] - left].astype(np.float32)
    feather = _FEATHER * min(size)
    share = soft_edges(to, stage_size, (feather, feather), (feather, feather))[..., None]
    under = stage[to[1] : to[3], to[0] : to[2]]
    under[:] = np.clip(under + (seen - under) * share + 0.5, 0, 255).astype(np.uint8)
    return stage, _moved(face, (size[0] / portrait.shape[1], size[1] / portrait.shape[0]), left, top)


def lay_out_together(
    picture: RgbImage, faces: Sequence[Face], size: tuple[int, int]
) -> tuple[RgbImage, tuple[Face, ...]]:
    """The picture on a stage a little larger than the frame of ``size`` (width, height) with all of ``faces`` in it, and the
    faces there."""
    stage_size = (round(size[0] * _OVERSCAN), round(size[1] * _OVERSCAN))
    laid = framed(picture, [face.box for face in faces], stage_size, margin=(1 - 1 / _OVERSCAN) / 2)
    return np.ascontiguousarray(laid.image), tuple(_placed(face, laid.placed) for face in faces)


def _placed(face: Face, to: Affine) -> Face:
    return _moved(face, (float(to[0, 0]), float(to[1, 1])), float(to[0, 2]), float(to[1, 2]))


def _moved(face: Face, scale: tuple[float, float], left: float, top: float) -> Face:
    x, y = scale
    sizes, offset = np.array([x, y, x], np.float32), np.array([left, top, 0], np.float32)
    box = face.box
    return replace(
        face,
        box=Box(x=box.x * x + left, y=box.y * y + top, width=box.width * x, height=box.height * y),
        landmarks=face.landmarks * sizes + offset,
        points=face.points * sizes[:2] + offset[:2],
    )


def _moves(spoken: _Spoken, faces: Sequence[Face], total_ms: int, seed: int) -> tuple[_Moves, ...]:
    made = []
    for number, part in enumerate(spoken.parts):
        if part.phones is None:
            mouth = motion.mouth_from_sound(part.heard, lead_in_ms=_SILENCE_MS, total_ms=total_ms)
            stressed = motion.stresses_of_sound(part.heard, _SILENCE_MS)
        else:
            mouth = motion.mouth_from_phones(part.phones, part.heard, lead_in_ms=_SILENCE_MS, total_ms=total_ms)
            stressed = motion.stresses(part.phones, _SILENCE_MS) if part.phones else ()
        turns = [(start + _SILENCE_MS, end + _SILENCE_MS) for start, end in part.turns]
        alone = len(faces) == 1
        head = motion.head(
            stressed,
            speaking=turns,
            total_ms=total_ms,
            seed=seed if number == 0 else seed + 1009 * number,
            liveliness=1.0 if alone else _LIVELINESS_BESIDE,
            attending_deg=None if alone else _attending(number, spoken, faces, total_ms),
        )
        made.append(_Moves(mouth=mouth, head=head))
    return tuple(made)


def _attending(number: int, spoken: _Spoken, faces: Sequence[Face], total_ms: int) -> motion.Curve:
    """Where the others are who speak while this one is silent, as degrees of yaw over time: a little towards them."""
    at_ms = np.arange(total_ms // motion.STEP_MS + 2) * motion.STEP_MS - _SILENCE_MS
    wanted = np.zeros(len(at_ms))
    own = np.zeros(len(at_ms), bool)
    for start, end in spoken.parts[number].turns:
        own |= (at_ms >= start) & (at_ms < end)
    for other, part in enumerate(spoken.parts):
        side = math.copysign(_ATTENDS_DEG, faces[other].box.x - faces[number].box.x)
        for start, end in part.turns if other != number else ():
            wanted[(at_ms >= start) & (at_ms < end) & ~own] = side
    return wanted


def _frames(
    meshes: Sequence[PortraitMesh], moves: Sequence[_Moves], request: RenderRequest, count: int
) -> Iterator[RgbImage]:
    stage = meshes[0]
    play_x, play_y = (stage.width - request.width) / 2, (stage.height - request.height) / 2
    camera = motion.camera(total_ms=round(1000 * count / request.fps), seed=request.seed)
    for number in range(count):
        at_ms = 1000 * number / request.fps
        posed = stage.image.copy()
        for mesh, own in zip(meshes, moves, strict=True):
            mesh.render(_pose(own, at_ms), over=posed)
        right, down, near = (motion.sample(camera[:, axis], at_ms) for axis in range(3))
        # The camera sees a window of the stage: at its widest just inside, nearer by up to half of the overscan.
        zoom = 1 + (_OVERSCAN - 1) * 0.5 * near
        spare_x, spare_y = play_x + request.width / 2 * (1 - 1 / zoom), play_y + request.height / 2 * (1 - 1 / zoom)
        middle_x, middle_y = stage.width / 2 + 0.8 * right * spare_x, stage.height / 2 + 0.8 * down * spare_y
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


def _fits(ms: int, most_ms: float, what: str) -> None:
    if ms > most_ms:
        takes, most = (ms + 2 * _SILENCE_MS) / 1000, (most_ms + 2 * _SILENCE_MS) / 1000
        raise RenderError(f"the {what} makes a clip of {takes:.1f} s, at most {most:.1f} s", code=f"{what}_too_long")
