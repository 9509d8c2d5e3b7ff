"""The report that ISO/IEC 30107-3 asks for, from the tallies of ``lab.pad_rates``: JSON, a table for the terminal, Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lab.attacks import ATTACKS
from lab.pad_rates import DigitFigures, PadFigures, SpeciesFigures
from lab.rates import Rate, equal_error, upper_bound

if TYPE_CHECKING:
    from lab.evaluate import Report

LEFT: Mapping[str, str] = {
    "render_injection": (
        "pictures and sound are made by a program that does as asked and are fed in place of a camera; nothing in them is "
        "wrong. What is left is who made the recording: an attested device (assurance `attested`)."
    ),
    "screen_replay": (
        "a recording of the right digits and turns cannot exist before the challenge is drawn; shown live through a screen it "
        "is a person relayed in real time, or an injection. What is left is the time of answers to cues, and an attested "
        "device."
    ),
    "time_compressed": (
        "a take made slowly and sped up looks like one made quickly. In a live session the server's clock tells (`real_time`, "
        "`response_times`); a recording handed in whole has no such clock, and its verdict says `at_once`."
    ),
    "reencoded": (
        "the content is the person's own, done as asked; only the file was made again. A copy of one handed in before is "
        "known by its fingerprint (`new_capture`), which needs the earlier one and is not part of this corpus."
    ),
    "reencoded_unmarked": (
        "the content is the person's own, done as asked; only the file was made again, and names no editor. A copy of one "
        "handed in before is known by its fingerprint (`new_capture`), which needs the earlier one and is not part of this "
        "corpus."
    ),
    "voice_over": (
        "the face says other words in the rhythm of the digits, so that the mouth opens and closes nearly in time. Tighter "
        "limits on mouth and voice would stop more; how many real people they would turn away, nobody has measured yet."
    ),
    "second_person": (
        "a face that looks in at the edge may be found in no frame by the landmarks, and by the other detector in one look of "
        "about sixteen; one alone is taken for its slip. The person who is seen does all that is asked."
    ),
    "prompted": (
        "whoever prompts cannot be seen, and a soft voice is hardly heard; the person who is seen does all that is asked."
    ),
}
"""Why a species can get in although every check is there, and what would stop it."""

_EVERYBODY = "Attacks are stopped by checks that stop every genuine take too, so these figures say nothing of them"
_LEFT_OTHERWISE = "no check tells these attempts from genuine takes yet."
_LEFT_SOME = "the others were caught by {checks}; these look to every check like a genuine take."


# --- JSON ------------------------------------------------------------------------------------------------------------


def pad_json(pad: PadFigures) -> dict[str, object]:
    genuine = pad.genuine
    return {
        "policy": pad.policy,
        "people": pad.people,
        "worst_species": None if pad.worst is None else _under(pad.worst),
        "not_stopped": [{"species": _under(each), "why": why_left(each)} for each in not_stopped(pad)],
        "species": [
            {
                "species": each.species,
                "policy": each.policy,
                "attempts": each.attempts,
                "accepted": each.accepted,
                "apcer": each.apcer.as_json(),
                "apnrr": each.apnrr.as_json(),
                "by_way": {way: _share(*counts) for way, counts in each.by_way.items()},
                "caught_by": _found(each.caught_by),
                "caught_only_by": _found(each.only_by),
                "apcer_without_check": _rates(each.without, each),
                "apcer_without_group": _rates(each.without_group, each),
            }
            for each in pad.species
        ],
        "genuine": {
            "takes": genuine.takes,
            "bpcer": genuine.bpcer.as_json(),
            "bpcer_interval_by_person": None if genuine.interval is None else [round(v, 4) for v in genuine.interval],
            "bpcer_within_three": None if genuine.within_three is None else round(genuine.within_three, 6),
            "bpnrr": genuine.bpnrr.as_json(),
            "by_person": {name: _share(*counts) for name, counts in genuine.by_person.items()},
            "by_voice": {name: _share(*counts) for name, counts in genuine.by_voice.items()},
            "by_way": {name: _share(*counts) for name, counts in genuine.by_way.items()},
            "refused_by": dict(genuine.refused_by),
        },
        "digits": [
            {
                "engine": each.engine,
                "voice": each.voice,
                "not_exact": _share(each.not_exact, each.strings),
                "digit_error": round(each.errors / each.digits, 4) if each.digits else None,
            }
            for each in pad.digits
        ],
        "seconds_to_verdict": _p50_p95(pad.verdict_s),
        "seconds_of_take": _p50_p95(pad.take_s),
        "faces": None
        if pad.faces is None
        else {"limit": pad.faces.limit, "fmr": pad.faces.fmr.as_json(), "fnmr": pad.faces.fnmr.as_json()},
    }


def not_stopped(pad: PadFigures) -> list[SpeciesFigures]:
    return [each for each in pad.species if each.accepted]


def why_left(figures: SpeciesFigures) -> str:
    """What is known to be left of this species, or which checks catch some of it."""
    catching = list(_found(figures.caught_by))[:3]
    some = _LEFT_SOME.format(checks=", ".join(catching)) if catching else _LEFT_OTHERWISE
    return LEFT.get(figures.species, some)


def _under(figures: SpeciesFigures) -> str:
    return f"{figures.species} ({figures.policy})"


def _found(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in sorted(counts.items(), key=lambda each: (-each[1], each[0])) if count}


def _rates(counts: Mapping[str, int], figures: SpeciesFigures) -> dict[str, float]:
    """Of those left out that let more in than get in anyway."""
    judged = max(figures.apcer.tries, 1)
    return {name: round(count / judged, 4) for name, count in counts.items() if count > figures.accepted}


def _share(errors: int, tries: int) -> dict[str, object]:
    rate = round(errors / tries, 4) if tries else None
    return {"errors": errors, "tries": tries, "rate": rate, "upper95": round(upper_bound(errors, tries), 4)}


def _p50_p95(values: tuple[float, float] | None) -> dict[str, float] | None:
    return None if values is None else {"p50": round(values[0], 2), "p95": round(values[1], 2)}


# --- the terminal ----------------------------------------------------------------------------------------------------


def pad_table(pad: PadFigures) -> str:
    lines = [
        f"{'attack species':<28}{'attempts':>9}{'accepted':>10}{'APCER':>8}{'<= (95 %)':>11}{'APNRR':>8}  caught most by"
    ]
    for each in sorted(pad.species, key=lambda each: (-each.accepted, each.species)):
        name = each.species if each.policy == pad.policy else _under(each)
        apcer = each.apcer
        lines.append(
            f"{name:<28}{each.attempts:>9}{each.accepted:>10}{_percent(apcer.rate, apcer.tries):>8}{apcer.upper95:>11.1%}"
            f"{_percent(each.apnrr.rate, each.attempts):>8}  {', '.join(list(_found(each.caught_by))[:3]) or '-'}"
        )
    if pad.worst is not None:
        lines.append(f"worst species: {_under(pad.worst)}")
    if pad.refuse_everybody:
        lines.append(f"{_EVERYBODY}: {', '.join(pad.refuse_everybody)}")
    lines += ["", f"{'genuine':<28}{'tries':>9}{'refused':>10}{'rate':>8}{'<= (95 %)':>11}"]
    for name, rate in _genuine_rates(pad):
        lines.append(
            f"{name:<28}{rate.tries:>9}{rate.errors:>10}{_percent(rate.rate, rate.tries):>8}{rate.upper95:>11.1%}"
        )
    genuine = pad.genuine
    if genuine.within_three is not None:
        lines.append(f"BPCER within three tries: {genuine.within_three:.2%}")
    if genuine.interval is not None:
        low, high = genuine.interval
        lines.append(f"BPCER, 95 % interval by person: {low:.1%} to {high:.1%}")
    if genuine.refused_by:
        lines.append("refused by: " + ", ".join(f"{name} {count}" for name, count in genuine.refused_by.items()))
    for name, values in (("seconds to verdict", pad.verdict_s), ("seconds of take", pad.take_s)):
        if values is not None:
            lines.append(f"{name}: p50 {values[0]:.1f}, p95 {values[1]:.1f}")
    return "\n".join(lines)


def _genuine_rates(pad: PadFigures) -> Iterator[tuple[str, Rate]]:
    yield "BPCER, one try", pad.genuine.bpcer
    for way, (refused, tries) in pad.genuine.by_way.items():
        yield f"  {way}", Rate(measure=way, what="genuine", errors=refused, tries=tries)
    yield "BPNRR", pad.genuine.bpnrr


def _percent(rate: float, tries: int) -> str:
    return f"{rate:.1%}" if tries else "-"


# --- Markdown --------------------------------------------------------------------------------------------------------


def markdown(report: Report, plots: Mapping[str, str]) -> str:
    """The report as a page. ``plots``: name of a plot to its file, relative to the page."""
    parts = [_head(report)]
    if report.pad is not None:
        pad = report.pad
        parts += [
            _summary(pad),
            _species_section(pad, plots),
            _left_section(pad),
            _ablation_section(pad, plots),
            _genuine_section(pad),
            _digits_section(pad.digits),
            _faces_section(report, plots),
            _scores_section(plots),
        ]
    if report.rates:
        parts.append(_real_section(report.rates))
    parts.append(_limits_section(report))
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(report: Report) -> str:
    machine = report.machine
    rows = [
        ("measured", f"{report.measured_at:%Y-%m-%d}"),
        ("policy", f"`{report.policy}`"),
        *((role.replace("_", " "), f"`{version}`") for role, version in sorted(report.models.items())),
        ("machine", f"{machine.cores} cores, Python {machine.python}, {machine.system}"),
    ]
    return (
        "# How well the live check withstands attacks\n\n"
        "Made by `make bench REPORT=docs/pad-report.md`. Terms as in ISO/IEC 30107-3: every species of attack stands alone, "
        "and each rate has the exact one-sided 95 % upper bound (Clopper-Pearson) beside it.\n\n"
        + _table(("", ""), rows)
    )


def _summary(pad: PadFigures) -> str:
    worst, genuine = pad.worst, pad.genuine
    stopped = [each for each in pad.species if not each.accepted and each.apcer.tries]
    lines = [
        "## In short\n",
        f"- {len(stopped)} of {len(pad.species)} species never got in."
        + ("" if not stopped else f" Weakest bound among them: {max(s.apcer.upper95 for s in stopped):.1%}."),
    ]
    if worst is not None:
        lines.append(
            f"- Worst species: **{_under(worst)}**, {worst.accepted} of {worst.apcer.tries} accepted "
            f"(APCER {worst.apcer.rate:.1%}, at most {worst.apcer.upper95:.1%})."
        )
    if pad.refuse_everybody:
        lines.append(f"- **{_EVERYBODY}**: {', '.join(f'`{name}`' for name in pad.refuse_everybody)}.")
    lines.append(
        f"- Genuine takes refused: {genuine.refused} of {genuine.bpcer.tries} "
        f"(BPCER {_percent(genuine.bpcer.rate, genuine.bpcer.tries)}, at most {genuine.bpcer.upper95:.1%}), {pad.people} people"
        + ("" if genuine.within_three is None else f"; refused three times in a row: {genuine.within_three:.2%}")
        + "."
    )
    if pad.verdict_s is not None and pad.take_s is not None:
        lines.append(
            f"- Time to verdict: {pad.verdict_s[0]:.1f} s (p50), {pad.verdict_s[1]:.1f} s (p95), with as many "
            f"recordings at a time as cores; takes last {pad.take_s[0]:.1f} s (p50), {pad.take_s[1]:.1f} s (p95)."
        )
    return "\n".join(lines)


def _species_section(pad: PadFigures, plots: Mapping[str, str]) -> str:
    rows = [
        (
            f"`{each.species}`" + ("" if each.policy == pad.policy else f" under `{each.policy}`"),
            str(each.attempts),
            str(each.accepted),
            _percent(each.apcer.rate, each.apcer.tries),
            f"{each.apcer.upper95:.1%}",
            _percent(each.apnrr.rate, each.attempts),
            ", ".join(f"{name} {count}" for name, count in list(_found(each.caught_by).items())[:3]) or "-",
            ", ".join(f"{name} {count}" for name, count in _found(each.only_by).items()) or "-",
        )
        for each in sorted(pad.species, key=lambda each: (-each.apcer.rate if each.apcer.tries else 1, each.species))
    ]
    heads = ("species", "attempts", "accepted", "APCER", "at most", "APNRR", "caught most by", "caught by it alone")
    about = [
        f"- `{name}`: {ATTACKS[name].summary}"
        for name in dict.fromkeys(each.species for each in pad.species)
        if name in ATTACKS
    ]
    return "\n\n".join(
        part
        for part in (
            "## Attacks, by species",
            _picture(plots, "apcer", "APCER of each species with its bound"),
            _table(heads, rows),
            "\n".join(about),
            _by_way(pad),
        )
        if part
    )


def _by_way(pad: PadFigures) -> str:
    ways = sorted({way for each in pad.species for way in each.by_way})
    if len(ways) < 2:
        return ""
    rows = [
        (f"`{each.species}`", *(_accepted(*each.by_way[way]) if way in each.by_way else "-" for way in ways))
        for each in pad.species
        if each.policy == pad.policy
    ]
    return (
        "Accepted, by the path that the person attacked had chosen, and in live sessions, where each step is shown when its "
        "turn comes; what stands above is of the standard path handed in whole:\n\n" + _table(("species", *ways), rows)
    )


def _accepted(accepted: int, judged: int) -> str:
    return f"{accepted} of {judged} (at most {upper_bound(accepted, judged):.1%})"


def _left_section(pad: PadFigures) -> str:
    left = not_stopped(pad)
    if not left:
        return "## Not stopped\n\nNo species got in."
    lines = [
        f"- **{_under(each)}**: {each.accepted} of {each.apcer.tries} accepted. {why_left(each)[0].upper()}{why_left(each)[1:]}"
        for each in left
    ]
    return "## Not stopped\n\n" + "\n".join(lines)


def _ablation_section(pad: PadFigures, plots: Mapping[str, str]) -> str:
    rows = []
    for each in pad.species:
        if each.policy != pad.policy:
            continue
        alone, together = _rates(each.without, each), _rates(each.without_group, each)
        rows.append(
            (
                f"`{each.species}`",
                ", ".join(f"{name} {rate:.0%}" for name, rate in alone.items()) or "-",
                ", ".join(f"{name} {rate:.0%}" for name, rate in together.items()) or "-",
            )
        )
    members_of = "\n".join(f"- {name}: {', '.join(members)}" for name, members in pad.groups.items())
    return "\n\n".join(
        part
        for part in (
            "## What each check is worth",
            "How many attempts would get in without one check, and without a whole group, all others in force. A dash: none "
            "more, as others catch them too.",
            _picture(plots, "ablation", "Share of attempts that get in without a check"),
            _table(("species", "without the check", "without the group"), rows),
            members_of,
        )
        if part
    )


def _genuine_section(pad: PadFigures) -> str:
    genuine = pad.genuine
    rows = [
        (name.strip(), str(rate.tries), str(rate.errors), _percent(rate.rate, rate.tries), f"{rate.upper95:.1%}")
        for name, rate in _genuine_rates(pad)
    ]
    rows += [
        (
            f"person {name}",
            str(tries),
            str(refused),
            _percent(refused / max(tries, 1), tries),
            f"{upper_bound(refused, tries):.1%}",
        )
        for name, (refused, tries) in genuine.by_person.items()
    ]
    if genuine.by_voice != genuine.by_person:
        rows += [
            (
                f"voice {name}",
                str(tries),
                str(refused),
                _percent(refused / max(tries, 1), tries),
                f"{upper_bound(refused, tries):.1%}",
            )
            for name, (refused, tries) in genuine.by_voice.items()
        ]
    text = ["## Genuine takes", _table(("", "tries", "refused", "rate", "at most"), rows)]
    if genuine.interval is not None:
        low, high = genuine.interval
        text.append(
            f"Tries of one person are alike, so the interval of the BPCER is drawn by person (bootstrap, 2000 resamples, seed "
            f"{pad.seed}): {low:.1%} to {high:.1%}."
            + ("" if genuine.refused else " With no refusal it says nothing; the exact bound above does.")
        )
    if genuine.within_three is not None:
        text.append(
            f"Refused three times in a row: {genuine.within_three:.3%}. For each person with n takes of which f were refused, "
            "the chance that three of them, drawn without replacement, were all refused is C(f,3)/C(n,3); the mean over people "
            "with three takes or more is given."
        )
    if genuine.refused_by:
        text.append("Refused by: " + ", ".join(f"`{name}` {count}" for name, count in genuine.refused_by.items()) + ".")
    return "\n\n".join(text)


def _digits_section(digits: Sequence[DigitFigures]) -> str:
    if not digits:
        return ""
    rows = [
        (
            each.engine,
            each.voice,
            str(each.strings),
            f"{1 - each.not_exact / each.strings:.1%}",
            f"{upper_bound(each.not_exact, each.strings):.1%}",
            f"{each.errors / each.digits:.2%}",
        )
        for each in digits
        if each.strings and each.digits
    ]
    heads = ("recogniser", "voice", "strings", "exact", "not exact, at most", "digit error")
    return "## Digits heard in genuine takes\n\n" + _table(heads, rows)


def _faces_section(report: Report, plots: Mapping[str, str]) -> str:
    pad = report.pad
    if pad is None or pad.faces is None:
        return ""
    faces = pad.faces
    text = [
        "## Telling people apart",
        f"Every pair of genuine takes by its first face, limit {faces.limit:g}: FNMR {faces.fnmr.errors} of "
        f"{faces.fnmr.tries}, FMR {faces.fmr.errors} of {faces.fmr.tries}. Pairs share people, so they are not independent and "
        "bounds would flatter; simulated people are fewer and more alike than real ones.",
    ]
    curve = faces.curve()
    if curve is not None:
        text.append(f"Equal error rate: {equal_error(curve):.2%}.")
    text.append(_picture(plots, "det", "Detection error trade-off of faces"))
    return "\n\n".join(part for part in text if part)


def _scores_section(plots: Mapping[str, str]) -> str:
    picture = _picture(plots, "scores", "Values of every check, genuine takes against attacks")
    return f"## Values of every check\n\n{picture}" if picture else ""


def _real_section(rates: Sequence[Rate]) -> str:
    rows = [
        (
            rate.measure,
            rate.what,
            str(rate.errors),
            str(rate.tries),
            _percent(rate.rate, rate.tries),
            f"{rate.upper95:.1%}",
        )
        for rate in rates
    ]
    return "## Recordings of real people\n\n" + _table(("measure", "of", "errors", "tries", "rate", "at most"), rows)


def _limits_section(report: Report) -> str:
    pad = report.pad
    lines = ["## What this report does not say\n"]
    if pad is not None:
        lines += [
            "- Takes are independent draws of one simulator, not of the world: no real light, skin, glasses, accents, phones "
            "or masks. The figures tell what the checks do to known attacks; they are no certificate.",
            "- A species is one way of making an attack. Whoever makes it better than we did is not in these figures.",
            "- What is not in a recording cannot be seen in it: device, network and the time of answers are judged in live "
            "sessions only.",
        ]
    lines.append(
        "- Nothing was tuned to what is measured here; limits and their sources stand in `liveness/policy.py`."
    )
    lines += [f"- Note: {note}" for note in report.notes]
    return "\n".join(lines)


def _picture(plots: Mapping[str, str], name: str, what: str) -> str:
    return f"![{what}]({plots[name]})" if name in plots else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def write_markdown(report: Report, out: Path, plots: Sequence[Path]) -> None:
    """Write the page to ``out``; pictures are linked relative to it."""
    import os

    links = {each.stem: Path(os.path.relpath(each, out.parent)).as_posix() for each in plots}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(markdown(report, links), encoding="utf-8")
