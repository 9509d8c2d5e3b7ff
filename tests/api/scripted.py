"""An examiner that reads its verdict from the recording, and people who are colours: no more than a judge's process loads."""

from __future__ import annotations

import hashlib

import numpy as np

from api.examiner import HandedIn, Judged
from liveness.attestation import vouched
from liveness.capture import RgbImage
from liveness.errors import EngineError, MediaError
from liveness.reasons import Reason
from liveness.template import FaceTemplate, template
from liveness.verdict import CheckResult, judge

CONTRACT = "colours-1"
ALICE, BOB = (200, 40, 40), (40, 40, 200)  # colours, not people


def colour_template(colour: tuple[int, int, int]) -> FaceTemplate:
    return template(np.array([*colour, 10], np.float32) - 60, contract_id=CONTRACT)


class ColourEmbedder:
    contract_id = CONTRACT
    model_version = "colours 1"

    def embed(self, image: RgbImage, points: np.ndarray) -> FaceTemplate:
        x, y = (int(v) for v in points[0])
        return colour_template(tuple(int(c) for c in image[min(y, len(image) - 1), x]))  # type: ignore[arg-type]


class ScriptedExaminer:
    """Says what the recording says: ``live R,G,B``, ``fail CODE``, ``broken``, ``crash``; anything else is no recording."""

    def examine(self, handed: HandedIn) -> Judged:
        word, _, rest = handed.data.decode("utf-8", "replace").partition(" ")
        sha256 = hashlib.sha256(handed.data).hexdigest()
        if word == "crash":
            raise EngineError("made to fail")
        if word not in ("live", "fail"):
            raise MediaError("no recording")
        result = (
            CheckResult.passed("scripted", 1, 1, "")
            if word == "live"
            else CheckResult.failed("scripted", Reason(rest.split()[0]), 12.5, 25, "deg")
        )
        verdict = judge(
            [result], required=["scripted"], challenge=handed.challenge, capture_sha256=sha256,
            policy=handed.policy,
            models={"face_embedding": "colours 1"}, now=handed.now, attested=vouched(handed.attestation),
        )  # fmt: skip
        if word == "fail":
            return Judged(verdict=verdict, timing_ms={"all": 1})
        colour = tuple(int(c) for c in rest.split()[0].split(","))
        return Judged(
            verdict=verdict,
            timing_ms={"all": 1},
            templates=(colour_template(colour), colour_template(colour)),  # type: ignore[arg-type]
            portrait=picture_of(colour),  # type: ignore[arg-type]
        )


def picture_of(*colours: tuple[int, int, int], size: int = 64) -> RgbImage:
    image = np.zeros((size, size, 3), np.uint8)
    width = size // len(colours)
    for number, colour in enumerate(colours):
        image[:, number * width : (number + 1) * width] = colour
    return image
