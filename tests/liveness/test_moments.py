"""Which frames a person is looked at again in: enough of them, at the right times, and the same ones every time."""

from __future__ import annotations

from dataclasses import replace

from liveness.challenge import Challenge
from liveness.checks import phases_of, turned_phases_of
from liveness.evidence import Evidence, FaceTrack, Sighting
from liveness.moments import Moment, best_portraits, moments, spoof_sightings
from liveness.nods import performed_nods, pitch_over_time
from liveness.policy import STRICT
from liveness.turns import baseline, own_yaw, performed_turns, yaw_over_time
from tests.people import Person, challenge, face


def moments_of(evidence: Evidence, asked: Challenge) -> tuple[Moment, ...]:
    track = evidence.track
    assert track is not None
    own = asked.limits(STRICT)
    front = baseline(track, policy=own, mirrored=evidence.mirrored)
    assert front is not None
    yaw = yaw_over_time(track, mirrored=evidence.mirrored)
    turns = performed_turns(yaw, zero_deg=front.yaw_deg, policy=own)
    nods = performed_nods(pitch_over_time(track, front, mirrored=evidence.mirrored, policy=own), policy=own)
    return moments(
        track,
        front,
        turns,
        nods if asked.nods else (),
        evidence.transcript,
        asked,
        policy=own,
        mirrored=evidence.mirrored,
    )


def test_every_phase_that_is_compared_has_a_moment() -> None:
    asked = challenge()
    found = {moment.phase for moment in moments_of(Person().evidence(asked), asked)}
    assert set(phases_of(asked)) <= found
    for out, back in turned_phases_of(asked):
        assert out in found or back in found


def test_turned_moments_are_aside_and_the_others_face_the_camera() -> None:
    asked = challenge()
    evidence = Person().evidence(asked)
    for moment in moments_of(evidence, asked):
        angles = [abs(own_yaw(s.faces[0], mirrored=evidence.mirrored)) for s in moment.candidates]
        assert angles
        if moment.phase.startswith("turn_"):
            assert all(10 <= angle <= 24 for angle in angles)
        else:
            assert all(angle <= STRICT.turn_return.value for angle in angles)


def test_who_did_nothing_has_only_the_start() -> None:
    asked = challenge()
    evidence = replace(Person(turns=()).evidence(asked), transcript=None)
    assert {moment.phase for moment in moments_of(evidence, asked)} == {"start"}


def test_portraits_are_the_best_whatever_comes_first() -> None:
    """The pipeline keeps the best so far; the choice must be that of looking at all at once."""
    seen = [Sighting(at_ms=66 * i, faces=(face((7 * i) % 31 - 15.0),)) for i in range(60)]
    seen.append(Sighting(at_ms=5000, faces=(face(), face())))
    best = best_portraits(seen, 5)
    kept: tuple[Sighting, ...] = ()
    for sighting in seen:
        kept = best_portraits((*kept, sighting), 5)
    assert kept == best
    assert len(best) == 5
    assert all(len(sighting.faces) == 1 for sighting in best)
    angles = [abs(s.faces[0].yaw_deg) for s in best]
    assert angles == sorted(angles)
    assert max(angles) <= min(abs(s.faces[0].yaw_deg) for s in seen[:-1] if s not in best)


def test_the_attack_score_is_taken_all_over_the_take() -> None:
    track = FaceTrack(
        sightings=tuple(Sighting(at_ms=66 * i, faces=(face(),)) for i in range(100)), width=480, height=640
    )
    times = [s.at_ms for s in spoof_sightings(track, STRICT)]
    assert len(times) == 8
    assert times[0] < 66 * 13
    assert times[-1] > 66 * 87
