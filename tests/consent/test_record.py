from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent import terms as terms_module
from consent.authority import SubjectAssurance
from consent.errors import ConsentInvalid, RecordInvalid
from consent.record import (
    LIVE_FOR,
    LONGEST_TERM,
    ConsentEvent,
    ConsentState,
    Limits,
    LiveBinding,
    RevokedBy,
    event_bytes,
    event_from_bytes,
    fold,
    grant,
    narrow,
    read_record,
    revoke,
    sign_record,
)
from consent.scope import plain_words
from consent.terms import Purpose, Terms, current
from liveness.policy import SIMULATED, Assurance, Path
from liveness.verdict import CheckResult
from tests.consent.given import (
    CONTROLLER,
    DAY,
    HOUR,
    KEY,
    KEYS,
    MINUTE,
    NOW,
    OTHER_KEY,
    SECOND,
    TICK,
    granted,
    live,
    not_live,
    record,
)


def attempt(**changes: object) -> object:
    values: dict[str, object] = {
        "consent_id": "cns_1",
        "subject_id": "sub_1",
        "controller": CONTROLLER,
        "terms": current("en"),
        "purposes": [Purpose.CAMEO],
        "audience": ["portrait"],
        "limits": Limits(max_seconds=30),
        "template_commitment": "ef" * 32,
        "expires_at": None,
        "now": NOW,
    }
    verdict = changes.pop("live", live())
    return grant(verdict, **(values | changes))  # type: ignore[arg-type]


def refused(**changes: object) -> str:
    with pytest.raises(ConsentInvalid) as caught:
        attempt(**changes)
    return caught.value.code


# --- granting --------------------------------------------------------------------------------------------------------


def test_a_grant_is_bound_to_its_live_check_and_its_words() -> None:
    event = granted()
    shown = live()
    assert event.live.capture_sha256 == shown.capture_sha256
    assert (event.live.challenge_id, event.live.nonce) == (shown.challenge_id, shown.nonce)
    assert (event.live.policy, event.live.models) == (shown.policy, shown.models)
    assert event.live.assurance is Assurance.WEB
    assert event.terms_sha256 == current("en").sha256


def test_it_lasts_a_year_unless_said_otherwise() -> None:
    assert record().expires_at == NOW + timedelta(days=365)


def test_who_was_not_shown_live_cannot_consent() -> None:
    assert refused(live=not_live()) == "not_live"


@pytest.mark.parametrize(
    ("judged_at", "fresh"),
    [
        (NOW - LIVE_FOR - TICK, False),
        (NOW - LIVE_FOR, True),
        (NOW, True),
        (NOW + 5 * SECOND, True),
        (NOW + 5 * SECOND + TICK, False),
        (NOW + DAY, False),
    ],
)
def test_an_old_live_check_does_not_count(judged_at: datetime, fresh: bool) -> None:
    if fresh:
        attempt(live=live(judged_at=judged_at))
    else:
        assert refused(live=live(judged_at=judged_at)) == "live_not_fresh"


def test_words_we_never_showed_cannot_be_agreed_to() -> None:
    made_up = Terms(version="2026-11", language="en", text="yes to everything", sha256="ab" * 32)
    assert refused(terms=made_up) == "terms_unknown"
    assert refused(terms=replace(current("en"), text="yes to everything")) == "terms_unknown"


def test_words_that_were_replaced_cannot_be_agreed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    old = current("en")
    newer = Terms(version="2027-01", language="en", text="new", sha256="cd" * 32)
    monkeypatch.setattr(terms_module, "VERSIONS", (*terms_module.VERSIONS, newer))
    assert refused(terms=old) == "terms_outdated"


@pytest.mark.parametrize(
    ("expires_at", "allowed"),
    [
        (NOW - DAY, False),
        (NOW, False),
        (NOW + TICK, True),
        (NOW + LONGEST_TERM, True),
        (NOW + LONGEST_TERM + TICK, False),
        (datetime(2027, 1, 1), False),  # noqa: DTZ001 - a time without a zone is what is tested
    ],
)
def test_the_term_lies_between_now_and_ten_years(expires_at: datetime, allowed: bool) -> None:
    if allowed:
        attempt(expires_at=expires_at)
    else:
        assert refused(expires_at=expires_at) == "expiry_out_of_range"


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("purposes_empty", {"purposes": []}),
        ("purpose_unknown", {"purposes": ["everything"]}),
        ("audience_invalid", {"audience": ["*", "portrait"]}),
        ("audience_invalid", {"audience": [""]}),
        ("audience_invalid", {"audience": ["Portrait!"]}),
        ("audience_invalid", {"audience": [f"backend-{i}" for i in range(65)]}),
        ("id_invalid", {"consent_id": ""}),
        ("id_invalid", {"subject_id": "a b"}),
        ("commitment_invalid", {"template_commitment": "EF" * 32}),
    ],
)
def test_what_is_not_a_choice_is_refused(code: str, changes: dict[str, object]) -> None:
    assert refused(**changes) == code


@pytest.mark.parametrize(
    "limits",
    [
        {"max_seconds": 0},
        {"max_seconds": 3601},
        {"max_seconds": 9, "uses": 0},
        {"max_seconds": 9, "forbidden_words": ("",)},
    ],
)
def test_limits_that_limit_nothing_are_refused(limits: dict[str, object]) -> None:
    with pytest.raises(ConsentInvalid) as caught:
        Limits(**limits)  # type: ignore[arg-type]
    assert caught.value.code == "limits_invalid"


@pytest.mark.parametrize("text", ["", "  ", "x" * 301, "two\nlines"])
def test_a_record_names_who_answers_for_it(text: str) -> None:
    for name in ("name", "contact", "jurisdiction", "storage_location"):
        with pytest.raises(ConsentInvalid) as caught:
            replace(CONTROLLER, **{name: text})
        assert caught.value.code == "controller_invalid"


def test_a_live_check_without_a_recording_is_none() -> None:
    assert refused(live=replace(live(), capture_sha256="")) == "not_live"


def test_an_empty_audience_is_nobody_and_a_star_is_everybody() -> None:
    assert not record(audience=()).scope.covers("portrait")
    assert record(audience=("*",)).scope.covers("portrait")
    assert not record(audience=("portrait",)).scope.covers("portrait2")


def test_what_was_simulated_says_so_in_the_record() -> None:
    assert record(policy=SIMULATED).assurance is SubjectAssurance.SIMULATED


# --- narrowing -------------------------------------------------------------------------------------------------------


def test_part_of_a_consent_can_be_taken_back() -> None:
    full = record(audience=("*",), forbidden_words=("buy",))
    event = narrow(
        full,
        purposes=[Purpose.CAMEO],
        audience=["portrait"],
        limits=Limits(max_seconds=10, forbidden_words=("buy", "vote"), uses=3),
        expires_at=NOW + DAY,
        now=NOW + HOUR,
    )
    left = fold([*full.events, event])
    assert left.purposes == (Purpose.CAMEO,)
    assert left.audience == ("portrait",)
    assert left.limits == Limits(max_seconds=10, forbidden_words=("buy", "vote"), uses=3)
    assert left.expires_at == NOW + DAY
    assert left.state_at(NOW + 2 * HOUR) is ConsentState.GIVEN
    assert left.state_at(NOW + 2 * DAY) is ConsentState.EXPIRED


@pytest.mark.parametrize(
    "more",
    [
        {"purposes": [Purpose.CAMEO, Purpose.TRAINING]},
        {"audience": ["portrait", "other"]},
        {"audience": ["*"]},
        {"limits": Limits(max_seconds=61, forbidden_words=("buy",), uses=5)},
        {"limits": Limits(max_seconds=60, forbidden_words=(), uses=5)},
        {"limits": Limits(max_seconds=60, forbidden_words=("buy",), uses=6)},
        {"limits": Limits(max_seconds=60, forbidden_words=("buy",), uses=None)},
        {"expires_at": NOW + 366 * DAY},
        {},  # nothing at all
    ],
)
def test_nothing_can_be_added(more: dict[str, object]) -> None:
    before = record(forbidden_words=("buy",), uses=5)
    with pytest.raises(ConsentInvalid) as caught:
        narrow(before, now=NOW + HOUR, **more)  # type: ignore[arg-type]
    assert caught.value.code == "not_narrower"


def test_an_event_that_widens_is_refused_on_reading_too() -> None:
    """Storage that was tampered with gives no wider consent."""
    small, wide = record(purposes=[Purpose.CAMEO]), record(purposes=list(Purpose))
    event = narrow(wide, purposes=[Purpose.CAMEO, Purpose.TRAINING], now=NOW + HOUR)
    with pytest.raises(RecordInvalid):
        fold([*small.events, event])


def test_a_consent_that_is_over_cannot_be_narrowed() -> None:
    with pytest.raises(ConsentInvalid) as caught:
        narrow(record(), purposes=[Purpose.CAMEO], now=NOW + 365 * DAY)
    assert caught.value.code == "consent_expired"
    ended = fold([granted(), revoke(record(), by=RevokedBy.SUBJECT, now=NOW)])
    with pytest.raises(ConsentInvalid) as caught:
        narrow(ended, purposes=[Purpose.CAMEO], now=NOW)
    assert caught.value.code == "consent_revoked"


def test_there_is_always_room_for_the_revocation() -> None:
    often = record(max_seconds=3600)
    for seconds in range(3599, 3599 - 119, -1):
        often = fold([*often.events, narrow(often, limits=Limits(max_seconds=seconds), now=NOW)])
    with pytest.raises(ConsentInvalid) as caught:
        narrow(often, limits=Limits(max_seconds=1), now=NOW)
    assert caught.value.code == "too_many_changes"
    ended = fold([*often.events, revoke(often, by=RevokedBy.SUBJECT, now=NOW)])
    assert ended.revoked is not None
    assert read_record(sign_record(ended, KEY), KEYS) == ended


# --- revoking --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "state"),
    [
        (RevokedBy.SUBJECT, ConsentState.WITHDRAWN),
        (RevokedBy.APP, ConsentState.WITHDRAWN),
        (RevokedBy.CONTROLLER, ConsentState.TERMINATED),
        (RevokedBy.REVIEW, ConsentState.INVALIDATED),
    ],
)
def test_revoking_takes_effect_at_once(by: RevokedBy, state: ConsentState) -> None:
    before = record()
    after = fold([*before.events, revoke(before, by=by, now=NOW + HOUR)])
    assert after.state_at(NOW + HOUR - TICK) is ConsentState.GIVEN
    assert after.state_at(NOW + HOUR) is state
    assert after.state_at(NOW + 5000 * DAY) is state
    assert not state.allows_use


def test_a_clock_that_went_back_does_not_stop_a_revocation() -> None:
    before = record()
    event = revoke(before, by=RevokedBy.SUBJECT, now=NOW - DAY)
    after = fold([*before.events, event])
    assert after.revoked == event
    assert after.state_at(NOW) is ConsentState.WITHDRAWN


def test_an_expired_consent_can_still_be_revoked() -> None:
    before = record()
    after = fold([*before.events, revoke(before, by=RevokedBy.SUBJECT, now=NOW + 400 * DAY)])
    assert after.state_at(NOW + 399 * DAY) is ConsentState.EXPIRED
    assert after.state_at(NOW + 400 * DAY) is ConsentState.WITHDRAWN


def test_nothing_is_revoked_twice() -> None:
    ended = fold([granted(), revoke(record(), by=RevokedBy.SUBJECT, now=NOW)])
    with pytest.raises(ConsentInvalid) as caught:
        revoke(ended, by=RevokedBy.SUBJECT, now=NOW)
    assert caught.value.code == "consent_revoked"


def test_states_are_half_open_in_time() -> None:
    whole = record()
    assert whole.state_at(NOW - TICK) is ConsentState.UNKNOWN
    assert whole.state_at(NOW) is ConsentState.GIVEN
    assert whole.state_at(whole.expires_at - TICK) is ConsentState.GIVEN
    assert whole.state_at(whole.expires_at) is ConsentState.EXPIRED


def test_history_is_told_as_it_was() -> None:
    """A clip made before the person chose an earlier end was made under a consent that held."""
    whole = record()
    shorter = fold([*whole.events, narrow(whole, expires_at=NOW + 20 * DAY, now=NOW + 10 * DAY)])
    assert shorter.state_at(NOW + 9 * DAY) is ConsentState.GIVEN
    assert shorter.state_at(NOW + 20 * DAY) is ConsentState.EXPIRED


def test_two_states_of_ten_allow_a_use() -> None:
    assert len(ConsentState) == 10
    assert {state for state in ConsentState if state.allows_use} == {ConsentState.GIVEN, ConsentState.RENEWED}


# --- folding ---------------------------------------------------------------------------------------------------------


def history() -> list[ConsentEvent]:
    first = record()
    second = fold([*first.events, narrow(first, purposes=[Purpose.CAMEO], now=NOW + HOUR)])
    third = fold([*second.events, narrow(second, limits=Limits(max_seconds=5), now=NOW + 2 * HOUR)])
    return [*third.events, revoke(third, by=RevokedBy.SUBJECT, now=NOW + 3 * HOUR)]


def test_only_the_true_order_folds() -> None:
    events = history()
    for order in itertools.permutations(events):
        if list(order) == events:
            assert fold(order).revoked is not None
        else:
            with pytest.raises(RecordInvalid):
                fold(order)


def test_a_gap_is_noticed() -> None:
    events = history()
    for left_out in range(len(events) - 1):  # without the last it is what held before
        with pytest.raises(RecordInvalid):
            fold([*events[:left_out], *events[left_out + 1 :]])


def test_events_of_another_consent_are_refused() -> None:
    mine, theirs = record(person=1), record(person=2)
    with pytest.raises(RecordInvalid):
        fold([*mine.events, revoke(theirs, by=RevokedBy.SUBJECT, now=NOW)])


def test_nothing_follows_a_revocation() -> None:
    events = history()
    before = fold(events[:-1])
    late = narrow(before, limits=Limits(max_seconds=2), now=NOW + 4 * HOUR)
    for extra in (granted(at=NOW + 4 * HOUR), events[-1], late, replace(late, number=len(events))):
        with pytest.raises(RecordInvalid):
            fold([*events, extra])


def test_no_events_are_no_record() -> None:
    with pytest.raises(RecordInvalid):
        fold([])


scopes = st.fixed_dictionaries(
    {
        "purposes": st.none() | st.lists(st.sampled_from(list(Purpose)), min_size=1),
        "audience": st.none() | st.lists(st.sampled_from(["*", "portrait", "other", "third"]), max_size=3, unique=True),
        "limits": st.none()
        | st.builds(
            Limits,
            max_seconds=st.integers(1, 120),
            forbidden_words=st.lists(st.sampled_from(["buy", "vote", "战争"]), unique=True).map(tuple),
            uses=st.none() | st.integers(1, 10),
        ),
        "expires_at": st.none() | st.integers(1, 800).map(lambda days: NOW + days * DAY),
    }
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(scopes, max_size=6), backend=st.sampled_from(["portrait", "other", "third", "fourth"]))
def test_narrowing_never_widens(steps: list[dict[str, object]], backend: str) -> None:
    """Whatever is asked in whatever order: what is allowed afterwards was allowed before."""
    now = record(audience=("*",), purposes=list(Purpose), forbidden_words=("buy",))
    for number, step in enumerate(steps):
        try:
            event = narrow(now, now=NOW + number * MINUTE, **step)  # type: ignore[arg-type]
        except ConsentInvalid:
            continue
        after = fold([*now.events, event])
        assert set(after.purposes) <= set(now.purposes)
        assert now.scope.covers(backend) or not after.scope.covers(backend)
        assert after.limits.max_seconds <= now.limits.max_seconds
        assert set(after.limits.forbidden_words) >= set(now.limits.forbidden_words)
        assert now.limits.uses is None or (after.limits.uses or 10**9) <= now.limits.uses
        assert after.expires_at <= now.expires_at
        now = after
    assert read_record(sign_record(now, KEY), KEYS) == now


# --- as bytes --------------------------------------------------------------------------------------------------------


def test_events_survive_their_bytes() -> None:
    for event in history():
        assert event_from_bytes(event_bytes(event)) == event


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"null", b"\xff", b'{"kind":"consent.granted"}', b"[" * 100_000]
)
def test_other_bytes_are_no_event(content: bytes) -> None:
    with pytest.raises(RecordInvalid):
        event_from_bytes(content)


def test_a_signed_record_reads_back() -> None:
    ended = fold(history())
    assert read_record(sign_record(ended, KEY), KEYS) == ended


def test_a_record_signed_by_another_service_is_refused() -> None:
    with pytest.raises(RecordInvalid):
        read_record(sign_record(record(), OTHER_KEY), KEYS)


def test_a_record_holds_no_name_no_face_and_no_score() -> None:
    text = event_bytes(granted()).decode()
    for word in ("value", "score", "similarity", "embedding", "vector", "digits"):
        assert f'"{word}"' not in text


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_in_a_signed_record_is_refused(data: st.DataObject) -> None:
    signed = bytearray(sign_record(record(), KEY).encode())
    place = data.draw(st.integers(0, len(signed) - 1))
    signed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(RecordInvalid):
        read_record(signed.decode("latin-1"), KEYS)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Ｂｕｙ, now!", "buy now"),
        ("Stra\u00dfe", "strasse"),
        ("vo\u200bte", "vote"),
        ("  a\n b ", "a b"),
        ("!?…", ""),
        ("战争。", "战争"),
    ],
)
def test_words_are_compared_without_dress(text: str, plain: str) -> None:
    assert plain_words(text) == plain


def test_the_record_says_which_path_was_chosen_and_how_alike_the_person_stayed() -> None:
    stood_on = granted().live
    assert stood_on.path is Path.STANDARD
    assert stood_on.extra_time is False
    assert stood_on.least_similarity == 813  # thousandths


def test_a_check_changed_afterwards_no_longer_fits_the_record() -> None:
    shown = live()
    kept = LiveBinding.bind(shown).checks_sha256
    for changed in (
        CheckResult.passed("same_person", 0.8127, 0.38, "cosine"),
        CheckResult.passed("same_person", 0.8126, 0.3, "cosine"),
        CheckResult.passed("same_face", 0.8126, 0.38, "cosine"),
    ):
        assert LiveBinding.bind(replace(shown, results=(shown.results[0], changed))).checks_sha256 != kept
    assert LiveBinding.bind(replace(shown, results=shown.results[:1])).checks_sha256 != kept


def test_a_record_from_before_there_was_a_choice_still_reads() -> None:
    """Fields that it does not have stay out of its bytes: its place in the ledger still fits."""
    new = granted()
    old = replace(
        new,
        live=replace(new.live, path=None, extra_time=None, least_similarity=None, checks_sha256=None),
    )
    written = event_bytes(old)
    assert b"path" not in written
    assert event_from_bytes(written) == old
