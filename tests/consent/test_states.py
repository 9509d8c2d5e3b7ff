"""Which event may follow which, who may suspend and resume, what a renewal may be, and that no order of it all opens more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consent.authority import SubjectAssurance
from consent.content import ContentCategory
from consent.errors import ConsentInvalid, RecordInvalid
from consent.gate import GateCode, Permit, what_would_be_allowed
from consent.record import (
    DEFAULT_TERM,
    IDLE,
    LONGEST_TERM,
    MAY_RESUME,
    TRANSITIONS,
    BeforeConsent,
    ConsentEvent,
    ConsentRecord,
    ConsentState,
    Kind,
    Party,
    Renewed,
    Resumed,
    RevokedBy,
    Standing,
    advance,
    defer,
    event_bytes,
    event_from_bytes,
    fold,
    narrow,
    read_record,
    refuse,
    renew,
    resume,
    revoke,
    sign_record,
    state_of,
    suspend,
)
from consent.record import ask as ask_for
from consent.scope import ApprovalRule, Limits
from consent.terms import Purpose, Terms, current
from liveness.policy import SIMULATED, Assurance
from liveness.template import FaceTemplate
from liveness.verdict import Live
from tests.consent.given import (
    BACKEND,
    CONTROLLER,
    DAY,
    HOUR,
    KEY,
    KEYS,
    MINUTE,
    NOW,
    SAME_PERSON,
    TICK,
    ask,
    face,
    granted,
    live,
    not_live,
    presented,
    record,
    templates,
    token,
    use,
)
from tests.people import vector

LATER = NOW + HOUR


def again(number: int = 2, *, at: datetime = LATER, **changes: object) -> Live:
    """Another live check, just before ``at``."""
    return replace(live(judged_at=at - MINUTE), challenge_id=f"chl_{number}", **changes)  # type: ignore[arg-type]


def renewed(
    of: ConsentRecord, check: Live | None = None, *, now: datetime = LATER, person: int = 1, **changes: object
) -> Renewed:
    shown = changes.pop("shown", (vector(person, seed=77),))
    return renew(
        of,
        again(at=now) if check is None else check,
        terms=changes.pop("terms", current("en")),  # type: ignore[arg-type]
        enrolled=templates(),
        shown=shown,  # type: ignore[arg-type]
        same_person=SAME_PERSON,
        now=now,
        **changes,  # type: ignore[arg-type]
    )


def then(of: ConsentRecord, *events: ConsentEvent) -> ConsentRecord:
    return fold([*of.events, *events])


def code_of(do: Callable[[], object]) -> str:
    with pytest.raises(ConsentInvalid) as caught:
        do()
    return caught.value.code


# --- every state and every event -------------------------------------------------------------------------------------


def asked() -> list[BeforeConsent]:
    return [ask_for(consent_id="cns_1", subject_id="sub_1", controller=CONTROLLER, purposes=[Purpose.CAMEO], now=NOW)]


def standing_in(standing: Standing) -> list[ConsentEvent]:
    """Events that lead there, by ``LATER`` (or, expired, by the end of the term)."""
    whole = record()
    paused = then(whole, suspend(whole, by=Party.CONTROLLER, now=NOW))
    return {
        Standing.NOTHING: [],
        Standing.REQUESTED: [*asked()],
        Standing.DEFERRED: [*asked(), defer(asked(), now=NOW)],
        Standing.REFUSED: [*asked(), refuse(asked(), now=NOW)],
        Standing.IN_FORCE: [*whole.events],
        Standing.SUSPENDED: [*paused.events],
        Standing.EXPIRED: [*whole.events],
        Standing.ENDED: [*then(whole, revoke(whole, by=RevokedBy.SUBJECT, now=NOW)).events],
    }[standing]


def event_of(kind: Kind, number: int, at: datetime) -> ConsentEvent:
    """A sound event of that kind, whatever it is put after."""
    whole = record()
    stopped = then(whole, suspend(whole, by=Party.CONTROLLER, now=NOW))
    late = at >= whole.expires_at
    made: dict[Kind, Callable[[], ConsentEvent]] = {
        Kind.REQUESTED: lambda: asked()[0],
        Kind.DEFERRED: lambda: defer(asked(), now=NOW),
        Kind.REFUSED: lambda: refuse(asked(), now=NOW),
        Kind.GRANTED: lambda: granted(at=at),
        Kind.NARROWED: lambda: narrow(whole, limits=Limits(max_seconds=5), now=LATER),
        Kind.RENEWED: lambda: renewed(whole, replace(again(), judged_at=at) if late else None),
        Kind.SUSPENDED: lambda: suspend(whole, by=Party.SUBJECT, now=LATER),
        Kind.RESUMED: lambda: resume(stopped, of=Party.CONTROLLER, by=Party.CONTROLLER, now=LATER),
        Kind.REVOKED: lambda: revoke(whole, by=RevokedBy.SUBJECT, now=LATER),
    }
    if kind is Kind.RENEWED and late:
        event = renewed(whole)
        return replace(
            event, number=number, at=at, live=replace(event.live, judged_at=at),
            scope=replace(event.scope, expires_at=at + DAY),
        )  # fmt: skip
    return replace(made[kind](), number=number, at=at)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("standing", Standing)
def test_every_event_in_every_state(standing: Standing, kind: Kind) -> None:
    before = standing_in(standing)
    at = record().expires_at if standing is Standing.EXPIRED else LATER
    event = event_of(kind, len(before), at)
    if (standing, kind) not in TRANSITIONS:
        assert code_of(lambda: advance(standing, kind)).startswith("consent_")
        kept = list(before)
        with pytest.raises(RecordInvalid):
            fold([*before, event])
        assert before == kept  # and nothing changed
        return
    wanted = TRANSITIONS[standing, kind]
    assert advance(standing, kind) is wanted
    if wanted in (Standing.REQUESTED, Standing.DEFERRED, Standing.REFUSED):
        assert state_of([*before, event], at) == wanted.value  # type: ignore[list-item]
        with pytest.raises(RecordInvalid, match="nothing was granted"):
            fold([*before, event])
    else:
        assert fold([*before, event]).standing_at(at) is wanted


def test_the_table_leads_nowhere_from_what_has_ended() -> None:
    ends = {standing for standing in Standing if not any(standing is before for before, _ in TRANSITIONS)}
    assert ends == {Standing.REFUSED, Standing.ENDED}
    assert {kind for standing, kind in TRANSITIONS if standing is Standing.EXPIRED} == {Kind.REVOKED}


def test_only_given_and_renewed_pass() -> None:
    assert {state for state in ConsentState if state.allows_use} == {ConsentState.GIVEN, ConsentState.RENEWED}


# --- before anything is given ----------------------------------------------------------------------------------------


def test_a_no_is_final_and_a_not_now_is_not() -> None:
    put_off = [*asked(), defer(asked(), now=NOW + MINUTE)]
    assert state_of(put_off, LATER) is ConsentState.DEFERRED
    agreed = fold([*put_off, replace(granted(at=LATER), number=2)])
    assert agreed.state_at(LATER) is ConsentState.GIVEN
    assert agreed.granted_at == LATER
    said_no = [*asked(), refuse(asked(), now=NOW + MINUTE)]
    assert code_of(lambda: defer(said_no, now=LATER)) == "consent_refused"
    assert code_of(lambda: refuse(said_no, now=LATER)) == "consent_refused"
    with pytest.raises(RecordInvalid):
        fold([*said_no, replace(granted(at=LATER), number=2)])
    assert code_of(lambda: refuse([], now=NOW)) == "consent_missing"


# --- suspending ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", Party)
@pytest.mark.parametrize("by", Party)
def test_who_suspended_decides_who_may_resume(of: Party, by: Party) -> None:
    stopped = then(record(), suspend(record(), by=of, now=LATER))
    if by in MAY_RESUME[of]:
        assert then(stopped, resume(stopped, of=of, by=by, now=LATER)).state_at(LATER) is ConsentState.GIVEN
    else:
        assert code_of(lambda: resume(stopped, of=of, by=by, now=LATER)) == "resume_not_allowed"


def test_what_the_person_suspended_only_the_person_resumes() -> None:
    assert MAY_RESUME[Party.SUBJECT] == {Party.SUBJECT}
    assert all(parties <= {party, Party.SUBJECT} for party, parties in MAY_RESUME.items())


def test_nothing_passes_while_anybody_suspends() -> None:
    before = record()
    shown = token(before, life=DAY)
    one = then(before, suspend(before, by=Party.SUBJECT, now=NOW))
    two = then(one, suspend(one, by=Party.AUTHORITY, now=NOW))
    left = then(two, resume(two, of=Party.SUBJECT, by=Party.SUBJECT, now=NOW))
    free = then(left, resume(left, of=Party.AUTHORITY, by=Party.AUTHORITY, now=NOW))
    for stopped in (one, two, left):
        refusal = ask(use(face()), presented(stopped, token=shown))
        assert not isinstance(refusal, Permit)
        assert refusal.codes == (GateCode.SUSPENDED, GateCode.NO_TOKEN)
        assert stopped.state_at(NOW) is ConsentState.UNKNOWN
        assert code_of(lambda stopped=stopped: token(stopped)) == "consent_suspended"  # type: ignore[misc]
    assert isinstance(ask(use(face()), presented(free, token=shown)), Permit)


def test_a_clock_that_went_back_does_not_resume() -> None:
    stopped = then(record(), suspend(record(), by=Party.SUBJECT, now=LATER))
    refusal = ask(use(face()), presented(stopped, token=token(record())), now=NOW)
    assert not isinstance(refusal, Permit)
    assert refusal.codes[0] == "suspended"


def test_the_same_party_suspends_once() -> None:
    stopped = then(record(), suspend(record(), by=Party.SUBJECT, now=LATER))
    assert code_of(lambda: suspend(stopped, by=Party.SUBJECT, now=LATER)) == "already_suspended"
    assert code_of(lambda: resume(stopped, of=Party.REVIEW, by=Party.REVIEW, now=LATER)) == "not_suspended"
    twice = replace(suspend(record(), by=Party.SUBJECT, now=LATER), number=2)
    with pytest.raises(RecordInvalid, match="twice"):
        fold([*stopped.events, twice])
    with pytest.raises(RecordInvalid, match="was not suspended"):
        fold([*stopped.events, Resumed(consent_id="cns_1", number=2, at=LATER, of=Party.REVIEW, by=Party.REVIEW)])


def test_a_person_can_take_back_and_end_while_suspended() -> None:
    stopped = then(record(), suspend(record(), by=Party.AUTHORITY, now=NOW))
    less = then(stopped, narrow(stopped, purposes=[Purpose.CAMEO], now=NOW))
    assert less.suspended
    ended = then(less, revoke(less, by=RevokedBy.SUBJECT, now=NOW))
    assert ended.state_at(NOW) is ConsentState.WITHDRAWN


def test_there_is_always_room_to_suspend_and_to_end() -> None:
    often = record(max_seconds=3600)
    for seconds in range(3599, 0, -1):
        try:
            often = then(often, narrow(often, limits=Limits(max_seconds=seconds), now=NOW))
        except ConsentInvalid as error:
            assert error.code == "too_many_changes"  # noqa: PT017 - the loop ends by it
            break
    for party in Party:
        often = then(often, suspend(often, by=party, now=NOW))
    often = then(often, revoke(often, by=RevokedBy.SUBJECT, now=NOW))
    assert read_record(sign_record(often, KEY), KEYS) == often


def test_the_signed_record_names_who_suspends() -> None:
    stopped = then(record(), suspend(record(), by=Party.REVIEW, now=LATER))
    text = sign_record(stopped, KEY)
    assert read_record(text, KEYS).suspended[0].by is Party.REVIEW


# --- renewing --------------------------------------------------------------------------------------------------------


def test_a_renewal_gives_a_new_term_and_nothing_else() -> None:
    before = record()
    after = then(before, renewed(before, now=NOW + 300 * DAY))
    assert after.state_at(NOW + 299 * DAY) is ConsentState.GIVEN
    assert after.state_at(NOW + 300 * DAY) is ConsentState.RENEWED
    assert after.expires_at == NOW + 300 * DAY + DEFAULT_TERM
    assert replace(after.scope, expires_at=before.expires_at) == before.scope
    at = NOW + 400 * DAY  # beyond the first term
    assert isinstance(ask(use(face()), presented(after, token=token(after, now=at)), now=at), Permit)


@pytest.mark.parametrize(
    ("days", "allowed"), [(1, True), (LONGEST_TERM.days, True), (LONGEST_TERM.days + 1, False), (0, False), (-1, False)]
)
def test_a_renewed_term_is_at_most_ten_years(days: int, allowed: bool) -> None:
    if allowed:
        assert renewed(record(), expires_at=LATER + days * DAY).scope.expires_at == LATER + days * DAY
    else:
        assert code_of(lambda: renewed(record(), expires_at=LATER + days * DAY)) == "expiry_out_of_range"


@pytest.mark.parametrize(
    "more",
    [
        {"purposes": list(Purpose)},
        {"audience": ("*",)},
        {"limits": Limits(max_seconds=61, forbidden_categories=(ContentCategory.ADULT,))},
        {"limits": Limits(max_seconds=60)},
        {"makers": ("*",)},
        {"approval": ApprovalRule.NEVER},
    ],
)
def test_a_renewal_never_adds(more: dict[str, object]) -> None:
    strict = granted()
    strict = replace(
        strict,
        scope=replace(
            strict.scope,
            makers=("self",),
            approval=ApprovalRule.ALWAYS,
            limits=Limits(max_seconds=60, forbidden_categories=(ContentCategory.ADULT,)),
        ),
    )
    before = fold([strict])
    assert code_of(lambda: renewed(before, **more)) == "not_within"
    forged = replace(renewed(before), scope=replace(before.scope, **more))  # type: ignore[arg-type]
    with pytest.raises(RecordInvalid, match="more than what stood"):
        fold([*before.events, forged])


def test_what_was_taken_back_is_not_renewed() -> None:
    before = record()
    less = then(before, narrow(before, purposes=[Purpose.CAMEO], now=NOW))
    assert code_of(lambda: renewed(less, purposes=before.purposes)) == "not_within"


def of_another_model(one: FaceTemplate) -> FaceTemplate:
    return FaceTemplate(vector=one.vector, contract_id="another-model")


@pytest.mark.parametrize(
    "shown",
    [
        (),
        (vector(2),),
        (vector(1, seed=3), vector(2)),
        (of_another_model(vector(1)),),
    ],
    ids=["nobody", "somebody else", "somebody else too", "cannot be compared"],
)
def test_only_the_person_who_enrolled_renews(shown: tuple[FaceTemplate, ...]) -> None:
    assert code_of(lambda: renewed(record(), shown=shown)) == "not_same_person"


@pytest.mark.parametrize(
    ("check", "code"),
    [
        (not_live(), "not_live"),
        (again(at=LATER - HOUR), "live_not_fresh"),
        (again(at=LATER + HOUR), "live_not_fresh"),
        (replace(again(), challenge_id=live().challenge_id), "live_reused"),
    ],
)
def test_a_renewal_needs_a_fresh_check_of_its_own(check: Live, code: str) -> None:
    assert code_of(lambda: renewed(record(), check)) == code


def test_a_renewal_is_to_the_words_of_today() -> None:
    from consent.terms import VERSIONS

    assert code_of(lambda: renewed(record(), terms=VERSIONS[0])) == "terms_outdated"
    made_up = Terms(version="1", language="en", text="yes", sha256="ab" * 32)
    assert code_of(lambda: renewed(record(), terms=made_up)) == "terms_unknown"


def test_two_renewals_do_not_share_a_check() -> None:
    once = then(record(), renewed(record()))
    assert code_of(lambda: renewed(once)) == "live_reused"
    twice = replace(renewed(once, again(3)), live=replace(once.granted.live, judged_at=LATER))
    with pytest.raises(RecordInvalid, match="used before"):
        fold([*once.events, twice])


def test_a_renewal_is_worth_the_weaker_of_its_checks() -> None:
    weaker = again(assurance=SIMULATED.assurance)
    assert then(record(), renewed(record(), weaker)).assurance is SubjectAssurance.SIMULATED
    stronger = again(assurance=Assurance.ATTESTED)
    assert then(record(), renewed(record(), stronger)).assurance is SubjectAssurance.WEB


# --- how long anything is kept ---------------------------------------------------------------------------------------


def test_three_years_without_the_person_end_it() -> None:
    before = record(expires_at=NOW + LONGEST_TERM)
    assert before.expires_at == before.destroy_by == NOW + IDLE
    assert before.state_at(NOW + IDLE - TICK) is ConsentState.GIVEN
    assert before.state_at(NOW + IDLE) is ConsentState.EXPIRED
    touched = then(before, suspend(before, by=Party.SUBJECT, now=LATER))
    assert touched.expires_at == LATER + IDLE
    not_by_them = then(before, suspend(before, by=Party.AUTHORITY, now=LATER))
    assert not_by_them.expires_at == NOW + IDLE


def test_destruction_is_due_at_the_first_end() -> None:
    before = record(expires_at=NOW + DAY)
    assert before.destroy_by == NOW + DAY
    assert then(before, revoke(before, by=RevokedBy.SUBJECT, now=LATER)).destroy_by == LATER
    late = then(before, revoke(before, by=RevokedBy.SUBJECT, now=NOW + 2 * DAY))
    assert late.destroy_by == NOW + DAY


def test_records_of_the_first_release_keep_the_term_they_were_promised() -> None:
    old = replace(granted(expires_at=NOW + LONGEST_TERM), schema=1)
    assert fold([old]).expires_at == NOW + LONGEST_TERM


@pytest.mark.parametrize(
    "newer",
    [
        {"makers": ("self",)},
        {"approval": ApprovalRule.ALWAYS},
        {"limits": Limits(max_seconds=60, territories=("DE",))},
        {"limits": Limits(max_seconds=60, allowed_categories=())},
    ],
)
def test_a_choice_is_never_lost_in_an_old_schema(newer: dict[str, object]) -> None:
    event = granted()
    assert code_of(lambda: replace(event, schema=1, scope=replace(event.scope, **newer))) == "schema_invalid"  # type: ignore[arg-type]


# --- no order of it all opens more -----------------------------------------------------------------------------------

SMALL_TIMES = st.sampled_from([TICK, MINUTE, DAY, 100 * DAY, 400 * DAY, timedelta(0)])


class Life(RuleBasedStateMachine):
    """A consent in the hands of everybody, against a model of three facts: what is left, who suspends, whether it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.checks = 1
        self.record = fold(
            [granted(purposes=list(Purpose), audience=("*",), max_seconds=60, expires_at=NOW + LONGEST_TERM)]
        )
        self.purposes, self.backends = set(Purpose), {BACKEND, "other", "third"}
        self.seconds, self.ends, self.touched = 60, NOW + LONGEST_TERM, NOW
        self.stopped: set[Party] = set()
        self.ended = False

    def try_(self, make: Callable[[], ConsentEvent]) -> bool:
        """False, and nothing changed, when it is not allowed."""
        before = self.record
        try:
            event = make()
        except ConsentInvalid:
            assert self.record is before
            return False
        assert event_from_bytes(event_bytes(event)) == event
        self.record = fold([*before.events, event])
        return True

    @property
    def over(self) -> bool:
        return self.ended or self.now >= min(self.ends, self.touched + IDLE)

    @rule(by=SMALL_TIMES)
    def time_passes(self, by: timedelta) -> None:
        self.now += by

    @rule(purposes=st.lists(st.sampled_from(list(Purpose)), min_size=1), seconds=st.integers(1, 70))
    def narrows(self, purposes: list[Purpose], seconds: int) -> None:
        done = self.try_(
            lambda: narrow(self.record, purposes=purposes, limits=Limits(max_seconds=seconds), now=self.now)
        )
        assert not (done and (self.over or seconds > self.seconds or set(purposes) - self.purposes))
        if done:
            self.purposes, self.seconds, self.touched = set(purposes), seconds, self.now

    @rule(names=st.lists(st.sampled_from([BACKEND, "other", "third"]), unique=True), days=st.integers(1, 4000))
    def narrows_who_and_how_long(self, names: list[str], days: int) -> None:
        ends = self.now + days * DAY
        done = self.try_(lambda: narrow(self.record, audience=names, expires_at=ends, now=self.now))
        assert not (done and (self.over or ends > self.ends or set(names) - self.backends))
        if done:
            self.backends, self.ends, self.touched = set(names), ends, self.now

    @rule(
        person=st.sampled_from([1, 1, 2]),
        age=st.sampled_from([MINUTE, MINUTE, DAY]),
        reuse=st.booleans(),
        purposes=st.none() | st.lists(st.sampled_from(list(Purpose)), min_size=1),
        days=st.sampled_from([1, 365, 3652, 3653]),
    )
    def renews(self, person: int, age: timedelta, reuse: bool, purposes: list[Purpose] | None, days: int) -> None:
        self.checks += not reuse
        check = replace(live(judged_at=self.now - age), challenge_id=f"chl_{self.checks}")
        ends = self.now + days * DAY
        used = check.challenge_id in {e.live.challenge_id for e in self.record.events if hasattr(e, "live")}
        done = self.try_(
            lambda: renewed(self.record, check, now=self.now, person=person, purposes=purposes, expires_at=ends)
        )
        wrong = person != 1 or age > 15 * MINUTE or used or days > 3652 or bool(set(purposes or ()) - self.purposes)
        assert not (done and (wrong or self.over or self.stopped))
        if done:
            self.purposes = self.purposes if purposes is None else set(purposes)
            self.ends, self.touched = ends, self.now

    @rule(party=st.sampled_from(list(Party)))
    def suspends(self, party: Party) -> None:
        done = self.try_(lambda: suspend(self.record, by=party, now=self.now))
        assert done is (not self.over and party not in self.stopped)
        if done:
            self.stopped.add(party)
            self.touched = self.now if party in (Party.SUBJECT, Party.APP) else self.touched

    @rule(of=st.sampled_from(list(Party)), by=st.sampled_from(list(Party)))
    def resumes(self, of: Party, by: Party) -> None:
        done = self.try_(lambda: resume(self.record, of=of, by=by, now=self.now))
        assert not (done and (self.over or of not in self.stopped or by not in (of, Party.SUBJECT)))
        if done:
            self.stopped.discard(of)
            self.touched = self.now if by in (Party.SUBJECT, Party.APP) else self.touched

    @precondition(lambda self: len(self.record.events) > 4)
    @rule(by=st.sampled_from(list(RevokedBy)))
    def revokes(self, by: RevokedBy) -> None:
        done = self.try_(lambda: revoke(self.record, by=by, now=self.now))
        assert done is not self.ended
        self.ended = True

    @rule(
        purpose=st.sampled_from(list(Purpose)),
        backend=st.sampled_from([BACKEND, "other", "third"]),
        seconds=st.integers(1, 70),
        back=st.sampled_from([timedelta(0), timedelta(0), DAY, 500 * DAY]),
    )
    def a_backend_asks(self, purpose: Purpose, backend: str, seconds: int, back: timedelta) -> None:
        """Perhaps with a clock that went back."""
        first = fold([self.record.granted])
        at = max(NOW, self.now - back)
        held = replace(
            token(first, purpose=purpose, life=DAY),
            audience=backend, assurance=self.record.assurance, issued_at=NOW, expires_at=self.now + DAY,
        )  # fmt: skip
        wanted = use(face(), purpose=purpose, backend=backend, seconds=seconds)
        answer = ask(wanted, presented(self.record, token=held), now=at)
        tried = what_would_be_allowed(self.record, wanted, uses_so_far=0, now=at)
        assert isinstance(answer, Permit) is (tried == ())
        if isinstance(answer, Permit):
            assert not self.ended
            assert not self.stopped
            assert purpose in self.purposes
            assert backend in self.backends
            assert seconds <= self.seconds
            assert answer.obligations.max_seconds <= self.seconds
            assert at < min(self.ends, self.touched + IDLE)
            assert answer.expires_at <= min(self.ends, self.touched + IDLE)
        elif back == timedelta(0) and not self.stopped and not self.over:
            assert purpose not in self.purposes or backend not in self.backends or seconds > self.seconds

    @invariant()
    def the_record_says_what_the_model_says(self) -> None:
        assert (self.record.revoked is not None) is self.ended
        assert {suspension.by for suspension in self.record.suspended} == self.stopped
        assert set(self.record.purposes) == self.purposes
        assert self.record.expires_at == min(self.ends, self.touched + IDLE)
        if self.ended or self.stopped or self.over:
            assert not self.record.state_at(self.now).allows_use
        assert read_record(sign_record(self.record, KEY), KEYS) == self.record


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
