"""The simulated people, by name: whose face, whose voice, where they sit and what they hold the phone with.

Faces are made of those few that installed packages ship (see :mod:`lab.portrait`), by mixing their features in the mesh:
one person's shape, another's texture. What a person is made of is data here; :mod:`lab.portrait` makes the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.errors import LabError
from lab.voice import Voice


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A simulated person.

    base : number of the original face whose head, hair and surroundings are used (:data:`lab.portrait.ORIGINALS`).
    shape, texture : shares of the original faces in the form and in the colours of the face.
    mirrored : the base is seen mirrored. light : brightness of the left and of the right of the picture, 1 as it is.
    warmth : of the light; above 1 redder. face_width : of the picture's width. noise : grey levels of the sensor.
    """

    base: int
    shape: Mapping[int, float]
    texture: Mapping[int, float]
    voice: Voice
    mirrored: bool = False
    light: tuple[float, float] = (1.0, 1.0)
    warmth: float = 1.0
    face_width: float = 0.45
    noise: float = 2.0


def person_named(name: str) -> Person:
    """
    Raises:
        LabError: naming those there are.
    """
    found = PEOPLE.get(name)
    if found is None:
        raise LabError(f"unknown person {name[:40]!r}; known: {', '.join(PEOPLE)}", code="unknown_person")
    return found


PEOPLE: Mapping[str, Person] = {
    "p00": Person(
        base=0,
        shape={3: 1.3},
        texture={3: 1.0},
        voice=Voice(pitch=1.0, formants=1.0, pace=1.0),
        mirrored=False,
        light=(1.0, 1.0),
        warmth=1.0,
        face_width=0.45,
        noise=2.0,
    ),
    "p01": Person(
        base=0,
        shape={1: 1.3},
        texture={1: 1.0},
        voice=Voice(pitch=1.55, formants=1.14, pace=1.0),
        mirrored=True,
        light=(0.95, 1.05),
        warmth=0.97,
        face_width=0.42,
        noise=2.2,
    ),
    "p02": Person(
        base=0,
        shape={1: 0.5, 2: -0.5},
        texture={1: 0.3, 2: 0.5},
        voice=Voice(pitch=1.75, formants=1.18, pace=1.05),
        mirrored=False,
        light=(1.06, 0.9),
        warmth=1.03,
        face_width=0.47,
        noise=1.7,
    ),
    "p03": Person(
        base=4,
        shape={1: 0.6},
        texture={1: 0.5},
        voice=Voice(pitch=1.35, formants=1.1, pace=0.95),
        mirrored=True,
        light=(0.85, 0.92),
        warmth=0.95,
        face_width=0.4,
        noise=2.8,
    ),
    "p04": Person(
        base=1,
        shape={0: 1.3},
        texture={0: 1.0},
        voice=Voice(pitch=1.65, formants=1.1, pace=0.95),
        mirrored=False,
        light=(1.0, 1.0),
        warmth=0.92,
        face_width=0.44,
        noise=2.0,
    ),
    "p05": Person(
        base=2,
        shape={4: 0.5, 3: -0.8},
        texture={4: 0.6, 3: 0.3},
        voice=Voice(pitch=0.85, formants=0.96, pace=1.0),
        mirrored=True,
        light=(0.8, 0.95),
        warmth=0.98,
        face_width=0.46,
        noise=3.0,
    ),
    "p06": Person(
        base=2,
        shape={3: 0.9, 1: -0.5},
        texture={3: 0.3},
        voice=Voice(pitch=0.92, formants=1.05, pace=1.08),
        mirrored=False,
        light=(1.05, 1.0),
        warmth=0.9,
        face_width=0.48,
        noise=1.6,
    ),
    "p07": Person(
        base=2,
        shape={4: 1.3},
        texture={4: 1.0},
        voice=Voice(pitch=1.12, formants=0.95, pace=1.0),
        mirrored=True,
        light=(0.92, 0.8),
        warmth=1.04,
        face_width=0.41,
        noise=2.5,
    ),
    "p08": Person(
        base=4,
        shape={1: -0.6, 2: 0.4},
        texture={1: 0.6, 3: 0.3},
        voice=Voice(pitch=1.25, formants=1.02, pace=1.08),
        mirrored=False,
        light=(1.0, 0.86),
        warmth=0.94,
        face_width=0.43,
        noise=2.1,
    ),
    "p09": Person(
        base=1,
        shape={2: 1.3, 4: -0.8},
        texture={2: 0.3, 4: 0.3},
        voice=Voice(pitch=0.88, formants=0.92, pace=0.94),
        mirrored=True,
        light=(0.9, 1.04),
        warmth=1.0,
        face_width=0.46,
        noise=1.9,
    ),
}
"""Every simulated person. Chosen of 200 mixtures so that no two look like one to the embedder (cosine 0.35 at most)."""
