"""The report names what gets in, which check caught what, and never pools species."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.attacks import ATTACKS
from lab.corpus import Recording
from lab.evaluate import Machine, Report
from lab.evaluate_corpus import Examinations, Examined, Heard
from lab.pad_plots import draw_plots
from lab.pad_rates import GROUPS, PadFigures, SpeciesFigures, grouped, pad_figures
from lab.pad_report import LEFT, markdown, pad_json, pad_table
from liveness import policy as limits
from liveness.evidence import LiveTiming
from liveness.reasons import Reason
from liveness.verdict import CheckResult
from tests.lab.test_evaluate import recording

CHECK_NAMES = ("digits_said", "turns_as_asked", "same_person", "screen", "brand_new_check")


def examined(of: Recording, *missed: str, no_response: str | None = None) -> Examined:
    results = tuple(
        CheckResult.failed(name, Reason.ATTACK_SUSPECTED, 0.2, 0.5, "u")
        if name in missed
        else CheckResult.passed(name, 0.8, 0.5, "u")
        for name in CHECK_NAMES
    )
    return Examined(
        file=of.file,
        policy="simulated",
        no_response=no_response,
        live=not missed and no_response is None,
        results=() if no_response else results,
        heard=(Heard(engine="e", exact="digits_said" not in missed, errors=len(missed), digits=6),),
        take_ms=10_000,
        verdict_ms=4_000,
    )


def figures() -> PadFigures:
    """Three people with three takes each, of which one person never gets in; and three species."""
    takes = [recording(number) for number in range(9)]
    attacks = {
        name: [recording(number, name) for number in range(4)] for name in ("photo", "replay", "render_injection")
    }
    found = Examinations()

    def add(each: Examined) -> None:
        found.found[each.policy, each.file] = each

    for each in takes:
        add(examined(each, *(("digits_said",) if each.person == "p1" else ())))
    add(examined(attacks["photo"][0], "turns_as_asked"))
    add(examined(attacks["photo"][1], "turns_as_asked", "screen"))
    add(examined(attacks["photo"][2], "brand_new_check"))
    add(examined(attacks["photo"][3], no_response="media_unreadable"))
    for each in attacks["replay"]:
        add(examined(each, "digits_said", "turns_as_asked"))
    for each in attacks["render_injection"]:
        add(examined(each))
        add(replace(examined(each), policy="strict"))
    return pad_figures(
        [*takes, *attacks["photo"], *attacks["replay"], *attacks["render_injection"]],
        found,
        policy="simulated",
        also=[("render_injection", "strict")],
        same_person=0.38,
        seed=1,
    )


def of(name: str, policy: str = "simulated") -> SpeciesFigures:
    return next(each for each in figures().species if (each.species, each.policy) == (name, policy))


def test_what_cannot_be_read_neither_gets_in_nor_counts_as_stopped() -> None:
    photo = of("photo")
    assert (photo.attempts, photo.apcer.tries, photo.accepted) == (4, 3, 0)
    assert (photo.apnrr.errors, photo.apnrr.tries) == (1, 4)


def test_who_caught_it_and_who_alone() -> None:
    photo = of("photo")
    assert photo.caught_by["turns_as_asked"] == 2
    assert photo.only_by["turns_as_asked"] == 1
    assert photo.caught_by["digits_said"] == 0


def test_without_a_check_those_get_in_whom_it_alone_caught() -> None:
    photo, replay = of("photo"), of("replay")
    assert photo.without["turns_as_asked"] == 1
    assert photo.without["screen"] == 0  # the turns catch it too
    assert replay.without["digits_said"] == replay.without["turns_as_asked"] == 0
    assert of("render_injection").without["screen"] == 4  # they get in anyway


def test_without_a_group_those_get_in_whom_only_its_members_caught() -> None:
    assert of("photo").without_group["turns and nods"] == 1
    assert of("photo").without_group["other"] == 1  # a check that nobody put into a group is there all the same


def test_other_paths_and_live_sessions_have_rates_of_their_own() -> None:
    easy = replace(recording(1, "photo"), file="attacks/photo/easy.mp4", path=limits.Path.SMALL_TURNS)
    live = replace(recording(2, "photo"), file="attacks/photo/live.mp4", timing=LiveTiming(cues=(), clock_ratio=1.0))
    recordings = [recording(0), recording(0, "photo"), easy, live]
    found = Examinations()
    for each in recordings:
        found.found["simulated", each.file] = examined(each, *(("screen",) if each is recordings[1] else ()))
    pad = pad_figures(recordings, found, policy="simulated", same_person=0.38, seed=1)
    (photo,) = pad.species
    assert (photo.attempts, photo.accepted) == (1, 0)
    assert photo.by_way == {"small_turns": (1, 1), "standard": (0, 1), "standard live": (1, 1)}
    page = markdown(replace_pad(pad), {})
    assert "| `photo` | 1 of 1 (at most 100.0%) | 0 of 1 (at most 95.0%) | 1 of 1 (at most 100.0%) |" in page


def test_every_check_is_in_one_group_only() -> None:
    members = [check for group in GROUPS.values() for check in group]
    assert len(members) == len(set(members))
    assert [check for group in grouped(CHECK_NAMES).values() for check in group].count("brand_new_check") == 1


def test_a_person_who_never_gets_in_is_seen_behind_the_mean() -> None:
    genuine = figures().genuine
    assert (genuine.refused, genuine.bpcer.tries) == (3, 9)
    assert genuine.by_person == {"p0": (0, 3), "p1": (3, 3), "p2": (0, 3)}
    assert genuine.within_three == pytest.approx(1 / 3)
    assert genuine.interval is not None
    assert genuine.interval[1] > 0.5


def test_the_worst_species_is_named() -> None:
    pad = figures()
    assert pad.worst is not None
    assert pad.worst.species == "render_injection"
    assert "worst species: render_injection" in pad_table(pad)


def test_the_page_names_what_gets_in_and_what_would_stop_it() -> None:
    page = markdown(report(), {})
    left = page.split("## Not stopped")[1].split("##")[0]
    assert "render_injection (strict)" in left
    assert "attested" in left
    assert "photo" not in left
    assert "brand_new_check" in page


def test_a_check_that_stops_everybody_is_no_merit() -> None:
    takes = [recording(number) for number in range(3)]
    attack = recording(0, "photo")
    found = Examinations(found={("simulated", each.file): examined(each, "screen") for each in (*takes, attack)})
    pad = pad_figures([*takes, attack], found, policy="simulated", same_person=0.38, seed=1)
    assert pad.refuse_everybody == ("screen",)
    assert "every genuine take" in pad_table(pad)
    assert "every genuine take" in markdown(replace_pad(pad), {})
    assert "every genuine take" not in markdown(report(), {})


def test_a_report_says_when_with_what_and_on_what() -> None:
    page = markdown(report(), {})
    for said in ("2026-11-21", "simulated@v", "model 1", "2 cores"):
        assert said in page


def test_json_has_no_not_a_number_even_where_nothing_was_tried() -> None:
    empty = pad_figures([], Examinations(), policy="simulated", same_person=0.38, seed=1)
    text = str(pad_json(empty)) + str(pad_json(figures()))
    assert "nan" not in text
    assert pad_table(empty)
    assert markdown(replace_pad(empty), {})


def test_pictures_are_drawn_of_what_there_is(tmp_path: Path) -> None:
    drawn = draw_plots(figures(), ([0.5, 0.7], [0.0, 0.1]), tmp_path)
    assert {each.stem for each in drawn} >= {"apcer", "ablation", "scores"}
    assert all(each.read_bytes().startswith(b"\x89PNG") for each in drawn)
    empty = pad_figures([], Examinations(), policy="simulated", same_person=0.38, seed=1)
    assert draw_plots(empty, None, tmp_path) == []


def test_reasons_are_given_for_species_that_exist() -> None:
    assert set(LEFT) <= set(ATTACKS)


def report() -> Report:
    return replace_pad(figures())


def replace_pad(pad: PadFigures) -> Report:
    return Report(
        measured_at=datetime(2026, 11, 21, tzinfo=UTC),
        policy="simulated@v",
        models={"speech": "model 1"},
        machine=Machine(cores=2, python="3.11", system="Linux"),
        pad=pad,
    )
