"""From what every check found to the figures of ISO/IEC 30107-3: pure tallies, per species and never pooled over species.

APCER   attacks accepted, among attempts that got a verdict      APNRR   attempts without a verdict (undecodable, engine error)
BPCER   genuine takes refused, among takes that got a verdict    BPNRR   genuine takes without a verdict
A check that could not judge counts as refusing: what was not measured did not pass.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from lab.corpus import Recording
from lab.evaluate_corpus import Examinations, Examined
from lab.rates import Rate, Trade, bootstrap_interval, mean_all_fail, percentile, trade
from liveness import policy as limits
from liveness.template import similarity

GROUPS: Mapping[str, tuple[str, ...]] = {
    "recording": (
        "frame_rate", "resolution", "continuity", "tracks_together", "not_simulated", "not_edited", "new_capture",
        "sound_level",
    ),
    "one take": (
        "no_cuts", "not_frozen", "not_repeated", "camera_noise", "one_room", "room_heard", "real_time", "response_times",
    ),
    "face": (
        "one_face", "no_second_face", "nobody_else", "face_size", "whole_face", "light", "focus",
        "starts_frontal", "tracking_holds", "natural_motion",
    ),
    "digits": ("digits_said", "steps_in_order"),
    "mouth and voice": ("mouth_moves", "mouth_rests", "mouth_with_words", "voice_fits"),
    "turns and nods": ("turns_as_asked", "nods_as_asked"),
    "depth": ("depth", "bend"),
    "person": ("same_person", "same_person_turned"),
    "attack signs": ("attack_score", "no_moire", "no_border", "no_flicker", "few_attack_signs"),
}  # fmt: skip
"""Checks that look at the same thing: what one of them misses another may catch, so they are also left out together."""

_OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeciesFigures:
    """One species under one policy.

    Counted are attempts on the standard path handed in whole, and on all ways when there are none of these; by_way : accepted
    and judged attempts of every way. caught_by : check to attempts it did not pass. only_by : the same where it was the only
    one. without, without_group : check or group to attempts that pass all others, so that would get in without it; those that
    got in anyway among them.
    """

    species: str
    policy: str
    attempts: int
    no_response: int
    accepted: int
    caught_by: Mapping[str, int]
    only_by: Mapping[str, int]
    without: Mapping[str, int]
    without_group: Mapping[str, int]
    by_way: Mapping[str, tuple[int, int]]

    @property
    def apcer(self) -> Rate:
        judged = self.attempts - self.no_response
        return Rate(measure=f"APCER {self.species}", what="attack", errors=self.accepted, tries=judged)

    @property
    def apnrr(self) -> Rate:
        return Rate(measure=f"APNRR {self.species}", what="attack", errors=self.no_response, tries=self.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenuineFigures:
    """Genuine takes under one policy, counted as :class:`SpeciesFigures` counts. by_person, by_voice, by_way : refused and
    judged takes.

    within_three : chance that three tries in a row of one person all fail, averaged over people with three or more takes.
    interval : 95 %, people drawn with replacement. refused_by : check to takes it did not pass.
    """

    policy: str
    takes: int
    no_response: int
    refused: int
    by_person: Mapping[str, tuple[int, int]]
    by_voice: Mapping[str, tuple[int, int]]
    by_way: Mapping[str, tuple[int, int]]
    refused_by: Mapping[str, int]
    within_three: float | None
    interval: tuple[float, float] | None

    @property
    def bpcer(self) -> Rate:
        return Rate(measure="BPCER, one try", what="genuine", errors=self.refused, tries=self.takes - self.no_response)

    @property
    def bpnrr(self) -> Rate:
        return Rate(measure="BPNRR", what="genuine", errors=self.no_response, tries=self.takes)


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitFigures:
    """How one recogniser heard one voice: strings not exact, digits wrong (edit distance)."""

    engine: str
    voice: str
    strings: int
    not_exact: int
    digits: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSeries:
    """All values of one check: of genuine takes and of attacks. ``limit``: the last one used; ``None`` where it differs."""

    check: str
    unit: str
    limit: float | None
    genuine: tuple[float, ...] = field(repr=False)
    attack: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PadFigures:
    """Everything measured on one corpus. ``verdict_s``, ``take_s``: p50 and p95. ``faces``: pairs of genuine takes."""

    policy: str
    seed: int
    people: int
    genuine: GenuineFigures
    species: tuple[SpeciesFigures, ...]
    digits: tuple[DigitFigures, ...]
    scores: tuple[ScoreSeries, ...]
    checks: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    verdict_s: tuple[float, float] | None
    take_s: tuple[float, float] | None
    faces: FacePairs | None

    @property
    def refuse_everybody(self) -> tuple[str, ...]:
        """Checks that no genuine take passed: what they catch of attacks says nothing."""
        judged = self.genuine.bpcer.tries
        return tuple(name for name, count in self.genuine.refused_by.items() if count == judged)

    @property
    def worst(self) -> SpeciesFigures | None:
        """The species with the highest APCER; among equals the one with the weaker bound."""
        judged = [each for each in self.species if each.apcer.tries]
        return max(judged, key=lambda each: (each.apcer.rate, each.apcer.upper95), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FacePairs:
    """Similarities of the start of genuine takes, and of photographs where there are some. ``limit``: of ``same_person``."""

    same: tuple[float, ...] = field(repr=False)
    other: tuple[float, ...] = field(repr=False)
    limit: float

    @property
    def fnmr(self) -> Rate:
        errors = sum(score < self.limit for score in self.same)
        return Rate(measure="FNMR", what="genuine", errors=errors, tries=len(self.same))

    @property
    def fmr(self) -> Rate:
        errors = sum(score >= self.limit for score in self.other)
        return Rate(measure="FMR", what="attack", errors=errors, tries=len(self.other))

    def curve(self) -> Trade | None:
        return trade(self.same, self.other) if self.same and self.other else None


def pad_figures(
    recordings: Sequence[Recording],
    found: Examinations,
    *,
    policy: str,
    also: Sequence[tuple[str, str]] = (),
    same_person: float,
    seed: int,
) -> PadFigures:
    """Tally everything. ``also``: further (species, policy) pairs that were examined. ``same_person``: limit of two faces."""
    genuine = [each for each in recordings if each.species is None]
    attacks: dict[str, list[Recording]] = defaultdict(list)
    for each in recordings:
        if each.species is not None:
            attacks[each.species].append(each)
    all_found = [found.found[key] for key in sorted(found.found)]
    checks = _checks_in_order(all_found)
    groups = grouped(checks)
    wanted = [*((name, policy) for name in attacks), *also]
    verdicts = [each for each in all_found if each.no_response is None]
    return PadFigures(
        policy=policy,
        seed=seed,
        people=len({each.person for each in genuine}),
        genuine=genuine_figures(genuine, found, policy=policy, seed=seed),
        species=tuple(
            species_figures(name, attacks[name], found, policy=under, checks=checks, groups=groups)
            for name, under in wanted
            if name in attacks
        ),
        digits=digit_figures(genuine, found, policy=policy),
        scores=score_series(recordings, found, policy=policy, checks=checks),
        checks=checks,
        groups=groups,
        verdict_s=_spread([each.verdict_ms / 1000 for each in verdicts]),
        take_s=_spread([each.take_ms / 1000 for each in found.of(genuine, policy) if each.no_response is None]),
        faces=face_pairs(genuine, found, limit=same_person),
    )


def species_figures(
    name: str,
    recordings: Sequence[Recording],
    found: Examinations,
    *,
    policy: str,
    checks: Sequence[str],
    groups: Mapping[str, Sequence[str]],
) -> SpeciesFigures:
    examined = found.of(_usual(recordings), policy)
    return SpeciesFigures(
        species=name,
        policy=policy,
        attempts=len(examined),
        no_response=sum(each.no_response is not None for each in examined),
        accepted=sum(each.live for each in examined),
        caught_by=_counts(examined, checks, lambda each, check: check in each.missed),
        only_by=_counts(examined, checks, lambda each, check: each.missed == {check}),
        without=_counts(examined, checks, lambda each, check: each.without(frozenset((check,)))),
        without_group={
            group: sum(each.without(frozenset(members)) for each in examined) for group, members in groups.items()
        },
        by_way=_split(recordings, found, policy, by=lambda each: each.way, counts=lambda each: each.live),
    )


def genuine_figures(recordings: Sequence[Recording], found: Examinations, *, policy: str, seed: int) -> GenuineFigures:
    usual = _usual(recordings)
    examined = found.of(usual, policy)
    judged = [each for each in examined if each.no_response is None]
    refused = partial(_split, found=found, policy=policy, counts=lambda each: not each.live)
    by_person = refused(usual, by=lambda each: each.person)
    refused_by = Counter(check for each in judged for check in each.missed)
    return GenuineFigures(
        policy=policy,
        takes=len(examined),
        no_response=len(examined) - len(judged),
        refused=sum(not each.live for each in judged),
        by_person=by_person,
        by_voice=refused(usual, by=lambda each: each.voice),
        by_way=refused(recordings, by=lambda each: each.way),
        refused_by=dict(sorted(refused_by.items(), key=lambda each: (-each[1], each[0]))),
        within_three=mean_all_fail(by_person),
        interval=bootstrap_interval(by_person, seed=seed),
    )


def _usual(recordings: Sequence[Recording]) -> Sequence[Recording]:
    """The headline is of what most people meet: other paths and live sessions have rates of their own."""
    return [each for each in recordings if each.way == limits.Path.STANDARD.value] or recordings


def _split(
    recordings: Sequence[Recording],
    found: Examinations,
    policy: str,
    *,
    by: Callable[[Recording], str],
    counts: Callable[[Examined], bool],
) -> dict[str, tuple[int, int]]:
    """For each group how many of its verdicts count, and of how many."""
    of = {each.file: by(each) for each in recordings}
    groups: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for each in found.of(recordings, policy):
        if each.no_response is None:
            groups[of[each.file]][0] += counts(each)
            groups[of[each.file]][1] += 1
    return {name: (counted, judged) for name, (counted, judged) in sorted(groups.items())}


def digit_figures(recordings: Sequence[Recording], found: Examinations, *, policy: str) -> tuple[DigitFigures, ...]:
    """By recogniser and voice, and with voice ``all`` over all voices of a recogniser."""
    voices = {each.file: each.voice for each in recordings}
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for examined in found.of(recordings, policy):
        for heard in examined.heard:
            for voice in (voices[examined.file], "all"):
                for place, more in enumerate((1, not heard.exact, heard.digits, heard.errors)):
                    sums[heard.engine, voice][place] += more
    return tuple(
        DigitFigures(engine=engine, voice=voice, strings=s, not_exact=n, digits=d, errors=e)
        for (engine, voice), (s, n, d, e) in sorted(sums.items())
    )


def score_series(
    recordings: Sequence[Recording], found: Examinations, *, policy: str, checks: Sequence[str]
) -> tuple[ScoreSeries, ...]:
    """Values of every check that gave more than one value in all."""
    real = {each.file for each in recordings if each.species is None}
    values: dict[str, tuple[list[float], list[float]]] = {check: ([], []) for check in checks}
    limits: dict[str, set[float]] = defaultdict(set)
    units: dict[str, str] = {}
    for examined in found.of(recordings, policy):
        for result in examined.results:
            units[result.name] = result.unit or units.get(result.name, "")
            if result.value is not None:
                values[result.name][examined.file not in real].append(result.value)
            if result.limit is not None:
                limits[result.name].add(result.limit)
    return tuple(
        ScoreSeries(
            check=check,
            unit=units.get(check, ""),
            limit=next(iter(limits[check])) if len(limits[check]) == 1 else None,
            genuine=tuple(genuine),
            attack=tuple(attack),
        )
        for check, (genuine, attack) in values.items()
        if len({*genuine, *attack}) > 1
    )


def face_pairs(recordings: Sequence[Recording], found: Examinations, *, limit: float) -> FacePairs | None:
    """Every pair of takes, of one person and of different people; ``None`` without templates."""
    made = [(each.person, found.templates[each.file]) for each in recordings if each.file in found.templates]
    same: list[float] = []
    other: list[float] = []
    for place, (person, one) in enumerate(made):
        for somebody, two in made[:place]:
            if one.contract_id == two.contract_id:
                (same if somebody == person else other).append(similarity(one, two))
    return FacePairs(same=tuple(same), other=tuple(other), limit=limit) if same or other else None


def grouped(checks: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """:data:`GROUPS` with the checks there are; those of no group together as ``other``."""
    named = {check for members in GROUPS.values() for check in members}
    groups = {name: tuple(check for check in members if check in checks) for name, members in GROUPS.items()}
    groups[_OTHER] = tuple(check for check in checks if check not in named)
    return {name: members for name, members in groups.items() if members}


def _checks_in_order(examined: Sequence[Examined]) -> tuple[str, ...]:
    """Names of all checks that gave results, in the order in which verdicts list them."""
    seen: dict[str, None] = {}
    for each in sorted(examined, key=lambda each: -len(each.results)):
        seen |= dict.fromkeys(result.name for result in each.results)
    return tuple(seen)


def _counts(
    examined: Sequence[Examined], checks: Sequence[str], holds: Callable[[Examined, str], bool]
) -> dict[str, int]:
    return {check: sum(holds(each, check) for each in examined) for check in checks}


def _spread(values: Sequence[float]) -> tuple[float, float] | None:
    p50, p95 = percentile(values, 50), percentile(values, 95)
    return None if p50 is None or p95 is None else (p50, p95)
