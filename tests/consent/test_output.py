"""A finished clip leaves only if it shows those who agreed, all of them and nobody else, with its marks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from consent.gate import Permit
from consent.output import FaceShown, Marked, OutputCode, OutputSeen, check_output
from liveness.evidence import Box
from liveness.template import FaceTemplate
from tests.consent.given import SAME_PERSON, ask, face, presented, record, templates, use
from tests.people import vector

ALICE, BOB = 1, 2
HERE, THERE = Box(x=100, y=100, width=80, height=100), Box(x=400, y=100, width=80, height=100)


def permit(*people: int) -> Permit:
    answer = ask(
        use(*(face(person, index=n) for n, person in enumerate(people))),
        *(presented(record(person=person), person=person) for person in people),
    )
    assert isinstance(answer, Permit)
    return answer


def shown(at_ms: int, person: int | None, box: Box = HERE) -> FaceShown:
    return FaceShown(at_ms=at_ms, box=box, template=None if person is None else vector(person, seed=900 + at_ms))


def seen(*faces: FaceShown, **changes: object) -> OutputSeen:
    whole = OutputSeen(duration_ms=4000, pictures=16, faces=faces, labelled=True, manifest=Marked.OURS)
    return replace(whole, **changes)  # type: ignore[arg-type]


def why(given: Permit, clip: OutputSeen | None, **changes: object) -> list[str]:
    enrolled = {
        f"cns_{person}": templates(person) for person in (ALICE, BOB) if f"cns_{person}" in dict(given.consents)
    }
    reasons = check_output(given, clip, enrolled, same_person=SAME_PERSON, **changes)  # type: ignore[arg-type]
    return [reason.code.value for reason in reasons]


def film(person: int, box: Box = HERE) -> list[FaceShown]:
    return [shown(at_ms, person, box) for at_ms in range(0, 4000, 250)]


def test_the_permitted_person_throughout_may_leave() -> None:
    assert why(permit(ALICE), seen(*film(ALICE))) == []


def test_another_person_withholds_even_in_one_picture() -> None:
    clip = film(ALICE)
    clip[7] = shown(1750, BOB)
    reasons = check_output(permit(ALICE), seen(*clip), {"cns_1": templates(1)}, same_person=SAME_PERSON)
    assert [(r.code, r.at_ms, r.box) for r in reasons] == [(OutputCode.OTHER_FACE, 1750, HERE)]


def test_an_extra_person_withholds() -> None:
    assert set(why(permit(ALICE), seen(*film(ALICE), shown(500, BOB, THERE)))) == {"other_face"}


def test_nobody_where_somebody_was_promised_withholds() -> None:
    assert why(permit(ALICE), seen()) == ["person_missing"]
    assert why(permit(ALICE, BOB), seen(*film(ALICE))) == ["person_missing"]
    assert why(permit(ALICE, BOB), seen(*film(ALICE), *film(BOB, THERE))) == []


def test_a_voice_promises_no_face_and_covers_none() -> None:
    assert why(permit(ALICE), seen(), shows=frozenset()) == []
    assert "other_face" in why(permit(ALICE), seen(shown(0, BOB)), shows=frozenset())


def test_a_face_that_turns_away_is_followed() -> None:
    clip = film(ALICE)
    clip[5] = shown(1250, None, Box(x=110, y=100, width=80, height=100))
    assert why(permit(ALICE), seen(*clip)) == []


@pytest.mark.parametrize(
    "hidden",
    [
        [shown(1250, None, THERE)],  # somebody else, elsewhere
        [shown(9000, None)],  # long after anybody was seen there
        [shown(1250, None), shown(1500, BOB)],  # before somebody else is seen there
    ],
)
def test_a_face_that_cannot_be_told_and_is_followed_from_nobody_withholds(hidden: list[FaceShown]) -> None:
    at = {one.at_ms for one in hidden}
    clip = [one for one in film(ALICE) if one.at_ms not in at or one.box != hidden[0].box]
    assert "face_unjudged" in why(permit(ALICE), seen(*clip, *hidden))


def test_a_clip_whose_people_were_erased_shows_strangers() -> None:
    reasons = check_output(permit(ALICE), seen(*film(ALICE)), {}, same_person=SAME_PERSON)
    assert {reason.code for reason in reasons} == {OutputCode.OTHER_FACE, OutputCode.PERSON_MISSING}


def test_templates_of_another_model_judge_nobody() -> None:
    other = {"cns_1": tuple(FaceTemplate(vector=t.vector, contract_id="other") for t in templates(1))}
    reasons = check_output(permit(ALICE), seen(*film(ALICE)), other, same_person=SAME_PERSON)
    assert {reason.code for reason in reasons} == {OutputCode.FACE_UNJUDGED, OutputCode.PERSON_MISSING}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"duration_ms": 60_501}, ["too_long"]),
        ({"duration_ms": 60_500}, []),
        ({"duration_ms": 0}, ["too_long"]),
        ({"labelled": False}, ["label_missing"]),
        ({"labelled": None}, ["label_missing"]),
        ({"manifest": None}, ["manifest_missing"]),
        ({"manifest": Marked.MISSING}, ["manifest_missing"]),
        ({"manifest": Marked.UNTRUSTED}, ["manifest_untrusted"]),
        ({"manifest": Marked.OTHER}, ["manifest_other"]),
        ({"pictures": 0, "faces": ()}, ["output_unreadable"]),
    ],
)
def test_obligations_are_verified_and_what_was_not_looked_at_did_not_pass(
    changes: dict[str, object], wanted: list[str]
) -> None:
    given = permit(ALICE)
    assert given.obligations.max_seconds == timedelta(minutes=1).seconds
    assert why(given, seen(*film(ALICE), **changes) if "faces" not in changes else seen(**changes)) == wanted


def test_a_clip_that_was_not_handed_in_is_not_released() -> None:
    assert why(permit(ALICE), None) == ["output_unchecked"]
