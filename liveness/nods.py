"""How often a head nodded, from its pitch over time.

Pure, as :mod:`liveness.turns`: a face track in, groups of nods out, relative to the person's own baseline.
"""

from __future__ import annotations

from dataclasses import dataclass

from liveness.evidence import FaceTrack
from liveness.policy import LivenessPolicy
from liveness.turns import Baseline, own_yaw


@dataclass(frozen=True, slots=True, kw_only=True)
class NodGroup:
    """Nods that follow each other closely. ``depth_deg`` is that of the least deep."""

    times: int
    start_ms: int
    end_ms: int
    depth_deg: float


def pitch_over_time(
    track: FaceTrack, front: Baseline, *, mirrored: bool, policy: LivenessPolicy
) -> list[tuple[int, float]]:
    """(ms, degrees down from the baseline) of the largest face, where it faces the camera: a turned head's pitch is not told
    from its roll."""
    return [
        (s.at_ms, s.faces[0].pitch_deg - front.pitch_deg)
        for s in track.sightings
        if s.faces and abs(own_yaw(s.faces[0], mirrored=mirrored) - front.yaw_deg) <= policy.turn_return.value
    ]


def performed_nods(pitch: list[tuple[int, float]], *, policy: LivenessPolicy) -> tuple[NodGroup, ...]:
    """All groups in order. ``pitch`` as :func:`pitch_over_time` gives it.

    A nod goes down past the limit and back above half of it, within the longest time.
    """
    deep = policy.nod_depth.value
    nods: list[tuple[int, int, float]] = []
    since: int | None = None
    lowest = 0.0
    for at_ms, degrees in pitch:
        if since is None and degrees >= deep:
            since, lowest = at_ms, degrees
        elif since is not None:
            lowest = max(lowest, degrees)
            if degrees <= deep / 2:
                if at_ms - since <= policy.nod_longest.value:
                    nods.append((since, at_ms, lowest))
                since = None
    groups: list[list[tuple[int, int, float]]] = []
    for nod in nods:
        if groups and nod[0] - groups[-1][-1][1] <= policy.nod_pause.value:
            groups[-1].append(nod)
        else:
            groups.append([nod])
    return tuple(
        NodGroup(times=len(g), start_ms=g[0][0], end_ms=g[-1][1], depth_deg=min(depth for _, _, depth in g))
        for g in groups
    )
