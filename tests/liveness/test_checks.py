"""Each check lets the person through who does as asked, and stops the one who does not, with a code that says why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from liveness.challenge import Direction, Reveal
from liveness.checks import SIMULATOR_MARK, required, run_checks
from liveness.evidence import VoiceMatch
from liveness.policy import SIMULATED, STRICT, LivenessPolicy, Path
from liveness.reasons import ADVICE, Reason
from liveness.verdict import Live, NotLive, Outcome, judge
from tests.people import NOW, Person, challenge, steps_challenge

L, R = Direction.LEFT, Direction.RIGHT


def verdict(person: Person, *, asked_for=None, policy: LivenessPolicy = STRICT, change=None):  # type: ignore[no-untyped-def]
    asked_for = asked_for or challenge()
    evidence = person.evidence(asked_for)
    if change is not None:
        evidence = replace(evidence, **change)
    return judge(
        run_checks(evidence, asked_for, policy),
        required=required(asked_for),
        challenge=asked_for,
        capture_sha256="0" * 64,
        policy=policy,
        models={},
        now=NOW,
    )


def test_who_does_as_asked_is_live() -> None:
    shown = verdict(Person())
    assert isinstance(shown, Live), shown
    assert shown.assurance.value == "web"


def test_a_mirrored_camera_changes_nothing_when_the_client_says_so() -> None:
    assert isinstance(verdict(Person(mirrored=True)), Live)


def test_a_mirrored_camera_that_is_not_declared_reads_as_the_wrong_side() -> None:
    lied = verdict(Person(mirrored=True), change={"mirrored": False})
    assert isinstance(lied, NotLive)
    assert Reason.WRONG_TURN in lied.reasons


@pytest.mark.parametrize(
    ("who", "person", "code"),
    [
        ("says other digits", Person(says="480216"), Reason.WRONG_DIGITS),
        ("says the digits backwards", Person(says="512084"), Reason.WRONG_DIGITS),
        ("leaves the last digit out", Person(says="48021"), Reason.DIGIT_MISSED),
        ("is heard so by one recogniser only", Person(second_opinion="480777"), Reason.DIGITS_UNCLEAR),
        ("is dubbed", Person(voice_match=VoiceMatch(lag_ms=420, fit=0.2, fit_elsewhere=0.5)), Reason.MOUTH_OUT_OF_STEP),
        ("adds a digit", Person(says="4802153"), Reason.DIGITS_NOT_HEARD),
        ("mumbles", Person(accepted=False), Reason.DIGITS_NOT_HEARD),
        ("is not heard at all", Person(heard=False), Reason.NOT_MEASURED),
        ("whispers", Person(sound_dbfs=-50.0), Reason.SOUND_TOO_QUIET),
        ("has the microphone off", Person(sound_dbfs=None), Reason.NO_SOUND),
        ("does not turn", Person(turns=()), Reason.TURN_MISSING),
        ("leaves the last turn out", Person(turns=(L, R)), Reason.TURN_MISSING),
        ("turns to the wrong side", Person(turns=(R, L, R)), Reason.WRONG_TURN),
        ("turns once more", Person(turns=(L, R, L, R)), Reason.EXTRA_TURN),
        ("turns too little", Person(turn_deg=20.0), Reason.TURN_MISSING),
        ("does not hold the turn", Person(turn_hold_ms=0), Reason.TURN_MISSING),
        ("turns before speaking", Person(turns_first=True), Reason.WRONG_ORDER),
        ("looks away at first", Person(resting_yaw_deg=16.0), Reason.NOT_FRONTAL),
        ("keeps the mouth still", Person(mouth=0.01), Reason.MOUTH_NOT_MOVING),
        ("leaves the picture", Person(lost_from_ms=4000, lost_for_ms=900), Reason.FACE_LOST),
        ("is never in the picture", Person(lost_from_ms=0, lost_for_ms=99_000), Reason.NO_FACE),
        ("has somebody beside them", Person(second_face_for_ms=800), Reason.SECOND_FACE),
        (
            "has somebody beside them whom every second frame misses",
            Person(second_face_for_ms=800, second_face_missed=True),
            Reason.SECOND_FACE,
        ),
        ("sits far away", Person(width=80.0), Reason.FACE_TOO_SMALL),
        ("is another after the digits", Person(person_at=lambda p: 2 if "return" in p else 1), Reason.PERSON_CHANGED),
        ("looks like a screen", Person(live_probability=0.1), Reason.ATTACK_SUSPECTED),
        ("was not scored for attacks", Person(live_probability=None), Reason.NOT_MEASURED),
        ("records at ten frames a second", Person(facts={"source_fps": 10.0}), Reason.LOW_FRAME_RATE),
        ("records a stamp-sized picture", Person(facts={"width": 240}), Reason.LOW_RESOLUTION),
        ("cuts the recording", Person(facts={"longest_gap_ms": 900}), Reason.CUT_IN_RECORDING),
        ("adds the sound later", Person(facts={"audio_start_ms": 1500}), Reason.SOUND_PICTURE_MISMATCH),
        ("has no sound track", Person(facts={"audio_start_ms": None, "audio_codec": None}), Reason.NO_SOUND),
        ("holds the phone in the dark", Person(picture={"brightness": 12.0}), Reason.TOO_DARK),
        ("stands in the sun", Person(picture={"brightness": 250.0}), Reason.TOO_BRIGHT),
        ("holds the phone at the nose", Person(width=600.0, face_x=20.0), Reason.FACE_TOO_NEAR),
        ("is half out of the picture", Person(face_x=-90.0), Reason.FACE_CUT_OFF),
        ("cuts pieces together", Person(picture={"worst_cut": 1e6}), Reason.CUT_IN_RECORDING),
        ("freezes the picture", Person(picture={"longest_frozen_ms": 2500, "repeated": 0.2}), Reason.PICTURE_FROZEN),
        ("repeats many frames", Person(picture={"repeated": 0.9}), Reason.PICTURE_FROZEN),
        ("loops a stretch", Person(picture={"loop_ms": 3000}), Reason.PICTURE_FROZEN),
        ("joins recordings of words", Person(sound={"floor_jump_db": 12.0}), Reason.SOUND_JOINED),
        ("pastes words into nothing", Person(sound={"digital_silence": 0.95}), Reason.SOUND_JOINED),
        ("went through an editor", Person(facts={"writing_app": "HandBrake 1.9"}), Reason.EDITED_RECORDING),
        ("converted the recording", Person(facts={"writing_app": "Lavf61.7.100"}), Reason.EDITED_RECORDING),
        ("sends an old recording again", Person(earlier_distance=0.001), Reason.CAPTURE_REUSED),
        ("turns a flat print", Person(depth=0.006), Reason.NO_DEPTH),
        ("turns a bent print", Person(depth=0.03, sheet=0.001), Reason.NO_DEPTH),
        ("holds up a picture", Person(life=0.0), Reason.NO_NATURAL_MOTION),
        ("chews all the time", Person(mouth_in_pauses=0.4, chews=True), Reason.MOUTH_OUT_OF_STEP),
        ("is somebody else while turned", Person(person_at=lambda p: 2 if "turn_2" in p else 1), Reason.PERSON_CHANGED),
        ("is tracked where no face is", Person(apart=1.5), Reason.PERSON_CHANGED),
        ("films a screen", Person(picture={"moire": 1e6}), Reason.SCREEN_SEEN),
        ("films a tablet with its edge", Person(picture={"border": 2.0}), Reason.SCREEN_SEEN),
        ("films a flickering screen", Person(picture={"flicker": 9.0}), Reason.SCREEN_SEEN),
        ("is our own simulator", Person(facts={"writing_app": f"x {SIMULATOR_MARK}"}), Reason.SIMULATED_CAPTURE),
    ],
)
def test_who_does_not_is_stopped_and_told_why(who: str, person: Person, code: Reason) -> None:
    stopped = verdict(person)
    assert isinstance(stopped, NotLive), f"somebody who {who} passed"
    assert code in stopped.reasons, f"{who}: {stopped.reasons}"


def test_a_simulated_capture_passes_only_under_the_simulated_policy_and_stays_simulated() -> None:
    person = Person(facts={"writing_app": SIMULATOR_MARK})
    passed = verdict(person, policy=SIMULATED)
    assert isinstance(passed, Live)
    assert passed.assurance.value == "simulated"
    assert not passed.assurance.satisfies(STRICT.assurance)


def test_turning_straight_from_one_side_to_the_other_is_not_returning_between() -> None:
    stopped = verdict(Person(returns_between=False, turns=(L, L, R)), asked_for=challenge(turns="left,left,right"))
    assert isinstance(stopped, NotLive)


@pytest.mark.parametrize("missing", ["track", "transcript"])
def test_what_was_not_measured_did_not_pass(missing: str) -> None:
    assert isinstance(verdict(Person(), change={missing: None}), NotLive)


def test_without_templates_nobody_is_the_same_person() -> None:
    assert isinstance(verdict(Person(), change={"templates": ()}), NotLive)


@pytest.mark.parametrize("phase", ["digits_1", "return_1", "return_3"])
def test_identity_must_be_measured_in_every_phase(phase: str) -> None:
    full = Person().evidence(challenge()).templates
    partial = verdict(Person(), change={"templates": tuple(t for t in full if t.phase != phase)})
    assert isinstance(partial, NotLive)


@pytest.mark.parametrize(("degrees", "live"), [(25.9, False), (26.6, True)])
def test_the_turn_limit_is_measured_from_the_own_baseline(degrees: float, live: bool) -> None:
    """The resting head stands at 1.5 degrees: a left turn reads from there, so the raw angle is not what counts."""
    person = Person(turn_deg=degrees - 1.2, resting_yaw_deg=1.2)
    assert isinstance(verdict(person), Live) is live


def test_a_verdict_without_required_checks_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        judge((), required=[], challenge=challenge(), capture_sha256="", policy=STRICT, models={}, now=NOW)


def test_a_check_that_did_not_run_makes_it_not_live() -> None:
    results = run_checks(Person().evidence(challenge()), challenge(), STRICT)
    for left_out in range(len(results)):
        partial = results[:left_out] + results[left_out + 1 :]
        stopped = judge(
            partial,
            required=required(challenge()),
            challenge=challenge(),
            capture_sha256="",
            policy=STRICT,
            models={},
            now=NOW,
        )
        assert isinstance(stopped, NotLive)


def test_every_result_that_is_no_pass_has_a_code_and_every_code_has_advice_in_both_languages() -> None:
    for result in run_checks(Person(says="1", turns=()).evidence(challenge()), challenge(), STRICT):
        assert (result.code is None) == (result.outcome is Outcome.PASS)
    for reason in Reason:
        advice = ADVICE[reason]
        assert advice.en
        assert any("\u4e00" <= character <= "\u9fff" for character in advice.zh)


# --- cue by cue ------------------------------------------------------------------------------------------------------

CUED = steps_challenge("480,left,215,right,left", reveal=Reveal.CUE_BY_CUE)


def test_a_live_session_done_as_asked_is_live() -> None:
    shown = verdict(Person(), asked_for=CUED)
    assert isinstance(shown, Live), shown
    assert shown.reveal is Reveal.CUE_BY_CUE


@pytest.mark.parametrize(
    ("who", "person", "code", "place"),
    [
        ("knew the cues", Person(reaction_ms=-200), Reason.ANSWERED_TOO_EARLY, 1),
        ("answers within no human's time", Person(reaction_ms=249), Reason.ANSWERED_TOO_EARLY, 1),
        ("waits for the fake to be rendered", Person(reaction_ms=4001), Reason.ANSWERED_TOO_LATE, 2),
        ("uploads what was recorded before", Person(clock_ratio=9.0), Reason.NOT_IN_REAL_TIME, None),
        ("speeds up what was made slowly", Person(clock_ratio=0.66), Reason.NOT_IN_REAL_TIME, None),
    ],
)
def test_who_does_not_answer_in_time_is_stopped(who: str, person: Person, code: Reason, place: int | None) -> None:
    stopped = verdict(person, asked_for=CUED)
    assert isinstance(stopped, NotLive), f"somebody who {who} passed"
    assert code in stopped.reasons
    assert [r.place for r in stopped.results if r.code is code] == [place]


@pytest.mark.parametrize("reaction_ms", [250, 3800])  # a turn is seen some 100 ms after it begins
def test_response_times_at_the_edges_are_a_persons(reaction_ms: int) -> None:
    assert isinstance(verdict(Person(reaction_ms=reaction_ms), asked_for=CUED), Live)


def test_more_time_doubles_what_is_timed() -> None:
    slow = Person(reaction_ms=7_000)
    assert isinstance(verdict(slow, asked_for=CUED), NotLive)
    assert isinstance(verdict(slow, asked_for=replace(CUED, extra_time=True)), Live)


def test_without_the_servers_clock_a_live_session_is_not_live() -> None:
    stopped = verdict(Person(), asked_for=CUED, change={"timing": None})
    assert isinstance(stopped, NotLive)
    assert stopped.reasons == (Reason.NOT_MEASURED,)


def test_one_cue_that_was_never_shown_is_not_overlooked() -> None:
    timing = Person().evidence(CUED).timing
    assert timing is not None
    assert isinstance(
        verdict(Person(), asked_for=CUED, change={"timing": replace(timing, cues=timing.cues[:-1])}), NotLive
    )


def test_the_interleaved_order_counts() -> None:
    assert isinstance(verdict(Person(), asked_for=steps_challenge("480,left,215,right,left")), Live)
    swapped = verdict(Person(says="480215"), asked_for=steps_challenge("480,left,215,right,left"))
    assert isinstance(swapped, NotLive)
    assert Reason.WRONG_ORDER in swapped.reasons


# --- paths that people choose ----------------------------------------------------------------------------------------


def test_small_turns_pass_only_where_they_were_chosen_before() -> None:
    gentle = Person(turn_deg=18.0)
    assert isinstance(verdict(gentle), NotLive)
    shown = verdict(gentle, asked_for=steps_challenge("48021573,left,right,left", path=Path.SMALL_TURNS))
    assert isinstance(shown, Live), shown
    assert shown.path is Path.SMALL_TURNS


SILENT = steps_challenge("nod2,left,nod1,right,nod3,left", path=Path.NO_SPEECH)


def test_who_cannot_speak_nods_and_needs_no_sound() -> None:
    shown = verdict(Person(heard=False, sound_dbfs=None), asked_for=SILENT)
    assert isinstance(shown, Live), shown
    assert shown.path is Path.NO_SPEECH


@pytest.mark.parametrize(
    ("who", "person"),
    [
        ("nods once too often", Person(nods=(2, 2, 3), turns=(L, R, L))),
        ("leaves a group out", Person(nods=(2, 1), turns=(L, R, L))),
        ("does not nod", Person(nods=(), turns=(L, R, L))),
        ("hardly nods", Person(nod_deg=5.0)),
    ],
)
def test_nods_must_be_as_asked(who: str, person: Person) -> None:
    stopped = verdict(person, asked_for=SILENT)
    assert isinstance(stopped, NotLive), f"somebody who {who} passed"
    assert Reason.NODS_NOT_AS_ASKED in stopped.reasons


def test_a_blink_is_life_enough_for_who_holds_very_still() -> None:
    assert isinstance(verdict(Person(life=0.0)), NotLive)
    assert isinstance(verdict(Person(life=0.0, blinks=True)), Live)


# --- assurance -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "assurance"), [(STRICT, "attested"), (SIMULATED, "simulated")])
def test_a_device_that_is_vouched_for_raises_a_real_capture_only(policy: LivenessPolicy, assurance: str) -> None:
    asked_for = challenge()
    results = run_checks(Person().evidence(asked_for), asked_for, policy)
    shown = judge(
        results,
        required=required(asked_for),
        challenge=asked_for,
        capture_sha256="0" * 64,
        policy=policy,
        models={},
        now=NOW,
        attested=True,
    )
    assert isinstance(shown, Live)
    assert shown.assurance.value == assurance


@pytest.mark.parametrize("missing", ["picture", "looks", "parallax", "fingerprint", "sound"])
def test_pixels_and_sound_that_were_not_measured_did_not_pass(missing: str) -> None:
    nothing = () if missing in ("looks", "parallax") else None
    assert isinstance(verdict(Person(), change={missing: nothing}), NotLive)


def test_a_person_is_told_which_digit_was_not_heard() -> None:
    stopped = verdict(Person(says="48025"))
    assert isinstance(stopped, NotLive)
    assert [r.place for r in stopped.results if r.code is Reason.DIGIT_MISSED] == [5]
    told = ADVICE[Reason.DIGIT_MISSED]
    assert "digit 5" in told.told(chinese=False, place=5)
    assert "第 5 个" in told.told(chinese=True, place=5)


def test_one_slip_of_the_second_recogniser_is_forgiven_and_its_silence_is_not() -> None:
    assert isinstance(verdict(Person(second_opinion="480216")), Live)
    assert isinstance(verdict(Person(second_opinion="480215"), change={"second_opinion": None}), NotLive)
