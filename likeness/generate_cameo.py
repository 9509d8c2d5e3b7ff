"""The local generator of cameos: a consenting person's face in a film of somebody else.

No network and no GPU; every pixel of the face comes from the portrait, every other from the film. What a rendering does:

    (1) length and shape: the film as long as it is, in its own ratio; too long is refused here, with the seconds
    (2) the portrait's face, exactly one
    (3) the film's face in every picture: one person, near enough, not turned further than one portrait can show
    (4) landmarks over time, without the landmarker's trembling
    (5) picture by picture, as they are taken: the face laid over (:mod:`likeness.overlay`), the sound as it was

Decided here: a film that is unsuitable for more than a tenth of its length, or for half a second on end, is refused before
anything is made, with the share. To fade back to the film's own face would show another person in a clip that promises this
one. Shorter gaps are bridged from the pictures around them. A second face in any picture is a refusal too: it would stay.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from likeness.double import Double
from likeness.errors import RenderError
from likeness.generate import Cameo, Clip, Kind, RenderRequest
from likeness.mesh import PortraitMesh
from likeness.overlay import Overlay, UsualLook, worn_in
from likeness.soundtrack import SOUND_RATE_HZ, Sound, placed
from liveness.capture import Frame, RgbImage
from liveness.evidence import Box, Face, FaceFinder, FaceTracker, Sighting

_RATIO_OFF = 0.02  # between the film's shape and the clip's
_MOST_YAW, _MOST_PITCH = 32.0, 28.0  # degrees from the portrait's own: further, one portrait has nothing to show
_NARROWEST_FACE = 40  # pixels in the film
_MOST_UNSUITABLE = 0.10  # of the pictures
_LONGEST_GAP_MS = 500
_FINER = 1.25  # the portrait's face is kept this much wider than the film's, no more: finer would flicker
_SMOOTH_MS = 220  # window over which landmarks follow a parabola: keeps a word's lips, takes the trembling
_LOOKED_AT = 24  # pictures for how the film's face usually looks

Track = NDArray[np.float64]


class CameoGenerator:
    """``Generator`` on this machine. Opened once; may be called from several threads if finder and tracker may be."""

    name = "cameo"
    version = "1"
    kind = Kind.CAMEO
    most_people = 2

    def __init__(self, finder: FaceFinder, tracker: FaceTracker) -> None:
        self._finder, self._tracker = finder, tracker

    def render(self, doubles: Sequence[Double], request: RenderRequest) -> Clip:
        """See :class:`likeness.generate.Generator`. Numbers as in the module docstring.

        Raises:
            RenderError: ``film_too_long``, ``film_shape``, ``film_several_people``, ``film_unsuitable``, ``portrait_unfit``,
                ``too_many_people``, ``nobody_named`` when no double is the one whose face goes in.
        """
        cameo = request.content
        if not isinstance(cameo, Cameo):
            raise RenderError(f"the cameo generator makes no {cameo.kind}", code="kind_mismatch")
        if len(doubles) > self.most_people:
            raise RenderError(f"{len(doubles)} people, at most {self.most_people}", code="too_many_people")
        double = next((each for each in doubles if each.subject_id == cameo.face_of), None)
        if double is None:
            raise RenderError("none of the people is the one whose face goes in", code="nobody_named")
        _check_film(cameo, request)  # (1)
        portrait = self._face(double.portrait)  # (2)
        sightings = list(self._tracker.follow(cameo.film))  # (3)
        first, last, track = _bridged(sightings, portrait)  # (3)
        track = _smoothed(track, cameo.film)  # (4)
        frame_count = min(math.ceil(cameo.seconds * request.fps - 0.5), math.floor(request.max_seconds * request.fps))
        return Clip(
            width=request.width,
            height=request.height,
            fps=request.fps,
            frame_count=frame_count,
            frames=_frames(cameo.film, (first, last), track, double.portrait, portrait, request, frame_count),  # (5)
            audio=_kept(cameo, frame_count / request.fps),
            generator=f"{self.name}@{self.version}",
        )

    def _face(self, portrait: RgbImage) -> Face:
        faces = [found.face for found in self._finder.find_every(portrait)]
        if len(faces) != 1 or faces[0] is None:
            raise RenderError(
                f"{len(faces)} faces in the portrait, wanted one that can be measured", code="portrait_unfit"
            )
        return faces[0]


def _check_film(cameo: Cameo, request: RenderRequest) -> None:
    if cameo.seconds > request.max_seconds + 0.5 / request.fps:
        raise RenderError(
            f"the film is {cameo.seconds:.1f} s long, at most {request.max_seconds:.1f} s", code="film_too_long"
        )
    film = cameo.film[0]
    if abs(film.width / film.height / (request.width / request.height) - 1) > _RATIO_OFF:
        raise RenderError(
            f"the film is {film.width}x{film.height}, asked was {request.width}x{request.height}", code="film_shape"
        )


def _suitable(sighting: Sighting, portrait: Face) -> Face | None:
    if len(sighting.faces) != 1:
        return None
    face = sighting.faces[0]
    turned = abs(face.yaw_deg - portrait.yaw_deg) > _MOST_YAW or abs(face.pitch_deg - portrait.pitch_deg) > _MOST_PITCH
    return None if turned or face.box.width < _NARROWEST_FACE else face


def _bridged(sightings: Sequence[Sighting], portrait: Face) -> tuple[int, int, Track]:
    """The first and the last picture with the face, and its landmarks in all, ``(pictures, 468, 3)`` pixels; short gaps are
    filled from both sides.

    Raises:
        RenderError: ``film_several_people``, ``film_unsuitable``.
    """
    several = sum(len(sighting.faces) > 1 for sighting in sightings)
    if several:  # one of them would stay as they are, and the gate has looked at samples only
        raise RenderError(f"{several} pictures of the film show several people", code="film_several_people")
    seen = [_suitable(sighting, portrait) for sighting in sightings]
    at_ms = np.array([sighting.at_ms for sighting in sightings], np.float64)
    good = np.array([face is not None for face in seen])
    share = 1 - float(good.mean())
    if share > _MOST_UNSUITABLE or _longest_gap_ms(good, at_ms) > _LONGEST_GAP_MS:
        raise RenderError(
            f"{share:.0%} of the film shows no face that can be replaced: nobody, too small, or turned more than "
            f"{_MOST_YAW:.0f} degrees from the portrait",
            code="film_unsuitable",
        )
    there = np.stack([np.asarray(face.landmarks[:468], np.float64) for face in seen if face is not None])
    flat = there.reshape(len(there), -1)
    filled = np.stack([np.interp(at_ms, at_ms[good], flat[:, place]) for place in range(flat.shape[1])], axis=1)
    there_at = np.flatnonzero(good)
    return int(there_at[0]), int(there_at[-1]), filled.reshape(len(sightings), 468, 3)


def _longest_gap_ms(good: NDArray[np.bool_], at_ms: NDArray[np.float64]) -> float:
    longest, since = 0.0, at_ms[0]
    for is_good, at in zip(good.tolist(), at_ms.tolist(), strict=True):
        if is_good:
            since = at
        longest = max(longest, at - since)
    return longest


def _smoothed(track: Track, film: Sequence[Frame]) -> Track:
    """Each landmark along the parabola that fits it best over 220 ms (Savitzky, Golay 1964): motion stays, trembling goes."""
    from scipy.signal import savgol_filter  # type: ignore[import-untyped, unused-ignore]

    every_ms = (film[-1].at_ms - film[0].at_ms) / (len(film) - 1)
    window = 2 * round(_SMOOTH_MS / every_ms / 2) + 1
    window = min(window, len(film) - 1 + len(film) % 2)
    if window < 5:
        return track
    return np.asarray(savgol_filter(track, window, 2, axis=0))


def _frames(
    film: Sequence[Frame],
    there: tuple[int, int],
    track: Track,
    picture: RgbImage,
    portrait: Face,
    request: RenderRequest,
    frame_count: int,
) -> Iterator[RgbImage]:
    size = (request.width, request.height)
    scale = np.array([size[0] / film[0].width, size[1] / film[0].height, size[0] / film[0].width])
    faces = [face * scale + np.array([0.5, 0.5, 0]) * (scale - 1) for face in track]
    mesh = _mesh(picture, portrait, float(np.median([np.ptp(face[:, 0]) for face in faces])))
    worn = worn_in(mesh, faces)
    looked_at = np.linspace(*there, min(_LOOKED_AT, there[1] - there[0] + 1)).round().astype(int).tolist()
    usual = UsualLook.of(
        mesh.image, mesh.landmarks, [(_sized(film[number], size), faces[number]) for number in looked_at]
    )
    overlay = Overlay(mesh, usual)
    times = np.array([frame.at_ms for frame in film]) - film[0].at_ms
    for number in range(frame_count):
        nearest = int(np.abs(times - 1000 * number / request.fps).argmin())
        image = _sized(film[nearest], size)
        if there[0] <= nearest <= there[1]:  # nobody has come in yet, or they have left
            overlay.lay_on(image, worn[nearest])
        yield image


def _mesh(picture: RgbImage, portrait: Face, face_width: float) -> PortraitMesh:
    """The portrait about as fine as the film."""
    shrink = _FINER * face_width / max(float(portrait.box.width), 1.0)
    if shrink >= 1:
        return PortraitMesh(picture, portrait)
    size = (max(round(picture.shape[1] * shrink), 16), max(round(picture.shape[0] * shrink), 16))
    small = np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    x, y = size[0] / picture.shape[1], size[1] / picture.shape[0]
    box = portrait.box
    return PortraitMesh(
        small,
        replace(
            portrait,
            box=Box(x=box.x * x, y=box.y * y, width=box.width * x, height=box.height * y),
            landmarks=portrait.landmarks * np.array([x, y, x], np.float32),
            points=portrait.points * np.array([x, y], np.float32),
        ),
    )


def _sized(frame: Frame, size: tuple[int, int]) -> RgbImage:
    image = frame.image
    if (image.shape[1], image.shape[0]) == size:
        return image.copy()
    how = cv2.INTER_AREA if size[0] < image.shape[1] else cv2.INTER_CUBIC
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=how), np.uint8)


def _kept(cameo: Cameo, seconds: float) -> Sound:
    """The film's own sound from its first picture on, no longer than the pictures; silence where it has none."""
    if cameo.sound is None:
        return Sound(samples=np.zeros((1, math.floor(SOUND_RATE_HZ * seconds)), np.float32))
    return placed(cameo.sound, at_s=(cameo.sound.start_ms - cameo.film[0].at_ms) / 1000, seconds=seconds)
