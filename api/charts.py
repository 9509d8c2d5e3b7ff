"""Drawings for pages, as SVG made here. Each stands beside the words and numbers that it draws, so it says nothing alone.

Colours and strokes come from the style sheet by class, so a drawing is light and dark as its page is. A drawing has no text:
text is in the page around it, where it wraps, grows and is read aloud. Drawings stretch to the width they are given.
"""

from __future__ import annotations

from markupsafe import Markup

_WIDE, _HIGH = 1000, 20
_DOT = 8


def bar(part: float, whole: float, *, kind: str = "plain") -> Markup:
    """``part`` of ``whole`` as a filled length; nothing where there is nothing."""
    length = 0.0 if whole <= 0 else max(0.0, min(1.0, part / whole))
    wide = max(_HIGH / 2, length * _WIDE) if length > 0 else 0
    return _drawn(
        f'<rect class="track" width="{_WIDE}" height="{_HIGH}"/>'
        f'<rect class="fill" width="{wide:.1f}" height="{_HIGH}"/>',
        kind,
    )


def rate(found: float, upper: float, *, kind: str = "plain") -> Markup:
    """An error rate as a length from 0 to 1, and behind it, up to its bound, what it may still be."""
    return _drawn(
        f'<rect class="track" width="{_WIDE}" height="{_HIGH}"/>'
        f'<rect class="bound" width="{_inside(upper) * _WIDE:.1f}" height="{_HIGH}"/>'
        f'<rect class="fill" width="{_inside(found) * _WIDE:.1f}" height="{_HIGH}"/>',
        kind,
    )


def strip(value: float | None, limit: float | None, *, kind: str) -> Markup:
    """A measured value against its limit, on the check's own scale: the limit in the middle, twice the limit at the end (for
    a negative limit, 0 at the end). Without a value only the scale."""
    parts = [f'<rect class="track" y="8" width="{_WIDE}" height="4"/>']
    if limit is not None:
        parts.append(f'<rect class="limit" x="{_WIDE / 2 - 1.5}" width="3" height="{_HIGH}"/>')
    if value is not None and limit is not None:
        parts.append(
            f'<rect class="dot" x="{place(value, limit) * _WIDE - _DOT:.1f}" width="{2 * _DOT}" height="{_HIGH}"/>'
        )
    return _drawn("".join(parts), kind)


def place(value: float, limit: float) -> float:
    """Where on a strip a value stands, from 0 to 1; what is beyond the scale stands at its end."""
    if limit == 0:
        return 0.5 if value == 0 else 0.75 if value > 0 else 0.25
    offset = (value - limit) / (2 * abs(limit))
    return max(0.01, min(0.99, 0.5 + offset))


def _inside(share: float) -> float:
    return max(0.0, min(1.0, share))


def _drawn(parts: str, kind: str) -> Markup:
    if not kind.replace("_", "").isalpha():
        raise ValueError(kind)
    return Markup(  # noqa: S704 - numbers and a word that was looked at
        f'<svg class="chart" data-kind="{kind}" viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none" '
        f'aria-hidden="true" focusable="false">{parts}</svg>'
    )
