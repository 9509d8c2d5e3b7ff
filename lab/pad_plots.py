"""The report's pictures (PNG): APCER of each species, what each check is worth, faces told apart, values of every check."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from lab.pad_rates import PadFigures, ScoreSeries
from lab.rates import Trade, trade

_INK, _SOFT, _FAINT = "#1d2433", "#8a93a6", "#e3e7ef"
_GREEN, _RED, _BLUE = "#1f8a5b", "#c2403a", "#2f5fd0"
_DPI = 110
_BINS = 28
_RATES = (0.0001, 0.001, 0.01, 0.05, 0.2, 0.5)  # marks of the DET axes


def draw_plots(pad: PadFigures, photographs: tuple[list[float], list[float]] | None, folder: Path) -> list[Path]:
    """Draw what there are figures for into ``folder``; gives the files. ``photographs``: similarities, as in ``Report``."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[Path] = []
    if pad.species:
        drawn += [_apcer(pad, folder / "apcer.png"), _ablation(pad, folder / "ablation.png")]
    curves: list[tuple[str, str, Trade]] = []
    simulated = None if pad.faces is None else pad.faces.curve()
    if simulated is not None and pad.faces is not None:
        pairs = f"{len(pad.faces.same)} and {len(pad.faces.other)} pairs"
        curves.append((f"genuine takes ({pairs})", _BLUE, simulated))
    if photographs is not None:
        pairs = f"{len(photographs[0])} and {len(photographs[1])} pairs"
        curves.append((f"photographs of real people ({pairs})", _GREEN, trade(*photographs)))
    if curves and pad.faces is not None:
        drawn.append(_det(curves, pad.faces.limit, folder / "det.png"))
    shown = [series for series in pad.scores if series.genuine and series.attack]
    if shown:
        drawn.append(_scores(shown, folder / "scores.png"))
    return drawn


def _apcer(pad: PadFigures, out: Path) -> Path:
    rows = sorted(
        (each for each in pad.species if each.apcer.tries), key=lambda each: (each.apcer.rate, each.apcer.upper95)
    )
    figure = _figure(10, 1.5 + 0.36 * len(rows))
    axes = figure.add_axes((0.27, 0.85 / (1.5 + 0.36 * len(rows)), 0.6, 1 - 1.6 / (1.5 + 0.36 * len(rows))))
    for place, each in enumerate(rows):
        rate, bound = 100 * each.apcer.rate, 100 * each.apcer.upper95
        colour = _RED if each.accepted else _GREEN
        axes.barh(place, bound, height=0.5, color=colour, alpha=0.16, linewidth=0)
        axes.barh(place, rate, height=0.5, color=colour, linewidth=0)
        axes.plot([bound, bound], [place - 0.25, place + 0.25], color=colour, linewidth=2)
        axes.text(
            min(bound, 100) + 1.2,
            place,
            f"{each.accepted} of {each.apcer.tries}",
            va="center",
            color=_INK,
            fontsize=9.5,
        )
    names = [each.species + ("" if each.policy == pad.policy else f"  [{each.policy}]") for each in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=10.5)
    axes.set_xlim(0, max(10.0, 1.02 * max((100 * each.apcer.upper95 for each in rows), default=10.0)))
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("attempts accepted, % (solid), and at most this many with 95 % confidence (line)", color=_INK)
    axes.grid(axis="x", color=_FAINT, linewidth=0.8)
    _plain(axes, left=False)
    _title(figure, "Attacks that get in", f"APCER by species, policy {pad.policy}")
    return _saved(figure, out)


def _ablation(pad: PadFigures, out: Path) -> Path:
    species = [each for each in pad.species if each.policy == pad.policy and each.apcer.tries]
    columns = [*pad.checks, *pad.groups]
    shares = np.array(
        [
            [({**each.without, **each.without_group}[column] - each.accepted) / each.apcer.tries for column in columns]
            for each in species
        ]
    ).reshape(len(species), len(columns))
    caught = np.array(
        [[each.caught_by.get(check, 0) / each.apcer.tries for check in pad.checks] for each in species]
    ).reshape(len(species), len(pad.checks))
    width, height = 3.2 + 0.34 * len(columns), 4.2 + 0.62 * len(species)
    figure = _figure(width, height)
    left, right = 1.9 / width, 1 - 0.4 / width
    each_height = (height - 4.2) / 2 / height
    top = figure.add_axes(
        (left, 2.6 / height + each_height + 0.5 / height, (right - left) * len(pad.checks) / len(columns), each_height)
    )
    low = figure.add_axes((left, 2.1 / height, right - left, each_height))
    _heat(top, caught, [each.species for each in species], [], "Blues", "attempts that the check did not pass, %")
    _heat(
        low,
        shares,
        [each.species for each in species],
        columns,
        "Reds",
        "more attempts that get in without the check, or without the whole group, %",
    )
    low.axvline(len(pad.checks) - 0.5, color=_INK, linewidth=1.5)
    _title(figure, "What each check is worth", f"policy {pad.policy}; right of the line: groups of checks")
    return _saved(figure, out)


def _heat(axes: Any, shares: Any, rows: list[str], columns: list[str], colours: str, what: str) -> None:
    axes.imshow(100 * shares, cmap=colours, vmin=0, vmax=100, aspect="auto")
    for y, x in np.argwhere(shares > 0):
        value = 100 * shares[y, x]
        axes.text(x, y, f"{value:.0f}", ha="center", va="center", fontsize=7.5, color="white" if value > 55 else _INK)
    axes.set_yticks(range(len(rows)), rows, fontsize=9)
    axes.set_xticks(range(len(columns)), columns, fontsize=9, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_xticks(np.arange(shares.shape[1] + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(shares.shape[0] + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=_FAINT, linewidth=0.6)
    axes.tick_params(which="both", length=0, colors=_INK)
    axes.spines[:].set_visible(False)
    axes.set_title(what, loc="left", fontsize=10.5, color=_SOFT)


def _det(curves: list[tuple[str, str, Trade]], limit: float, out: Path) -> Path:
    figure = _figure(7.6, 7)
    axes = figure.add_axes((0.13, 0.1, 0.83, 0.75))
    for label, colour, curve in curves:
        axes.step(_probit(curve.fmr), _probit(curve.fnmr), color=colour, linewidth=2, label=label, where="post")
        at = min(int(np.searchsorted(curve.limits, limit)), len(curve.limits) - 1)
        axes.plot(
            _probit(curve.fmr[at]), _probit(curve.fnmr[at]), "o", color=colour, markersize=9, markeredgecolor="white",
            label=f"  at the limit {limit:g}: FMR {curve.fmr[at]:.2%}, FNMR {curve.fnmr[at]:.2%}", zorder=5,
        )  # fmt: skip
    marks = _probit(np.array(_RATES))
    labels = [f"{100 * rate:g} %" for rate in _RATES]
    axes.set_xticks(marks, labels)
    axes.set_yticks(marks, labels)
    edge = (_probit(_RATES[0] / 1.6), _probit(0.55))
    axes.set_xlim(*edge)
    axes.set_ylim(*edge)
    axes.plot(edge, edge, color=_FAINT, linewidth=1, zorder=0)
    axes.set_xlabel("different people matched (FMR)", color=_INK)
    axes.set_ylabel("one person told apart (FNMR)", color=_INK)
    axes.grid(color=_FAINT, linewidth=0.8)
    axes.legend(frameon=False, fontsize=9.5, loc="upper right", labelcolor=_INK)
    _plain(axes)
    _title(figure, "Telling people apart", "detection error trade-off; a rate of nothing is drawn at the edge")
    return _saved(figure, out)


def _probit(rate: Any) -> Any:
    """Axes on which normal scores give straight lines (Martin et al. 1997); 0 and 1 are drawn at the edge."""
    from scipy.special import ndtri

    return ndtri(np.clip(rate, _RATES[0] / 1.6, 1 - _RATES[0] / 1.6))


def _scores(shown: list[ScoreSeries], out: Path) -> Path:
    across = 4
    down = math.ceil(len(shown) / across)
    height = 1.3 + 2.15 * down
    figure = _figure(14, height)
    grid = figure.add_gridspec(
        down, across, left=0.035, right=0.985, bottom=0.45 / height, top=1 - 1.25 / height, hspace=0.75, wspace=0.16
    )
    for place, series in enumerate(shown):
        _histogram(figure.add_subplot(grid[place // across, place % across]), series)
    _title(figure, "Values of every check", "green: genuine takes; red: attacks of all species; line: the limit")
    figure.text(
        0.985,
        1 - 0.72 / height,
        "each filled area is one; outermost values are gathered at the edges",
        ha="right",
        color=_SOFT,
        fontsize=9.5,
    )
    return _saved(figure, out)


def _histogram(axes: Any, series: ScoreSeries) -> None:
    everything = np.array([*series.genuine, *series.attack, *([] if series.limit is None else [series.limit])])
    low, high = np.percentile(everything, (0.5, 99.5))
    if series.limit is not None:
        low, high = min(low, series.limit), max(high, series.limit)
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    for values, colour in ((series.attack, _RED), (series.genuine, _GREEN)):
        inside = np.clip(np.asarray(values), edges[0], edges[-1])
        counts, _ = np.histogram(inside, edges)
        axes.stairs(counts / len(values), edges, fill=True, color=colour, alpha=0.45, linewidth=0)
        axes.stairs(counts / len(values), edges, color=colour, linewidth=1.2)
    if series.limit is not None:
        axes.axvline(series.limit, color=_INK, linewidth=1.4)
    axes.set_title(series.check, loc="left", fontsize=10.5, color=_INK, weight="bold", pad=5)
    axes.set_xlabel(series.unit, fontsize=8.5, color=_SOFT, labelpad=2)
    axes.set_yticks([])
    axes.tick_params(labelsize=8.5)
    _plain(axes, left=False)


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, facecolor="white")


def _title(figure: Any, title: str, about: str) -> None:
    height = figure.get_size_inches()[1]
    left = 0.3 / figure.get_size_inches()[0]
    figure.text(left, 1 - 0.42 / height, title, fontsize=18, weight="bold", color=_INK)
    figure.text(left, 1 - 0.72 / height, about, fontsize=10.5, color=_SOFT)


def _plain(axes: Any, *, left: bool = True) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines["left"].set_visible(left)
    axes.spines[:].set_color(_SOFT)
    axes.tick_params(colors=_SOFT, labelcolor=_INK, length=0 if not left else 3)
    axes.set_axisbelow(True)


def _saved(figure: Any, out: Path) -> Path:
    figure.savefig(out, format="png", metadata={"Software": "Mien"})
    return out
