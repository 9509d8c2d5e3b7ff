"""Which picture becomes a double, and which does not."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from likeness.double import PORTRAIT, Double, EnrolmentReason, NotEnrolled, Still, double_from_photograph, enrol
from liveness.capture import RgbImage
from liveness.evidence import Face
from liveness.template import FaceTemplate, template
from tests.people import face, vector

LIMIT = 0.38


def picture(seed: int = 0, soft: float = 0.0) -> RgbImage:
    grain = np.random.default_rng(seed).integers(60, 200, (480, 640, 3)).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(grain, (0, 0), soft) if soft else grain, np.uint8)


def still(person: int = 1, shown: Face | None = None, soft: float = 0.0, seed: int = 0) -> Still:
    return Still(image=picture(seed, soft), faces=(shown or face(),), template=vector(person, seed=50 + seed))


def lively(person: int = 1) -> list[FaceTemplate]:
    return [vector(person, seed=seed) for seed in range(3)]


def enrolled(stills: list[Still], templates: list[FaceTemplate] | None = None) -> Double | NotEnrolled:
    templates = lively() if templates is None else templates
    return enrol(stills, subject_id="sub", consent_id="con", live_templates=templates, same_person=LIMIT)


def test_the_best_still_is_taken() -> None:
    turned, good, grinning = still(shown=face(10.0), seed=1), still(seed=2), still(shown=face(mouth=0.25), seed=3)
    double = enrolled([turned, good, grinning])
    assert isinstance(double, Double)
    assert double.portrait is good.image
    assert double.template is good.template
    assert (double.subject_id, double.consent_id) == ("sub", "con")


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (still(shown=face(13.0)), EnrolmentReason.NOT_FRONTAL),
        (still(shown=face(pitch_deg=-19.0)), EnrolmentReason.NOT_FRONTAL),
        (still(shown=face(mouth=0.5)), EnrolmentReason.MOUTH_OPEN),
        (still(shown=replace(face(), blink_left=0.8)), EnrolmentReason.EYES_CLOSED),
        (still(shown=face(width=60.0)), EnrolmentReason.TOO_SMALL),
        (still(soft=9.0), EnrolmentReason.BLURRED),
        (still(person=2), EnrolmentReason.ANOTHER_PERSON),
        (replace(still(), faces=()), EnrolmentReason.NO_FACE),
        (replace(still(), faces=(None,)), EnrolmentReason.NO_FACE),
        (replace(still(), faces=(face(), face())), EnrolmentReason.SEVERAL_FACES),
        (replace(still(), faces=(face(), None)), EnrolmentReason.SEVERAL_FACES),
        (replace(still(), template=None), EnrolmentReason.NO_FACE),
        (
            replace(still(), template=template(np.ones(512, np.float32), contract_id="other")),
            EnrolmentReason.UNLIKE_MODELS,
        ),
    ],
)
def test_an_unfit_still_is_refused_and_says_why(candidate: Still, reason: EnrolmentReason) -> None:
    refused = enrolled([candidate])
    assert isinstance(refused, NotEnrolled)
    assert reason in refused.reasons


def test_every_live_template_must_match() -> None:
    """A portrait that is like one phase of the capture and not another: someone was swapped."""
    refused = enrolled([still()], [*lively(1), vector(2)])
    assert refused == NotEnrolled(reasons=(EnrolmentReason.ANOTHER_PERSON,))


def test_nothing_to_choose_or_to_compare_with_is_no_double() -> None:
    assert enrolled([]) == NotEnrolled(reasons=(EnrolmentReason.NO_CANDIDATE,))
    assert enrolled([still()], []) == NotEnrolled(reasons=(EnrolmentReason.NO_TEMPLATE,))
    with pytest.raises(ValueError, match="no reason"):
        NotEnrolled(reasons=())


def test_a_photograph_of_the_person_becomes_a_double_whatever_its_pose() -> None:
    photograph = still(shown=face(14.0, mouth=0.5), seed=4)
    made = double_from_photograph(
        photograph, subject_id="sub", consent_id="con", live_templates=lively(), same_person=LIMIT
    )
    assert isinstance(made, Double)
    assert made.portrait is photograph.image


@pytest.mark.parametrize(
    ("photograph", "templates", "reason"),
    [
        (still(person=2), lively(1), EnrolmentReason.ANOTHER_PERSON),
        (replace(still(), faces=(face(), face())), lively(1), EnrolmentReason.SEVERAL_FACES),
        (still(), [], EnrolmentReason.NO_TEMPLATE),
    ],
)
def test_a_photograph_of_anybody_else_does_not(
    photograph: Still, templates: list[FaceTemplate], reason: EnrolmentReason
) -> None:
    made = double_from_photograph(
        photograph, subject_id="sub", consent_id="con", live_templates=templates, same_person=LIMIT
    )
    assert made == NotEnrolled(reasons=(reason,))


def test_a_double_tells_nothing_of_the_person_when_printed() -> None:
    double = enrolled([still()])
    assert "array" not in repr(double)
    assert "vector" not in repr(double)


def test_every_limit_has_a_source() -> None:
    for name in PORTRAIT.__slots__:
        assert getattr(PORTRAIT, name).source.startswith(("design", "measured")), name
