from __future__ import annotations

import hashlib
import unicodedata
from datetime import timedelta

import pytest

from consent.authority import LONGEST_CONSENT, WITHHELD, SubjectState
from consent.errors import ConsentInvalid
from consent.majority import GUARDIAN_ENDS_AT
from consent.record import DEFAULT_TERM, IDLE, LONGEST_TERM
from consent.terms import VERSIONS, Purpose, Reader, by_sha256, current, languages

RELEASED = [
    ("2026-11", "en", "3157f7f69a7cd7a9225fe83ef6c9cec5fa366a958dff96b4ea76167e5f4d5ced"),
    ("2026-11", "zh", "62ceeb1d813016cc511b4ff559ba7ea5e0aa02d0bc22edf75b7cbf0110635539"),
    ("2026-12", "en", "a8a696665275fa93227a5aedcef4ae742c36548b48e360262ae28dcfcff94414"),
    ("2026-12", "zh", "38b61c4d7d1a77844dc066737892ef229567a7a1c12425b464ef3716ce5f4a7c"),
    ("representative-2026-12", "en", "9a65ebc818661d4e6b29e94b9b97d871a7891984c9950133f92f657c80cd18b5"),
    ("representative-2026-12", "zh", "c4df68634fe52d8033852328e73aef379e6827631f2510905e801a93d1e0d8e9"),
    ("look-alikes-2026-12", "en", "e04fa1bfb8b86d72e16cab1cfdc5d80bc6173424252ea61b39b07aca4f5d83d4"),
    ("look-alikes-2026-12", "zh", "748abf40c0886c36906dfaaee049cb8d645defc7ef5ecdd9790e7959e7da3112"),
]


def test_a_released_text_is_never_changed() -> None:
    """What people agreed to is known by hash: new words need a new version."""
    assert [(t.version, t.language, t.sha256) for t in VERSIONS] == RELEASED


@pytest.mark.parametrize("terms", VERSIONS, ids=lambda t: f"{t.version}-{t.language}")
def test_the_hash_is_over_the_text_as_it_is_served(terms) -> None:  # type: ignore[no-untyped-def]
    assert hashlib.sha256(terms.text.encode("utf-8")).hexdigest() == terms.sha256
    assert unicodedata.is_normalized("NFC", terms.text)
    assert "\r" not in terms.text
    assert by_sha256(terms.sha256) is terms


@pytest.mark.parametrize("terms", VERSIONS, ids=lambda t: f"{t.version}-{t.language}")
def test_the_text_names_its_version_and_every_purpose(terms) -> None:  # type: ignore[no-untyped-def]
    assert terms.version in terms.text
    for purpose in Purpose if terms.reader is not Reader.LOOK_ALIKES else ():
        assert purpose.value in terms.text


def test_what_the_text_promises_about_time_is_what_the_rules_do() -> None:
    assert "One year" in current("en").text
    assert "一年" in current("zh").text
    assert DEFAULT_TERM.days == 365
    assert "more than ten years" in current("en").text
    assert "最长不超过十年" in current("zh").text
    assert LONGEST_TERM.days in (3652, 3653)
    assert "three years after you last" in current("en").text
    assert "三年与此事没有任何往来" in current("zh").text
    assert timedelta(days=3 * 365) == IDLE


def test_what_representatives_are_told_is_what_the_rules_do() -> None:
    english, chinese = (current(language, Reader.REPRESENTATIVE).text for language in ("en", "zh"))
    assert LONGEST_CONSENT[SubjectState.DECEASED].days == LONGEST_CONSENT[SubjectState.INCAPACITATED].days == 365
    assert LONGEST_CONSENT[SubjectState.MINOR].days == 5 * 365
    assert GUARDIAN_ENDS_AT == 18
    assert "At most one year, for a child at most five years and never past the 18th birthday" in english
    assert "最长一年；未成年人最长五年，且绝不超过其十八岁生日" in chinese
    for purpose in Purpose:
        for_the_dead_only = {SubjectState.MINOR, SubjectState.INCAPACITATED} <= {
            state for state, withheld in WITHHELD.items() if purpose in withheld
        }
        line = next(line for line in english.splitlines() if f"({purpose.value})" in line)
        assert ("Only for someone who has died." in line) is for_the_dead_only
        line = next(line for line in chinese.splitlines() if f"（{purpose.value}）" in line)
        assert ("仅限已故者。" in line) is for_the_dead_only
    assert "Not possible for a child." in next(line for line in english.splitlines() if "(cameo)" in line)
    assert Purpose.CAMEO in WITHHELD[SubjectState.MINOR] - WITHHELD[SubjectState.INCAPACITATED]


@pytest.mark.parametrize("reader", Reader)
def test_both_languages_say_the_same_number_of_things(reader: Reader) -> None:
    english, chinese = current("en", reader), current("zh", reader)
    assert english.version == chinese.version
    assert english.text.count("\n## ") == chinese.text.count("\n## ")
    assert english.text.count("\n- ") == chinese.text.count("\n- ")
    assert english.text.count("\n\n") == chinese.text.count("\n\n")


def test_a_language_without_terms_is_refused_and_not_replaced() -> None:
    assert languages() == ("en", "zh")
    with pytest.raises(ConsentInvalid) as caught:
        current("ko")
    assert caught.value.code == "terms_unknown"


def test_a_hash_we_never_showed_is_unknown() -> None:
    assert by_sha256("0" * 64) is None
