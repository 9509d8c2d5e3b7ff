"""Does a picture carry the visible label?

What is looked for is the plate of :mod:`likeness.label` in its corner, at its size: letters that are white and outlines
that are black where the plate is opaque, whatever lies under it. Compression softens that and does not undo it. Another
label, or this one elsewhere or at another size, is not recognised: it may be a good label, and this cannot tell.
"""

from __future__ import annotations

import numpy as np

from likeness.label import plates
from liveness.capture import RgbImage

LEAST_CORRELATION = 0.8
"""Between the plate's letters and outlines and the picture. Measured after our own H.264, at four sizes on noise, gradients and
plain colours: 1.00 with the label, at most 0.03 without. The middle is left to coarser encoders than ours."""
_LEAST_CONTRAST = 60  # of 255, between letters and outlines: a label nobody can read is none
_OPAQUE = 250  # of 256


def carries_label(image: RgbImage) -> bool:
    """Whether ``image``, ``(H, W, 3) uint8`` RGB, carries the label in its corner."""
    found, contrast = label_found(image)
    return found >= LEAST_CORRELATION and contrast >= _LEAST_CONTRAST


def label_found(image: RgbImage) -> tuple[float, float]:
    """Correlation (-1..1) of the corner with the label's letters and outlines, and the contrast between the two (0..255)."""
    height, width = image.shape[:2]
    corner, _ = plates(width, height)
    plate_height, plate_width = corner.alpha.shape[:2]
    region = image[corner.top : corner.top + plate_height, corner.left : corner.left + plate_width]
    if region.shape[:2] != (plate_height, plate_width):
        return 0.0, 0.0
    opaque = corner.alpha[..., 0] >= _OPAQUE
    wanted = corner.colour[..., 0][opaque].astype(np.float64)
    there = region.astype(np.float64).mean(axis=2)[opaque]
    spread = float(there.std() * wanted.std())
    if wanted.size < 16 or spread == 0:
        return 0.0, 0.0
    correlation = float(((there - there.mean()) * (wanted - wanted.mean())).mean() / spread)
    letters, outlines = there[wanted >= 250], there[wanted <= 5]
    if letters.size == 0 or outlines.size == 0:
        return correlation, 0.0
    return correlation, float(letters.mean() - outlines.mean())
