"""A verdict as one picture: yaw, mouth and recognised digits over time, and every check with its value.

Shows no photograph of anybody; made for auditors and for the README.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from liveness.challenge import Direction
from liveness.checks import mouth_opening, turns_made
from liveness.examine import Examination
from liveness.policy import LivenessPolicy
from liveness.turns import baseline, yaw_over_time
from liveness.verdict import CheckResult, Outcome

_INK, _SOFT, _GREEN, _RED, _AMBER, _BLUE = "#1d2433", "#8a93a6", "#1f8a5b", "#c2403a", "#b9770e", "#2f5fd0"
_COLOUR = {Outcome.PASS: _GREEN, Outcome.FAIL: _RED, Outcome.CANNOT_JUDGE: _AMBER}
_MARK = {Outcome.PASS: "\N{CHECK MARK}", Outcome.FAIL: "\N{MULTIPLICATION X}", Outcome.CANNOT_JUDGE: "?"}


def plot(examination: Examination, policy: LivenessPolicy, out: Path) -> None:
    """Draw ``examination`` to ``out`` (PNG, 1600 x 900)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 9), dpi=100, facecolor="white")
    grid = figure.add_gridspec(
        3,
        2,
        width_ratios=(2.4, 1),
        height_ratios=(2.2, 1.5, 0.5),
        left=0.06,
        right=0.98,
        top=0.88,
        bottom=0.08,
        hspace=0.12,
    )
    yaw_axes = figure.add_subplot(grid[0, 0])
    mouth_axes = figure.add_subplot(grid[1, 0], sharex=yaw_axes)
    words_axes = figure.add_subplot(grid[2, 0], sharex=yaw_axes)
    checks_axes = figure.add_subplot(grid[:, 1])
    for axes in (yaw_axes, mouth_axes, words_axes):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=_SOFT, labelcolor=_INK)
    _title(figure, examination)
    _draw_yaw(yaw_axes, examination, policy)
    _draw_mouth(mouth_axes, examination)
    _draw_words(words_axes, examination)
    _draw_checks(checks_axes, examination)
    yaw_axes.set_xlim(0, max(examination.evidence.facts.duration_ms / 1000, 1))
    yaw_axes.tick_params(labelbottom=False)
    mouth_axes.tick_params(labelbottom=False)
    figure.savefig(out, format="png", metadata={"Software": "Mien"})


def _title(figure: Any, examination: Examination) -> None:
    live = examination.live
    colour = _GREEN if live else _RED
    figure.text(0.06, 0.935, "Live" if live else "Not live", fontsize=30, weight="bold", color=colour)
    asked = examination.challenge
    arrows = "  ".join(
        "\N{LEFTWARDS ARROW} left" if d is Direction.LEFT else "right \N{RIGHTWARDS ARROW}" for d in asked.turns
    )
    figure.text(0.19, 0.945, f"asked: {' '.join(asked.digits)}    then  {arrows}", fontsize=15, color=_INK)
    figure.text(0.98, 0.945, f"policy {examination.verdict.policy}", fontsize=11, color=_SOFT, ha="right")


def _draw_yaw(axes: Any, examination: Examination, policy: LivenessPolicy) -> None:
    evidence = examination.evidence
    axes.set_ylabel("head turn (deg)", color=_INK)
    limit = policy.turn_yaw.value
    axes.set_ylim(-50, 50)
    axes.axhspan(limit, 50, color=_BLUE, alpha=0.06, lw=0)
    axes.axhspan(-50, -limit, color=_BLUE, alpha=0.06, lw=0)
    axes.text(0.2, 0.97, f"person's left, from {limit:g}°", transform=axes.transAxes, va="top", color=_SOFT)
    axes.text(0.2, 0.03, f"person's right, from {limit:g}°", transform=axes.transAxes, color=_SOFT)
    if evidence.track is None:
        return
    front = baseline(evidence.track, policy=policy, mirrored=evidence.mirrored)
    zero = 0.0 if front is None else front.yaw_deg
    yaw = yaw_over_time(evidence.track, mirrored=evidence.mirrored)
    axes.plot([t / 1000 for t, _ in yaw], [degrees - zero for _, degrees in yaw], color=_INK, lw=1.8)
    if front is not None:
        axes.axvspan(front.start_ms / 1000, front.end_ms / 1000, color=_GREEN, alpha=0.15, lw=0)
        axes.text(front.end_ms / 1000 + 0.08, 43, "baseline", color=_GREEN, fontsize=9)
    for turn in turns_made(evidence, policy) or ():
        side = 1 if turn.direction is Direction.LEFT else -1
        axes.annotate(
            f"{turn.direction.value} {turn.peak_deg:.0f}°\n{turn.held_ms / 1000:.1f} s",
            ((turn.reached_ms + turn.held_ms / 2) / 1000, side * turn.peak_deg),
            ((turn.reached_ms + turn.held_ms / 2) / 1000, side * (turn.peak_deg + 9) - 2),
            color=_BLUE,
            ha="center",
            fontsize=10,
        )
    for taken in evidence.templates:
        axes.plot([taken.at_ms / 1000], [0], marker="o", ms=5, color=_AMBER, zorder=3)
    axes.plot([], [], marker="o", ls="", color=_AMBER, label="face template taken")
    axes.legend(loc="lower left", frameon=False, fontsize=9, labelcolor=_SOFT)


def _draw_mouth(axes: Any, examination: Examination) -> None:
    axes.set_ylabel("mouth opening", color=_INK)
    evidence = examination.evidence
    if evidence.track is not None:
        seen = [(s.at_ms / 1000, mouth_opening(s.faces[0])) for s in evidence.track.sightings if s.faces]
        axes.fill_between([t for t, _ in seen], [m for _, m in seen], color=_BLUE, alpha=0.25, lw=0)
        axes.plot([t for t, _ in seen], [m for _, m in seen], color=_BLUE, lw=1.2)
    axes.set_ylim(bottom=0)
    for word in evidence.transcript.words if evidence.transcript else ():
        axes.axvspan(word.start_ms / 1000, word.end_ms / 1000, color=_AMBER, alpha=0.12, lw=0)


def _draw_words(axes: Any, examination: Examination) -> None:
    axes.set_ylabel("heard", color=_INK)
    axes.set_xlabel("seconds", color=_INK)
    axes.set_yticks([])
    axes.set_ylim(0, 1)
    transcript = examination.evidence.transcript
    for word in transcript.words if transcript else ():
        start, end = word.start_ms / 1000, word.end_ms / 1000
        axes.axvspan(start, end, color=_AMBER, alpha=0.25, lw=0)
        axes.text((start + end) / 2, 0.5, word.text, ha="center", va="center", fontsize=15, weight="bold", color=_INK)


def _draw_checks(axes: Any, examination: Examination) -> None:
    axes.axis("off")
    results = examination.verdict.results
    for row, result in enumerate(results):
        height = 1 - (row + 0.5) / len(results)
        colour = _COLOUR[result.outcome]
        axes.text(0.0, height, _MARK[result.outcome], color=colour, fontsize=14, va="center", weight="bold")
        axes.text(0.07, height + 0.011, result.name.replace("_", " "), color=_INK, fontsize=11, va="center")
        axes.text(0.07, height - 0.012, _detail(result), color=_SOFT, fontsize=8.5, va="center")


def _detail(result: CheckResult) -> str:
    if result.value is None or result.limit is None:
        return "not measured"
    return f"{result.value:g} {result.unit}   (limit {result.limit:g})"
