"""Which footage each scene of an attack is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lab import company, cuts, prints, screens
from lab.attacks import Scene
from lab.camera import Sensor
from lab.footage import Footage, Studio, live, recorded
from liveness.challenge import Step

WITH_OTHERS = frozenset(
    {Scene.SWAP, Scene.SWAP_IN_TURN, Scene.SECOND_FACE, Scene.PROMPTED, Scene.VOICE_OVER, Scene.CUTOUT_MOUTH}
)
"""Scenes that need somebody else."""


def footage_of(scene: Scene, studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """The footage of ``scene`` in which ``steps`` are done."""
    return _FOOTAGE[scene](studio, steps)


def _recording(studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """The file of an earlier day: it keeps the unsteady clock of the phone that took it."""
    return live(studio, steps, "an earlier day")


def _rendered(studio: Studio, steps: tuple[Step, ...]) -> Footage:
    """From a program into a virtual camera: noise is put on top as a camera would have it, pictures come to the tick."""
    return recorded(live(studio, steps), Sensor.of(studio.size, f"rendered {studio.seed}"), studio.fps)


_FOOTAGE: Mapping[Scene, Callable[[Studio, tuple[Step, ...]], Footage]] = {
    Scene.LIVE: live,
    Scene.PHOTO: prints.photo,
    Scene.STILL: prints.still,
    Scene.FLAT_PRINT: prints.flat_print,
    Scene.BENT_PRINT: prints.bent_print,
    Scene.CUTOUT_MOUTH: prints.cutout_mouth,
    Scene.SCREEN: screens.screen_replay,
    Scene.SWAP: company.swap,
    Scene.SWAP_IN_TURN: company.swap_in_turn,
    Scene.SECOND_FACE: company.looked_in_on,
    Scene.PROMPTED: company.prompted,
    Scene.VOICE_OVER: company.voice_over,
    Scene.RECORDING: _recording,
    Scene.RENDERED: _rendered,
    Scene.SPLICED: lambda studio, steps: cuts.spliced(studio, steps, faded=False),
    Scene.DISSOLVED: lambda studio, steps: cuts.spliced(studio, steps, faded=True),
    Scene.FROZEN: cuts.frozen,
    Scene.TIME_COMPRESSED: cuts.time_compressed,
    Scene.REENCODED: cuts.reencoded,
}
