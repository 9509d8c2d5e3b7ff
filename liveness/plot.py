"""A verdict as one picture: what was asked and when it was done, head, mouth and voice over time, and every check.

Read from the top: the answer and why; the steps as they were asked (with the cue's time where there was one) over the steps as
they were done; then the head, the mouth and the sound on one clock; to the right every check, failed ones first in red. Shows
no photograph of anybody; made for auditors and for the README.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from liveness.challenge import Direction, Nod, SayDigits, Step, Turn
from liveness.checks import nods_made, step_spans, turns_made
from liveness.evidence import Evidence
from liveness.examine import Examination
from liveness.lips import mouth_opening
from liveness.nods import pitch_over_time
from liveness.policy import LivenessPolicy
from liveness.reasons import Reason
from liveness.turns import baseline, yaw_over_time
from liveness.verdict import CheckResult, NotLive, Outcome

_INK, _SOFT, _GREEN, _RED, _AMBER, _BLUE = "#1d2433", "#8a93a6", "#1f8a5b", "#c2403a", "#b9770e", "#2f5fd0"
_COLOUR = {Outcome.PASS: _GREEN, Outcome.FAIL: _RED, Outcome.CANNOT_JUDGE: _AMBER}
_MARK = {Outcome.PASS: "\N{CHECK MARK}", Outcome.FAIL: "\N{MULTIPLICATION X}", Outcome.CANNOT_JUDGE: "?"}
_FIRST = {Outcome.FAIL: 0, Outcome.CANNOT_JUDGE: 1, Outcome.PASS: 2}
_MOST_REASONS = 5
_QUIETEST = -80.0  # dBFS drawn; below, nothing is heard


def plot(examination: Examination, policy: LivenessPolicy, out: Path) -> None:
    """Draw ``examination`` to ``out`` (PNG, 1600 x 1000)."""
    from matplotlib.figure import Figure

    own = examination.challenge.limits(policy)
    figure = Figure(figsize=(16, 10), dpi=100, facecolor="white")
    grid = figure.add_gridspec(
        4,
        2,
        width_ratios=(2.3, 1),
        height_ratios=(0.55, 2.1, 1.3, 0.9),
        left=0.06,
        right=0.98,
        top=0.86,
        bottom=0.06,
        hspace=0.12,
        wspace=0.06,
    )
    steps_axes = figure.add_subplot(grid[0, 0])
    rows = [steps_axes, *(figure.add_subplot(grid[row, 0], sharex=steps_axes) for row in (1, 2, 3))]
    for axes in rows:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=_SOFT, labelcolor=_INK)
        axes.tick_params(labelbottom=axes is rows[-1])
    _title(figure, examination)
    _draw_steps(steps_axes, examination, own)
    _draw_head(rows[1], examination, own)
    _draw_mouth(rows[2], examination, own)
    _draw_sound(rows[3], examination.evidence)
    _draw_cues(rows[1:], examination.evidence)
    _draw_checks(figure.add_subplot(grid[:, 1]), examination)
    steps_axes.set_xlim(0, max(examination.evidence.facts.duration_ms / 1000, 1))
    figure.savefig(out, format="png", metadata={"Software": "Mien"})


def _title(figure: Any, examination: Examination) -> None:
    verdict = examination.verdict
    colour = _GREEN if examination.live else _RED
    figure.text(0.06, 0.94, "Live" if examination.live else "Not live", fontsize=30, weight="bold", color=colour)
    asked = examination.challenge
    steps = "   ".join(_short(step) for step in asked.steps)
    figure.text(0.19, 0.952, f"asked:  {steps}", fontsize=15, color=_INK)
    chosen = asked.path.value.replace("_", " ") + (", more time" if asked.extra_time else "")
    shown = f"{chosen} path, revealed {asked.reveal.value.replace('_', ' ')}, policy {verdict.policy}"
    figure.text(0.19, 0.925, shown, fontsize=11, color=_SOFT)
    if isinstance(verdict, NotLive):
        told = [reason.value.replace("_", " ") for reason in verdict.reasons]
        more = f"  and {len(told) - _MOST_REASONS} more" if len(told) > _MOST_REASONS else ""
        why = "because:  " + ",  ".join(told[:_MOST_REASONS]) + more
        figure.text(0.06, 0.89, why, fontsize=13, color=_RED)
    else:
        figure.text(0.06, 0.89, f"assurance: {verdict.assurance.value}", fontsize=13, color=_GREEN)


def _short(step: Step) -> str:
    match step:
        case SayDigits():
            return " ".join(step.digits)
        case Turn():
            return "\N{LEFTWARDS ARROW} left" if step.direction is Direction.LEFT else "right \N{RIGHTWARDS ARROW}"
        case Nod():
            return f"nod \N{MULTIPLICATION SIGN}{step.times}"


def _draw_steps(axes: Any, examination: Examination, policy: LivenessPolicy) -> None:
    """The steps asked for as bars where they were done; nothing where that is not known."""
    axes.set_yticks([])
    axes.set_ylim(0, 1)
    axes.set_ylabel("done", color=_INK)
    spans = step_spans(examination.evidence, examination.challenge, policy)
    if isinstance(spans, Reason):
        told = spans.value.replace("_", " ")
        axes.text(
            0.5, 0.5, f"not all steps were done: {told}", transform=axes.transAxes, ha="center", va="center", color=_RED
        )
        return
    for step, (start_ms, end_ms) in zip(examination.challenge.steps, spans, strict=True):
        colour = _AMBER if isinstance(step, SayDigits) else _BLUE
        axes.axvspan(start_ms / 1000, end_ms / 1000, 0.12, 0.88, color=colour, alpha=0.18, lw=0)
        middle = (start_ms + end_ms) / 2000
        axes.text(middle, 0.5, _short(step), ha="center", va="center", fontsize=11, color=_INK, clip_on=True)


def _draw_head(axes: Any, examination: Examination, policy: LivenessPolicy) -> None:
    evidence = examination.evidence
    axes.set_ylabel("head turn (deg)", color=_INK)
    limit = policy.turn_yaw.value
    axes.set_ylim(-50, 50)
    axes.axhspan(limit, 50, color=_BLUE, alpha=0.06, lw=0)
    axes.axhspan(-50, -limit, color=_BLUE, alpha=0.06, lw=0)
    axes.text(0.01, 0.97, f"person's left, from {limit:g}°", transform=axes.transAxes, va="top", color=_SOFT)
    axes.text(0.01, 0.03, f"person's right, from {limit:g}°", transform=axes.transAxes, color=_SOFT)
    if evidence.track is None:
        return
    front = baseline(evidence.track, policy=policy, mirrored=evidence.mirrored)
    zero = 0.0 if front is None else front.yaw_deg
    yaw = yaw_over_time(evidence.track, mirrored=evidence.mirrored)
    axes.plot([t / 1000 for t, _ in yaw], [degrees - zero for _, degrees in yaw], color=_INK, lw=1.8)
    if front is not None:
        axes.axvspan(front.start_ms / 1000, front.end_ms / 1000, color=_GREEN, alpha=0.15, lw=0)
        axes.text(front.end_ms / 1000 + 0.08, 36, "baseline", color=_GREEN, fontsize=9)
        if examination.challenge.nods:
            pitch = pitch_over_time(evidence.track, front, mirrored=evidence.mirrored, policy=policy)
            axes.plot([t / 1000 for t, _ in pitch], [-down for _, down in pitch], color=_BLUE, lw=1, alpha=0.6)
            axes.plot([], [], color=_BLUE, lw=1, alpha=0.6, label="chin, down is down")
    depths = {each.turn: each.residual for each in evidence.parallax}
    for number, turn in enumerate(turns_made(evidence, policy) or ()):
        side = 1 if turn.direction is Direction.LEFT else -1
        depth = f"\ndepth {depths[number]:.3f}" if number in depths else ""
        axes.text(
            (turn.reached_ms + turn.held_ms / 2) / 1000,
            side * min(turn.peak_deg + 3, 36),
            f"{turn.direction.value} {turn.peak_deg:.0f}°, {turn.held_ms / 1000:.1f} s{depth}",
            color=_BLUE,
            ha="center",
            va="bottom" if side > 0 else "top",
            fontsize=9,
        )
    for group in nods_made(evidence, policy) or () if examination.challenge.nods else ():
        middle = (group.start_ms + group.end_ms) / 2000
        axes.text(middle, -24, f"{group.times} nods", color=_BLUE, ha="center", fontsize=9)
    for taken in evidence.templates:
        axes.plot([taken.at_ms / 1000], [0], marker="o", ms=4, color=_AMBER, zorder=3)
    axes.plot([], [], marker="o", ls="", color=_AMBER, label="face compared")
    axes.legend(loc="lower right", frameon=False, fontsize=9, labelcolor=_SOFT, ncols=2)


def _draw_mouth(axes: Any, examination: Examination, policy: LivenessPolicy) -> None:
    axes.set_ylabel("mouth opening", color=_INK)
    evidence = examination.evidence
    if evidence.track is not None:
        seen = [(s.at_ms / 1000, mouth_opening(s.faces[0])) for s in evidence.track.sightings if s.faces]
        axes.fill_between([t for t, _ in seen], [m for _, m in seen], color=_BLUE, alpha=0.25, lw=0)
        axes.plot([t for t, _ in seen], [m for _, m in seen], color=_BLUE, lw=1.2)
    axes.set_ylim(bottom=0, top=max(axes.get_ylim()[1], 2 * policy.mouth_range.value))
    for word in evidence.transcript.words if evidence.transcript else ():
        axes.axvspan(word.start_ms / 1000, word.end_ms / 1000, color=_AMBER, alpha=0.12, lw=0)


def _draw_sound(axes: Any, evidence: Evidence) -> None:
    axes.set_ylabel("sound (dBFS)", color=_INK)
    axes.set_xlabel("seconds", color=_INK)
    axes.set_ylim(_QUIETEST, 12)
    axes.set_yticks([-60, -30, 0])
    if evidence.sound is not None:
        sound = evidence.sound
        times = [(sound.start_ms + i * sound.hop_ms) / 1000 for i in range(len(sound.loudness_dbfs))]
        heights = [max(level, _QUIETEST) for level in sound.loudness_dbfs]
        axes.fill_between(times, heights, _QUIETEST, color=_SOFT, alpha=0.35, lw=0)
    for word in evidence.transcript.words if evidence.transcript else ():
        start, end = word.start_ms / 1000, word.end_ms / 1000
        axes.axvspan(start, end, color=_AMBER, alpha=0.2, lw=0)
        axes.text((start + end) / 2, 0, word.text, ha="center", va="center", fontsize=14, weight="bold", color=_INK)


def _draw_cues(rows: list[Any], evidence: Evidence) -> None:
    """A dashed line where each cue could first be seen."""
    for cue in evidence.timing.cues if evidence.timing else ():
        for axes in rows:
            axes.axvline(cue.at_ms / 1000, color=_GREEN, lw=1, ls=(0, (4, 3)), alpha=0.8)
        label = f"cue {cue.step + 1}"
        rows[0].text(cue.at_ms / 1000 + 0.05, 46, label, color=_GREEN, fontsize=9, va="center", clip_on=True)


def _draw_checks(axes: Any, examination: Examination) -> None:
    axes.axis("off")
    results = sorted(examination.verdict.results, key=lambda result: _FIRST[result.outcome])
    for row, result in enumerate(results):
        height = 1 - (row + 0.5) / len(results)
        colour = _COLOUR[result.outcome]
        axes.text(0.0, height, _MARK[result.outcome], color=colour, fontsize=12, va="center", weight="bold")
        name = result.name.replace("_", " ")
        weight = "normal" if result.outcome is Outcome.PASS else "bold"
        ink = _INK if result.outcome is Outcome.PASS else colour
        axes.text(0.06, height, name, color=ink, fontsize=10, va="center", weight=weight)
        axes.text(1.0, height, _detail(result), color=_SOFT, fontsize=7.5, va="center", ha="right")


def _detail(result: CheckResult) -> str:
    if result.value is None or result.limit is None:
        return "not measured"
    unit = result.unit if len(result.unit) <= 26 else result.unit.split(",")[0][:26]
    return f"{result.value:g} {unit}   (limit {result.limit:g})"
