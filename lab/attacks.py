"""Attacks on a challenge, by name: what is filmed, or sent, in place of the person doing as asked.

An attack is a change of the :class:`Take`: other steps, another :class:`Scene`, no sound, no mark. To add one: its row in
``ATTACKS``, its footage in ``lab/scenes.py`` if it needs a new scene, and the reason code it must be refused for in its
test. Each species is made as well as its attacker could: the right digits and turns wherever they can be had.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from lab.errors import UnknownAttack
from liveness.challenge import Direction, Nod, SayDigits, Step, Turn, draw_digits


class Scene(StrEnum):
    """What is before the camera, or comes in place of it; each is made by the footage of its name."""

    LIVE = "live"
    PHOTO = "photo"
    STILL = "still"
    FLAT_PRINT = "flat_print"
    BENT_PRINT = "bent_print"
    CUTOUT_MOUTH = "cutout_mouth"
    SCREEN = "screen"
    SWAP = "swap"
    SWAP_IN_TURN = "swap_in_turn"
    SECOND_FACE = "second_face"
    PROMPTED = "prompted"
    VOICE_OVER = "voice_over"
    RECORDING = "recording"
    RENDERED = "rendered"
    SPLICED = "spliced"
    DISSOLVED = "dissolved"
    FROZEN = "frozen"
    TIME_COMPRESSED = "time_compressed"
    REENCODED = "reencoded"


EDITOR_MARK = "Lavf58.76.100 edited"
"""What an editor leaves in the container."""

SPED_UP = 1.5
"""How much quicker a time-compressed take is shown than it was performed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """What is made.

    steps : what is performed, in order. sound : the recording has a sound track. marked : the file says that it is
    simulated. editor : and what wrote it, where that is an editor.
    """

    steps: tuple[Step, ...]
    scene: Scene = Scene.LIVE
    sound: bool = True
    marked: bool = True
    editor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """``change`` makes the take of the attack from the honest one; chance is seeded."""

    summary: str
    change: Callable[[Take, random.Random], Take]


def attacked(take: Take, name: str, chance: random.Random) -> Take:
    """The take of the attack of that name.

    Raises:
        UnknownAttack: naming those there are.
    """
    attack = ATTACKS.get(name)
    if attack is None:
        raise UnknownAttack(f"unknown attack {name[:40]!r}; known: {', '.join(ATTACKS)}")
    return attack.change(take, chance)


def _scene(scene: Scene) -> Callable[[Take, random.Random], Take]:
    return lambda take, _: replace(take, scene=scene)


def _wrong_digits(take: Take, chance: random.Random) -> Take:
    return replace(take, steps=tuple(_other_digits(step, chance) for step in take.steps))


def _no_turns(take: Take, _: random.Random) -> Take:
    return replace(take, steps=tuple(step for step in take.steps if not isinstance(step, Turn)))


def _replay(take: Take, chance: random.Random) -> Take:
    turns = [step.direction for step in take.steps if isinstance(step, Turn)]
    others = iter(_other_turns(turns, chance))
    return replace(
        take,
        steps=tuple(
            Turn(direction=next(others)) if isinstance(step, Turn) else _other_digits(step, chance)
            for step in take.steps
        ),
    )


def _earlier_recording(take: Take, chance: random.Random) -> Take:
    """The turns are the right ones by luck: one in six is."""
    return replace(_wrong_digits(take, chance), scene=Scene.RECORDING)


def _silent(take: Take, _: random.Random) -> Take:
    return replace(take, sound=False)


def _render_injection(take: Take, _: random.Random) -> Take:
    return replace(take, scene=Scene.RENDERED, marked=False)


def _reencoded(take: Take, _: random.Random) -> Take:
    return replace(take, scene=Scene.REENCODED, editor=EDITOR_MARK)


def _other_digits(step: Step, chance: random.Random) -> Step:
    """Other digits; where nods stand for them, another number of nods."""
    if isinstance(step, Nod):
        return Nod(times=step.times - 1 if step.times > 1 and chance.random() < 0.5 else step.times + 1)
    if not isinstance(step, SayDigits):
        return step
    while (digits := draw_digits(len(step.digits), chance)) == step.digits:
        pass
    return SayDigits(digits=digits)


def _other_turns(turns: list[Direction], chance: random.Random) -> list[Direction]:
    if not turns:
        return []
    while (drawn := [chance.choice(tuple(Direction)) for _ in turns]) == turns:
        pass
    return drawn


ATTACKS: Mapping[str, Attack] = {
    "photo": Attack(
        summary="a still picture, waved a little, while the voice says the digits", change=_scene(Scene.PHOTO)
    ),
    "wrong_digits": Attack(summary="the person says other digits", change=_wrong_digits),
    "no_turns": Attack(summary="the person says the digits and never turns", change=_no_turns),
    "replay": Attack(summary="a recording made for another challenge: other digits, other turns", change=_replay),
    "swap": Attack(summary="somebody else after the digits", change=_scene(Scene.SWAP)),
    "silent": Attack(summary="the person does as asked in a recording without a sound track", change=_silent),
    "flat_print": Attack(
        summary="a photograph on flat paper, waved and turned in depth, the digits from a loudspeaker",
        change=_scene(Scene.FLAT_PRINT),
    ),
    "bent_print": Attack(
        summary="a photograph on paper bent round like a face and turned, the digits from a loudspeaker",
        change=_scene(Scene.BENT_PRINT),
    ),
    "cutout_mouth": Attack(
        summary="a photograph with a hole for the mouth, and somebody's living lips in it",
        change=_scene(Scene.CUTOUT_MOUTH),
    ),
    "still_with_voice": Attack(
        summary="a picture that does not move at all, while the voice says the digits", change=_scene(Scene.STILL)
    ),
    "screen_replay": Attack(
        summary="a take with the right digits and turns, shown on a screen and filmed", change=_scene(Scene.SCREEN)
    ),
    "earlier_recording": Attack(
        summary="the person's own recording for another challenge: other digits, by luck the same turns",
        change=_earlier_recording,
    ),
    "digit_splice": Attack(
        summary="cut together from clips of single digits and turns, with hard joins", change=_scene(Scene.SPLICED)
    ),
    "digit_splice_faded": Attack(
        summary="cut together from clips of single digits and turns, the joins dissolved",
        change=_scene(Scene.DISSOLVED),
    ),
    "voice_over": Attack(
        summary="the person says other words and turns as asked, another voice says the digits",
        change=_scene(Scene.VOICE_OVER),
    ),
    "swap_in_turn": Attack(summary="somebody else during one of the turns", change=_scene(Scene.SWAP_IN_TURN)),
    "second_person": Attack(summary="a second face looks in for some seconds", change=_scene(Scene.SECOND_FACE)),
    "prompted": Attack(
        summary="another voice says each digit softly before the person does", change=_scene(Scene.PROMPTED)
    ),
    "frozen": Attack(
        summary="the picture stands still in one place and loops in another while the sound goes on",
        change=_scene(Scene.FROZEN),
    ),
    "render_injection": Attack(
        summary="a rendered person who does as asked, sent without the simulator's mark", change=_render_injection
    ),
    "time_compressed": Attack(
        summary="a slow take sped up by half, its sound shortened to match", change=_scene(Scene.TIME_COMPRESSED)
    ),
    "reencoded": Attack(
        summary="a take cropped and written again by an editor, which says so in the file", change=_reencoded
    ),
    "reencoded_unmarked": Attack(
        summary="a take cropped and written again by an editor, which leaves no name", change=_scene(Scene.REENCODED)
    ),
}
"""Every attack, by the name that ``mien simulate --attack`` takes."""
