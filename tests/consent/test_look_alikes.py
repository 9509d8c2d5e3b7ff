"""Saying yes to look-alike alerts and taking it back; and which faces are alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from consent.errors import ConsentInvalid, RecordInvalid
from consent.keys import KeySet
from consent.look_alikes import (
    LIMITS,
    Choice,
    LookAlikeChoice,
    agree,
    alike,
    choice_bytes,
    choice_from_bytes,
    read_choice,
    sign_choice,
    take_back,
    unlike_each_other,
)
from consent.record import RevokedBy, fold, revoke
from consent.terms import Reader, Terms, current
from liveness.policy import STRICT
from liveness.template import FaceTemplate, template
from tests.consent.given import CONTROLLER, KEY, KEYS, NOW, OTHER_KEY, record

WORDS = current("zh", Reader.LOOK_ALIKES)


def yes(words: Terms = WORDS) -> LookAlikeChoice:
    return agree(record(), controller=CONTROLLER, terms=words, now=NOW)


def at(cosine: float, *, contract: str = "c-1", axis: int = 1) -> FaceTemplate:
    """A face at this cosine to the one along the first axis."""
    vector = np.zeros(512, np.float32)
    vector[0], vector[axis] = cosine, np.sqrt(1 - cosine**2)
    return template(vector, contract_id=contract)


def test_a_choice_is_what_was_written_and_signed() -> None:
    given = yes()
    gone = take_back(given, now=NOW + timedelta(days=1))
    assert (given.choice, gone.choice) == (Choice.GIVEN, Choice.WITHDRAWN)
    assert given.terms_sha256 == WORDS.sha256
    for said in (given, gone):
        assert choice_from_bytes(choice_bytes(said)) == said
        assert read_choice(sign_choice(said, KEY), KEYS) == said
        with pytest.raises(RecordInvalid):
            read_choice(sign_choice(said, OTHER_KEY), KeySet.of(KEY))
    with pytest.raises(RecordInvalid):
        choice_from_bytes(choice_bytes(given).replace(b'"given"', b'"withdrawn"'))
    with pytest.raises(RecordInvalid):
        choice_from_bytes(choice_bytes(given).replace(b"told_of_look_alikes", b"found_for_everybody"))


def test_only_todays_words_for_this_are_a_yes_to_it() -> None:
    for words, code in (
        (current("en"), "terms_unsuited"),
        (current("en", Reader.REPRESENTATIVE), "terms_unsuited"),
        (replace(WORDS, text="other", sha256="0" * 64), "terms_unknown"),
    ):
        with pytest.raises(ConsentInvalid) as caught:
            yes(words)
        assert caught.value.code == code


def test_a_consent_that_is_over_carries_no_yes() -> None:
    given = record()
    ended = fold([*given.events, revoke(given, by=RevokedBy.SUBJECT, now=NOW + timedelta(minutes=1))])
    for over, now, code in ((ended, NOW, "consent_revoked"), (given, given.expires_at, "consent_expired")):
        with pytest.raises(ConsentInvalid) as caught:
            agree(over, controller=CONTROLLER, terms=WORDS, now=now)
        assert caught.value.code == code


def test_the_limit_is_far_above_the_gates_and_an_edge() -> None:
    limit = LIMITS.alike.value
    assert limit >= STRICT.same_person.value + 0.2
    me = at(1.0)
    assert alike(at(limit + 1e-4), [me])
    assert not alike(at(limit - 1e-4), [me])
    assert alike(at(limit + 1e-4), [at(0.0, axis=2), me]), "any of a person's templates counts"
    assert not alike(at(1.0, contract="another"), [me])
    assert not alike(me, [])


def test_one_face_in_many_pictures_is_looked_up_once_and_a_crowd_is_cut_off() -> None:
    same = [at(0.99, axis=axis) for axis in range(2, 40)]
    assert len(unlike_each_other(same)) == 1
    crowd = [template(np.eye(512, dtype=np.float32)[n], contract_id="c-1") for n in range(40)]
    assert len(unlike_each_other(crowd)) == LIMITS.faces_a_question.value
    assert unlike_each_other([]) == ()


def test_the_words_promise_what_the_limits_keep() -> None:
    english, chinese = current("en", Reader.LOOK_ALIKES).text, WORDS.text
    assert (LIMITS.told_a_day.value, LIMITS.face_kept.value, LIMITS.told_within.value) == (3, 3600, 24 * 3600)
    for text, promises in (
        (english, ("three requests a day at most", "at most one hour", "within a day or so", "never proof")),
        (chinese, ("每天最多告知三次", "最长一小时", "一天之内", "绝不是")),
    ):
        assert all(promise in text for promise in promises), [p for p in promises if p not in text]
