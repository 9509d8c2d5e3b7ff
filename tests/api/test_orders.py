"""No order of things gives a permit outside what people said: the whole service against a plain model of their words.

Everything goes over HTTP to a service on a real database, with stand-ins for the models only. Between any two calls the
service may be restarted, its keys changed, its clock moved, or its database lost and restored from an older backup. After
every step the gate's books balance, the log is the one that was shown before, and the status list says what the records say.

``ORDERS=500`` tries more orders than the usual few; hypothesis prints the order that failed, and how to run it again.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from api.app import create_app, open_service
from api.auth import Role
from api.backup import back_up, restore
from api.balance import watch
from api.database import Database
from api.engines import FaceEngines
from api.keys import add_master_key, add_signing_key, drop_master_key
from api.ledger import verify_stored
from api.settings import Settings
from api.sweeping import sweep
from api.tables import ConsentRow
from consent.authority import SubjectAssurance
from consent.keys import KeySet
from consent.ledger import verify_receipt
from consent.merkle import EMPTY_ROOT, verify_consistency
from consent.note import from_base64, log_verifiers, open_checkpoint, read_checkpoint, read_note
from consent.offline import Holds, check_offline
from consent.record import read_record
from consent.terms import current
from consent.tokens import UnverifiedToken
from tests.api.conftest import Clock, World, empty
from tests.api.plain_word import A_DAY, NOTHING_CHOSEN, TEN_YEARS, Consent, Debts, Use
from tests.api.scripted import ALICE, BOB, CONTRACT, colour_template

pytestmark = pytest.mark.service

PEOPLE = {"alice": ALICE, "bob": BOB}
BACKENDS = ("studio", "mill")
PURPOSES = ("cameo", "digital_double", "advertising")
JOBS = ("ab" * 32, "cd" * 32)
SCRIPTS = ("Hello.", "Buy a LOTTERY ticket.", "")
ABOUT = ("satire", "politics", "adult")
MAKERS = ("mia", "zoe", "self")
ADMINS_PARTIES = ("controller", "authority", "review")
MOST_RUNNING, MOST_TOKENS = 3, 40


@dataclass(kw_only=True)
class Token:
    """``good_for``: much of what could be made with it when it was fetched."""

    text: str
    consent: Consent
    good_for: Use
    since: datetime
    until: datetime
    outdated: bool = False  # of before its consent became narrower: the gate weighs it anew, nobody else can

    @property
    def backend(self) -> str:
        return self.good_for.backend

    @property
    def purpose(self) -> str:
        return self.good_for.purpose


@dataclass(kw_only=True, eq=False)
class Permit:
    """``seen``: how often something had been said about each consent when it was given. ``lost``: forgotten by the service."""

    text: str
    use: Use
    until: datetime
    seen: dict[str, int]
    spent: bool = False
    lost: bool = False


@dataclass(kw_only=True)
class Backup:
    folder: Path
    changes: dict[str, int]
    over: set[str]
    permits: dict[str, bool]
    debts: Debts
    asked: int
    permitted: int


@dataclass(kw_only=True)
class Place:
    """What all orders share: a database, emptied before each, and a folder."""

    database: Database
    key_file: Path
    faces: FaceEngines
    folder: Path
    counted: Counter[str] = field(default_factory=Counter)

    def emptied(self) -> None:
        empty(self.database)


def some(values: tuple[str, ...], least: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=least, unique=True)


LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "max_seconds": st.sampled_from([60, 30, 5]),
        "forbidden_words": st.sampled_from([[], ["lottery"]]),
        "uses": st.sampled_from([3, 2, 1]),
        "forbidden_categories": some(("politics", "adult")),
        "allowed_categories": some(("satire", "politics")),
        "territories": st.sampled_from([["*"], ["US"], ["US-CA", "DE"], ["DE"]]),
    },
)
CHOICES = {
    "purposes": some(PURPOSES, 1),
    "audience": st.sampled_from([["*"], ["studio", "mill"], ["studio"], ["mill", "portrait"], []]),
    "makers": st.sampled_from([["*"], ["mia", "self"], ["self"], []]),
    "approval": st.sampled_from(["never", "always"]),
    "limits": LIMITS,
}
LITTLE = {"purposes": ["cameo"], "audience": ["*"], "limits": {"max_seconds": 60}}
LIMITED: dict[str, Any] = {
    "purposes": ["cameo"],
    "audience": ["studio"],
    "makers": ["mia"],
    "limits": {
        "max_seconds": 30,
        "forbidden_words": ["lottery"],
        "forbidden_categories": ["politics"],
        "allowed_categories": ["satire", "politics"],
        "territories": ["US-CA", "DE"],
    },
}
BEYOND: dict[str, tuple[Any, ...]] = {
    "seconds": (31,),
    "script": ("Buy a LOTTERY ticket.", None),
    "maker": ("zoe", None),
    "about": (frozenset({"politics"}), frozenset({"adult"}), frozenset({"satire", "adult"}), None),
    "places": (frozenset({"FR"}), frozenset({"DE", "FR"}), frozenset({"US"}), None),
    "purpose": ("advertising",),
    "backend": ("mill",),
}
"""Of :data:`LIMITED`. ``None``: not stated, which nobody can hold against a limit."""
TERMS = st.sampled_from([timedelta(minutes=20), timedelta(days=400), timedelta(days=400), TEN_YEARS])
WHICH = st.integers(0, 63)
BY = st.sampled_from(["person", "person", "app"])


def whole(at: datetime) -> datetime:
    """Tokens and permits count in seconds."""
    return at.replace(microsecond=0)


class Orders(RuleBasedStateMachine):
    """Everybody at once: two people, their app, two backends, an admin, and whoever runs the service."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        place.emptied()
        self.folder = Path(tempfile.mkdtemp(dir=place.folder))
        shutil.copy(place.key_file, self.folder / "keys.json")
        self.settings = Settings(
            database_url=place.database.url,
            var=self.folder,
            weights=self.folder,
            keys=self.folder / "keys.json",
            minimum_assurance=SubjectAssurance.WEB,
            output_check="handed_in",  # only hashes come here; tests/api/test_outputs.py looks at clips
        )
        self.clock, self.open, self.keys = Clock(), ExitStack(), dict[str, str]()
        self.start()
        self.keys = {
            role.value: self.world.key(role, f"{role.value}-one") for role in (Role.APP, Role.AUDITOR, Role.ADMIN)
        } | {name: self.world.key(Role.BACKEND, name) for name in BACKENDS}
        self.world.keys = self.keys
        self.consents: list[Consent] = []
        self.manage: dict[str, tuple[str, datetime]] = {}
        self.tokens: list[Token] = []
        self.permits: list[Permit] = []
        self.debts = Debts()
        self.backup: Backup | None = None
        self.asked = self.permitted = 0
        self.receipts: dict[int, dict[str, Any]] = {}  # the first that was given of each entry
        self.shown: dict[int, bytes] = {}  # roots of every checkpoint that was ever shown, by size
        self.touched: Consent | None = None
        self.turn = 0
        self.deleted: set[str] = set()

    def start(self) -> None:
        service = self.open.enter_context(
            open_service(self.settings, faces=self.place.faces, now=self.clock, database=self.place.database)
        )
        client = self.open.enter_context(TestClient(create_app(service)))
        self.world = World(client, service, self.clock, self.keys)
        self.look_up_keys()

    def look_up_keys(self) -> None:
        self.world.service.ring.reload()
        self.public = KeySet.from_jwks(self.world.call("GET", "/.well-known/jwks.json").json())

    def teardown(self) -> None:
        try:
            watch(self.world.service)
            assert self.books()["fail_open"] == 0
            self.every_receipt_holds()
            last = max(self.shown, default=0)
            for size, root in self.shown.items():
                self._leads_to(size, root, last, self.shown[last])
        finally:
            self.open.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- what helps to tell it ---------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return self.clock()

    def pick(self, which: int) -> Consent:
        """Mostly one that can still be changed: of what is over there is always more."""
        running = [consent for consent in self.consents if consent.runs(self.now)]
        among = running if running and which % 4 else self.consents
        self.touched = among[which % len(among)]
        return self.touched

    def post(self, consent: Consent, tail: str, by: str, body: dict[str, Any] | None = None) -> Any:
        who = self.manage[consent.consent_id][0] if by == "person" else by
        return self.world.call("POST", f"/v1/consents/{consent.consent_id}/{tail}", who, json=body or {})

    def reaches(self, consent: Consent, by: str) -> bool:
        """Whether the caller's key or token is good for this consent."""
        if consent.gone:
            return False
        return by != "person" or (
            self.now < self.manage[consent.consent_id][1] and consent.consent_id not in self.deleted
        )

    def said(self, consent: Consent, *, by_person: bool) -> None:
        consent.changes += 1
        if by_person:
            consent.heard = self.now
        self.debts.ask_back(consent, self.now)

    def outdate_tokens(self, consent: Consent) -> None:
        for token in self.tokens:
            token.outdated |= token.consent is consent

    def kept(self, receipt: dict[str, Any]) -> None:
        self.receipts.setdefault(receipt["leaf"]["index"], receipt)

    # --- what people say ---------------------------------------------------------------------------------------------

    @initialize(person=st.sampled_from(sorted(PEOPLE)), term=TERMS)
    def somebody_agrees_to_much_and_is_used(self, person: str, term: timedelta) -> None:
        much = {"purposes": list(PURPOSES), "audience": ["*"], "limits": {"max_seconds": 60}}
        self.somebody_agrees(person=person, chosen=much, term=term)
        for backend in BACKENDS:
            self.token_of(self.consents[-1], backend, "cameo", 3600)
        self.is_used_at_once(self.consents[-1])
        self.is_backed_up()

    @initialize(person=st.sampled_from(sorted(PEOPLE)), chosen=st.fixed_dictionaries(CHOICES))
    def somebody_agrees_to_one_use(self, person: str, chosen: dict[str, Any]) -> None:
        one = chosen | {"audience": ["*"], "limits": chosen["limits"] | {"uses": 1}}
        self.somebody_agrees(person=person, chosen=one, term=timedelta(days=400))
        self.is_used_at_once(self.consents[-1])

    @initialize(person=st.sampled_from(sorted(PEOPLE)))
    def somebody_limits_everything_and_each_limit_is_tried(self, person: str) -> None:
        """One thing at a time is beyond what they said, so that a limit that nobody looks at shows in every run."""
        self.somebody_agrees(person=person, chosen=deepcopy(LIMITED), term=timedelta(days=400))
        consent = self.consents[-1]
        token = self.token_of(consent, BACKENDS[0], PURPOSES[0], 3600)
        assert token is not None
        assert self.asks([token], [person], token.good_for), "what they allow is allowed"
        for name, values in BEYOND.items():
            for value in values:
                tried = self.asks([token], [person], replace(token.good_for, **{name: value}))
                assert not tried, f"{name}={value} was permitted"
                self.place.counted[f"beyond {name}"] += 1

    @initialize(person=st.sampled_from(sorted(PEOPLE)), by=st.sampled_from(["person", "app", *ADMINS_PARTIES]))
    def somebody_is_stopped_and_goes_on(self, person: str, by: str) -> None:
        """Whatever else chance draws, somebody is stopped in every run while a backend holds a permit."""
        self.somebody_agrees(person=person, chosen=deepcopy(LITTLE), term=timedelta(days=400))
        self.suspends(which=1, by=by)
        self.resumes(which=0, by=by, of="own")

    def is_used_at_once(self, consent: Consent) -> None:
        """And the permit is shown twice."""
        self.a_backend_is_ready(consent)
        if self.permits and consent.consent_id in self.permits[-1].seen:
            self.redeem(self.permits[-1], "right")
            self.redeem(self.permits[-1], "right")

    def a_backend_is_ready(self, consent: Consent) -> None:
        """It has a token, and where that is good for something a permit, not spent yet."""
        scope, backends = consent.scope, [b for b in BACKENDS if consent.scope.backends & {"*", b}]
        held = any(t.consent is consent and self.now < t.until and t.good_for.backend in backends for t in self.tokens)
        if backends and not held and consent.stands(self.now):
            self.token_of(consent, backends[0], min(scope.purposes))
        self.a_backend_tries_again(consent)

    def a_backend_goes_on(self, consent: Consent) -> None:
        """With the last permit that it has not spent, whatever was said since it was given."""
        waiting = [permit for permit in self.permits if consent.consent_id in permit.seen and not permit.spent]
        if waiting:
            self.redeem(waiting[-1], "right")

    @precondition(lambda self: sum(consent.runs(self.now) for consent in self.consents) < MOST_RUNNING)
    @rule(person=st.sampled_from(sorted(PEOPLE)), chosen=st.fixed_dictionaries(CHOICES), term=TERMS)
    def somebody_agrees(self, person: str, chosen: dict[str, Any], term: timedelta) -> None:
        body = chosen | {"expires_at": (self.now + term).isoformat()}
        given = self.world.consent(self.world.shown_live(PEOPLE[person], person), **body)
        record = read_record(given["record"], self.world.service.keys.public)
        self.touched = Consent(
            consent_id=given["consent_id"],
            subject_id=record.subject_id,
            person=person,
            scope=NOTHING_CHOSEN.told(body),
            heard=self.now,
        )
        self.consents.append(self.touched)
        self.manage[given["consent_id"]] = given["manage_token"], self.now + term
        self.kept(given["receipt"])

    @precondition(lambda self: self.consents)
    @rule(
        which=WHICH,
        by=BY,
        less=st.fixed_dictionaries({}, optional=CHOICES),
        term=st.none() | TERMS,
    )
    def narrows(self, which: int, by: str, less: dict[str, Any], term: timedelta | None) -> None:
        consent = self.pick(which)
        body = less | ({} if term is None else {"expires_at": (self.now + term).isoformat()})
        wanted = consent.scope.told(body)
        narrower = (
            wanted != consent.scope and wanted.adds_nothing_to(consent.scope) and wanted.until <= consent.scope.until
        )
        self.a_backend_is_ready(consent)
        answer = self.post(consent, "narrow", by, body)
        allowed = self.reaches(consent, by) and consent.runs(self.now) and narrower
        assert (answer.status_code == 200) is allowed, answer.text
        if allowed:
            self.outdate_tokens(consent)
            consent.scope = wanted
            self.said(consent, by_person=True)
        self.a_backend_goes_on(consent)

    @precondition(lambda self: self.consents)
    @rule(
        which=WHICH,
        who=st.sampled_from(["same", "same", "same", "other"]),
        less=st.fixed_dictionaries({}, optional=CHOICES) | st.just({}),
        term=TERMS,
    )
    def renews(self, which: int, who: str, less: dict[str, Any], term: timedelta) -> None:
        consent = self.pick(which)
        face = consent.person if who == "same" else next(name for name in PEOPLE if name != consent.person)
        session = self.world.shown_live(PEOPLE[face], consent.person)
        body = less | {"expires_at": (self.now + term).isoformat()}
        told = {"session_id": session["session_id"], "terms_sha256": current("en").sha256}
        answer = self.world.call(
            "POST", f"/v1/consents/{consent.consent_id}/renew", session["client_token"], json=told | body
        )
        wanted = consent.scope.told(body)
        allowed = who == "same" and consent.stands(self.now) and wanted.adds_nothing_to(consent.scope)
        assert (answer.status_code == 200) is allowed, answer.text
        if allowed:
            if not consent.scope.adds_nothing_to(wanted) or wanted.until < consent.scope.until:
                self.outdate_tokens(consent)
            consent.scope = wanted
            self.said(consent, by_person=True)
            self.manage[consent.consent_id] = answer.json()["manage_token"], self.now + term
            self.kept(answer.json()["receipt"])

    @precondition(lambda self: self.consents)
    @rule(which=WHICH, by=st.sampled_from(["person", "app", *ADMINS_PARTIES]))
    def suspends(self, which: int, by: str) -> None:
        consent = self.pick(which)
        self.a_backend_is_ready(consent)
        answer = self._as_party(consent, "suspend", by, {})
        party = "subject" if by == "person" else by
        allowed = self.reaches(consent, by) and consent.runs(self.now) and party not in consent.stopped
        assert (answer.status_code == 200) is allowed, answer.text
        if allowed:
            consent.stopped.add(party)
            self.said(consent, by_person=by in ("person", "app"))
            self.place.counted["suspended"] += 1
        self.a_backend_goes_on(consent)

    @precondition(lambda self: any(consent.stopped for consent in self.consents))
    @rule(
        which=WHICH, by=st.sampled_from(["person", "app", *ADMINS_PARTIES]), of=st.sampled_from(["own", "own", "app"])
    )
    def resumes(self, which: int, by: str, of: str) -> None:
        stopped = [consent for consent in self.consents if consent.stopped]
        self.touched = consent = stopped[which % len(stopped)]
        own = "subject" if by == "person" else by
        party = own if of == "own" else of
        answer = self._as_party(consent, "resume", by, {"of": party})
        allowed = (
            self.reaches(consent, by)
            and consent.runs(self.now)
            and party in consent.stopped
            and (party == own or (party, own) == ("app", "subject"))
        )
        assert (answer.status_code == 200) is allowed, answer.text
        if allowed:
            consent.stopped.discard(party)
            self.said(consent, by_person=by in ("person", "app"))

    def _as_party(self, consent: Consent, tail: str, by: str, body: dict[str, Any]) -> Any:
        if by in ADMINS_PARTIES:
            return self.post(consent, tail, "admin", body | {"on_behalf_of": by})
        return self.post(consent, tail, by, body)

    @precondition(lambda self: self.consents)
    @rule(which=WHICH, by=BY)
    def revokes(self, which: int, by: str) -> None:
        consent = self.pick(which)
        self.a_backend_is_ready(consent)
        answer = self.post(consent, "revoke", by)
        reached = self.reaches(consent, by)
        assert (answer.status_code == 200) is reached, answer.text
        if reached and not consent.over:
            consent.over = True
            self.said(consent, by_person=False)
        self.a_backend_goes_on(consent)

    @precondition(lambda self: self.consents)
    @rule(which=WHICH)
    def deletes_everything(self, which: int) -> None:
        asking = self.pick(which)
        answer = self.world.call("DELETE", "/v1/subject", self.manage[asking.consent_id][0])
        reached = self.reaches(asking, "person")
        assert (answer.status_code == 200) is reached, answer.text
        for consent in self.consents:
            if reached and consent.subject_id == asking.subject_id and not consent.gone:
                self.deleted.add(consent.consent_id)
                if not consent.over:
                    consent.over = True
                    self.said(consent, by_person=False)

    # --- what backends do --------------------------------------------------------------------------------------------

    @precondition(lambda self: self.consents and len(self.tokens) < MOST_TOKENS)
    @rule(
        which=WHICH,
        backend=st.sampled_from(BACKENDS),
        purpose=st.sampled_from(PURPOSES),
        life_s=st.sampled_from([600, 3600]),
    )
    def fetches_a_token(self, which: int, backend: str, purpose: str, life_s: int) -> None:
        """Kept, and shown again whatever happens since."""
        self.token_of(self.pick(which), backend, purpose, life_s)

    def token_of(self, consent: Consent, backend: str, purpose: str, life_s: int = 600) -> Token | None:
        body = {"audience": backend, "purpose": purpose, "ttl_s": life_s}
        answer = self.post(consent, "tokens", "app", body)
        covered = consent.scope.backends == {"*"} or backend in consent.scope.backends
        second = whole(self.now)
        until = whole(min(second + timedelta(seconds=life_s), consent.ends))
        allowed = consent.stands(self.now) and purpose in consent.scope.purposes and covered and until > second
        assert (answer.status_code == 201) is allowed, answer.text
        if not allowed:
            return None
        assert datetime.fromisoformat(answer.json()["expires_at"]) == until
        compact, scope = answer.json()["token"], consent.scope
        maker = "self" if scope.makers & {"*", "self"} else min(scope.makers, default=None)
        allowed_about = set(ABOUT) if scope.only_about is None else scope.only_about
        good_for = Use(
            backend=backend,
            purpose=purpose,
            job=JOBS[0],
            seconds=scope.seconds,
            script=SCRIPTS[0] if scope.words else SCRIPTS[1],
            maker=self._named(maker, consent),
            about=frozenset(allowed_about - scope.not_about),
            places=frozenset({"US-CA", "FR"}) if "*" in scope.places else scope.places,
        )
        self.tokens.append(Token(text=compact, consent=consent, good_for=good_for, since=second, until=until))
        return self.tokens[-1]

    @precondition(lambda self: any(consent.stands(self.now) for consent in self.consents))
    @rule(
        data=st.data(),
        which=WHICH,
        off=st.sampled_from(["", "", "", "", "seconds", "script", "maker", "about", "places"]),
        begins=st.sampled_from([True, True, False]),
    )
    def asks_for_what_was_allowed(self, data: st.DataObject, which: int, off: str, begins: bool) -> None:
        """Within what the person chose; ``off``: but for one thing, perhaps. ``begins``: and goes to work at once."""
        standing = [consent for consent in self.consents if consent.stands(self.now)]
        self.touched = consent = standing[which % len(standing)]
        scope, draw = consent.scope, data.draw
        backends = [name for name in BACKENDS if scope.backends == {"*"} or name in scope.backends]
        if not backends:
            return
        backend, purpose = draw(st.sampled_from(backends)), draw(st.sampled_from(sorted(scope.purposes)))
        held = [t for t in self.tokens if (t.consent, t.backend, t.purpose) == (consent, backend, purpose)]
        fresh = not held or (len(self.tokens) < MOST_TOKENS and draw(st.booleans()))
        token = self.token_of(consent, backend, purpose) if fresh else held[-1]
        if token is None:
            return
        makers = [m for m in MAKERS if scope.makers == {"*"} or m in scope.makers] or ["zoe"]
        about = sorted((scope.only_about if scope.only_about is not None else set(ABOUT)) - scope.not_about)
        use = Use(
            backend=backend,
            purpose=purpose,
            job=draw(st.sampled_from(JOBS)),
            seconds=draw(st.sampled_from([5, scope.seconds])),
            script="Hello.",
            maker=self._named(draw(st.sampled_from(makers)), consent),
            about=frozenset(draw(some(tuple(about)))) if about else frozenset(),
            places=frozenset({"US-CA"} if "US" in scope.places else {min(scope.places)}),
        )
        if off:
            use = replace(use, **{off: draw(STRANGE[off])})
        if self.asks([token], [consent.person], use) and begins:
            self.redeems(which=0, job="right")

    @precondition(lambda self: self.tokens)
    @rule(
        data=st.data(),
        shown=st.lists(WHICH, max_size=2),
        faces=st.lists(st.sampled_from(sorted(PEOPLE)), max_size=2, unique=True),
        guess=st.booleans(),
    )
    def asks_with_old_tokens(self, data: st.DataObject, shown: list[int], faces: list[str], guess: bool) -> None:
        draw, tokens = data.draw, [self.tokens[which % len(self.tokens)] for which in shown]
        first = tokens[0] if tokens else None
        use = Use(
            backend=first.backend if first and guess else draw(st.sampled_from(BACKENDS)),
            purpose=first.purpose if first and guess else draw(st.sampled_from(PURPOSES)),
            job=draw(st.sampled_from(JOBS)),
            seconds=draw(STRANGE["seconds"]),
            script=draw(STRANGE["script"]),
            maker=draw(STRANGE["maker"]),
            about=draw(STRANGE["about"]),
            places=draw(STRANGE["places"]),
        )
        self.asks(tokens, [token.consent.person for token in tokens] if guess else faces, use)

    @staticmethod
    def _named(maker: str | None, consent: Consent) -> str | None:
        return consent.subject_id if maker == "self" else maker

    def asks(self, tokens: list[Token], faces: list[str], use: Use) -> bool:
        now = self.now
        context = {
            "purpose": use.purpose,
            "job_sha256": use.job,
            "seconds": use.seconds,
            "script": use.script,
            "maker": use.maker,
            "categories": None if use.about is None else sorted(use.about),
            "territories": None if use.places is None else sorted(use.places),
        }
        shown = [
            {"contract_id": CONTRACT, "vector": [float(x) for x in colour_template(PEOPLE[face]).vector]}
            for face in faces
        ]
        body = self.world.evaluation(
            tokens=[token.text for token in tokens],
            properties={"embeddings": shown},
            context={name: value for name, value in context.items() if value is not None},
            backend=use.backend,
        )
        if use.seconds is None:
            del body["context"]["seconds"]
        answer = self.world.call("POST", "/access/v1/evaluation", use.backend, json=body)
        assert answer.status_code == 200, answer.text
        self.asked += 1
        good = (
            bool(faces)
            and len({token.text for token in tokens}) == len(tokens)
            and sorted(token.consent.person for token in tokens) == sorted(set(faces))
            and not self.debts.blocked(use.backend, now)
            and all(
                (token.backend, token.purpose) == (use.backend, use.purpose)
                and token.since <= now < token.until
                and token.consent.covers(use, now)
                and token.consent.said_yes(use, now)
                for token in tokens
            )
        )
        second = whole(now)
        ends = [second + timedelta(seconds=300), *(token.until for token in tokens), *(t.consent.ends for t in tokens)]
        key = (use.backend, use.purpose, use.job)
        ends += [token.consent.yes[key] for token in tokens if token.consent.scope.asks_me and good]
        until = whole(min(ends))
        good = good and until > second
        told = answer.json()
        assert told["decision"] is good, told["context"]
        self.place.counted["permits" if good else "refusals"] += 1
        if not good:
            return False
        self.permitted += 1
        assert datetime.fromisoformat(told["context"]["expires_at"]) <= until
        assert told["context"]["obligations"]["max_seconds"] == min(t.consent.scope.seconds for t in tokens)
        seen = {token.consent.consent_id: token.consent.changes for token in tokens}
        self.permits.append(Permit(text=told["context"]["permit"], use=use, until=until, seen=seen))
        return True

    def a_backend_tries_again(self, consent: Consent) -> None:
        """What it could make when it fetched the latest token it has."""
        held = [token for token in self.tokens if token.consent is consent]
        if held:
            self.asks([held[-1]], [consent.person], held[-1].good_for)

    def of(self, permit: Permit) -> list[Consent]:
        return [consent for consent in self.consents if consent.consent_id in permit.seen]

    @precondition(lambda self: self.permits)
    @rule(which=WHICH, job=st.sampled_from(["right", "right", "right", "wrong"]))
    def redeems(self, which: int, job: str) -> None:
        self.redeem(self.permits[-1 - which % min(len(self.permits), 6)], job)

    def redeem(self, permit: Permit, job: str) -> None:
        use, consents = permit.use, self.of(permit)
        named = use.job if job == "right" else "ef" * 32
        answer = self.world.call(
            "POST", "/v1/permits/redeem", use.backend, json={"permit": permit.text, "job_sha256": named}
        )
        good = (
            job == "right"
            and not permit.spent
            and not permit.lost
            and self.now < permit.until
            and not self.debts.blocked(use.backend, self.now)
            and all(
                consent.covers(use, self.now)
                and consent.said_yes(use, self.now)
                and consent.changes == permit.seen[consent.consent_id]
                for consent in consents
            )
        )
        assert (answer.status_code == 200) is good, answer.text
        self.place.counted["redeemed" if good else "not redeemed"] += 1
        if good:
            permit.spent = True
            for consent in consents:
                consent.used += 1
                consent.yes.pop((use.backend, use.purpose, use.job), None)
                self.debts.made.add((consent.consent_id, use.backend))

    @precondition(lambda self: any(permit.spent for permit in self.permits))
    @rule(which=WHICH)
    def completes(self, which: int) -> None:
        spent = [permit for permit in self.permits if permit.spent]
        permit = spent[which % len(spent)]
        use = permit.use
        body = {"permit": permit.text, "output_sha256": "ee" * 32}
        answer = self.world.call("POST", "/v1/permits/complete", use.backend, json=body)
        assert (answer.status_code == 200) is not permit.lost, answer.text
        if not permit.lost:
            may_leave = not self.debts.blocked(use.backend, self.now) and all(
                consent.stands(self.now)
                and use.purpose in consent.scope.purposes
                and (consent.scope.backends == {"*"} or use.backend in consent.scope.backends)
                for consent in self.of(permit)
            )
            assert answer.json()["release"] is may_leave, answer.text

    @precondition(lambda self: any(consent.scope.asks_me and not consent.gone for consent in self.consents))
    @rule(which=WHICH, approve=st.sampled_from([True, True, False]))
    def answers(self, which: int, approve: bool) -> None:
        asked = [consent for consent in self.consents if consent.scope.asks_me and not consent.gone]
        self.touched = consent = asked[which % len(asked)]
        path, who = f"/v1/consents/{consent.consent_id}/requests", self.manage[consent.consent_id][0]
        listed = self.world.call("GET", path, who)
        assert (listed.status_code == 200) is self.reaches(consent, "person")
        waiting = listed.json()["requests"] if listed.status_code == 200 else []
        if not waiting:
            return
        one = waiting[which % len(waiting)]
        answer = self.world.call("POST", f"{path}/{one['request_id']}/{'approve' if approve else 'refuse'}", who)
        key = (one["backend"], one["purpose"], one["job_sha256"])
        if answer.status_code == 200 and approve:
            assert consent.stands(self.now)
            consent.yes[key] = self.now + A_DAY
            self.place.counted["yes to one use"] += 1
        elif answer.status_code == 200 and not one["used"]:
            consent.yes.pop(key, None)

    @precondition(lambda self: self.debts.due)
    @rule(backend=st.sampled_from(BACKENDS), excused=st.booleans())
    def a_backend_deletes_or_is_excused(self, backend: str, excused: bool) -> None:
        if excused:
            blocked = self.debts.blocked(backend, self.now)
            path = f"/v1/backends/{backend}/unblock"
            answer = self.world.call("POST", path, "admin", json={"reason": "they wrote to us"})
            assert (answer.status_code == 200) is blocked, answer.text
            self.debts.excuse(backend, self.now)
            return
        self.clock.move(1)
        for purge in self.world.call("GET", "/v1/purges", backend).json()["purges"]:
            if purge["confirmed_at"] is None:
                body = {"assets_deleted": 1, "at": self.now.isoformat()}
                answer = self.world.call("POST", f"/v1/purges/{purge['purge_id']}/confirm", backend, json=body)
                assert answer.status_code == 200, answer.text
        self.debts.confirm(backend)

    # --- what befalls the service ------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 1, 1, 61, 61, 301, 3601, 200_000, 86_400 * 500]))
    def time_passes(self, seconds: float) -> None:
        self.clock.move(seconds)

    @precondition(lambda self: any(consent.runs(self.now) for consent in self.consents))
    @rule(which=WHICH, before_s=st.sampled_from([1.5, 0.001, 0]))
    def the_end_comes_near(self, which: int, before_s: float) -> None:
        running = [consent for consent in self.consents if consent.runs(self.now)]
        self.touched = consent = running[which % len(running)]
        self.clock.move(max(0, (consent.ends - self.now).total_seconds() - before_s))

    @rule()
    def sweeps(self) -> None:
        sweep(self.world.service)
        for consent in self.consents:
            if self.now >= consent.ends and not consent.gone and not consent.over:
                consent.destroyed = True
                self.debts.ask_back(consent, self.now)

    @rule(add=st.sampled_from([add_signing_key, add_master_key]), after_s=st.sampled_from([0, 600]))
    def a_key_is_added(self, add: Callable[..., str], after_s: int) -> None:
        add(self.settings, now=self.now, after=timedelta(seconds=after_s))
        self.look_up_keys()
        self.every_receipt_holds()

    @precondition(lambda self: len(self.world.service.ring.current().masters.wrappers) > 1)
    @rule()
    def old_master_keys_go(self) -> None:
        """Those that nothing names any more; what was backed up under them is then closed."""
        self.clock.move(180)
        self.world.service.ring.reload()
        self.sweeps()
        with self.world.service.database.transaction() as store:
            named = store.under_masters()
        for wrapper in self.world.service.ring.current().masters.wrappers[1:]:
            assert not named.get(wrapper.key_id), "the sweep wraps everything again"
            drop_master_key(self.settings, wrapper.key_id, now=self.now)
            self.backup = None
        self.world.service.ring.reload()

    @precondition(lambda self: self.consents)
    @rule(
        what=st.sampled_from(["restarts", "is backed up", "loses its database", "loses its database"]),
        last=st.sampled_from(["a revocation", "a pause", "a consent", "nothing"]),
        which=WHICH,
    )
    def the_service_has_a_bad_day(self, what: str, last: str, which: int) -> None:
        """``last``: what happened right before the database was lost."""
        if what == "restarts":
            self.open.close()
            self.open = ExitStack()
            self.start()
        elif what == "is backed up" or self.backup is None:
            self.is_backed_up()
        else:
            if last == "a revocation":
                self.revokes(which=which, by="app")
            elif last == "a pause":
                self.suspends(which=which, by="review")
            elif last == "a consent":
                self.somebody_agrees(person="alice", chosen=LITTLE, term=A_DAY)
                self.a_backend_is_ready(self.consents[-1])
            self.loses_its_database_and_is_restored(self.backup)

    def is_backed_up(self) -> None:
        folder = self.folder / "backup"
        shutil.rmtree(folder, ignore_errors=True)
        back_up(self.settings, folder)
        self.backup = Backup(
            folder=folder,
            changes={consent.consent_id: consent.changes for consent in self.consents if not consent.gone},
            over={consent.consent_id for consent in self.consents if consent.over},
            permits={permit.text: permit.spent for permit in self.permits if not permit.lost},
            debts=deepcopy(self.debts),
            asked=self.asked,
            permitted=self.permitted,
        )

    def loses_its_database_and_is_restored(self, backup: Backup) -> None:
        """What anybody said since the backup ends the consent they said it about; what was given since is gone."""
        self.open.close()
        self.open = ExitStack()
        self.place.emptied()
        restore(replace(self.settings, database_url=self.place.database.owner_url), backup.folder, now=self.clock)
        self.start()
        self.place.counted["restored"] += 1
        self.debts = deepcopy(backup.debts)
        self.asked, self.permitted = backup.asked, backup.permitted
        for permit in self.permits:
            permit.lost = permit.text not in backup.permits
            permit.spent = not permit.lost
        for permit in self.permits:
            if not permit.lost and not backup.permits[permit.text]:  # it may have been spent since
                self.debts.made |= {(consent_id, permit.use.backend) for consent_id in permit.seen}
        for consent in self.consents:
            if consent.consent_id not in backup.changes:
                consent.gone = True
                continue
            consent.yes.clear()
            before = backup.changes[consent.consent_id]
            said_since = consent.changes != before
            counted = consent.scope.uses is not None
            if consent.consent_id not in backup.over and (said_since or counted or consent.destroyed):
                consent.over = True
                consent.changes = max(before, consent.changes) + 1
                self.debts.ask_back(consent, self.now)
        with self.world.service.database.transaction() as store:
            for consent_id in self.deleted & set(backup.changes):
                row = store.get(ConsentRow, consent_id)
                assert row is not None
                assert row.salt == b"", "a deleted person's salt came back"
        self.every_receipt_holds()

    # --- what holds after every step ---------------------------------------------------------------------------------

    @invariant()
    def all_is_well(self) -> None:
        self.turn += 1
        another = self.consents[self.turn % len(self.consents)] if self.consents else None
        for consent in dict.fromkeys([self.touched, another]):
            if consent is not None:
                self.a_backend_tries_again(consent)
        self.the_record_says_what_was_said()
        self.the_status_list_says_what_the_record_says()
        self.the_books_balance()
        self.the_log_is_the_one_that_was_shown()

    def the_record_says_what_was_said(self) -> None:
        consent, self.touched = self.touched, None
        if consent is None:
            return
        answer = self.world.call("GET", f"/v1/consents/{consent.consent_id}", "app")
        assert (answer.status_code == 404) is consent.gone
        if consent.gone:
            return
        told = answer.json()
        assert (told["state"] in ("given", "renewed")) is consent.stands(self.now), told["state"]
        if consent.over:
            assert told["state"] in ("withdrawn", "terminated")
            return
        assert NOTHING_CHOSEN.told(told | {"expires_at": consent.scope.until.isoformat()}) == consent.scope
        assert datetime.fromisoformat(told["expires_at"]) == consent.ends
        assert set(told["suspended_by"]) == consent.stopped
        self.kept(told["receipt"])

    def the_status_list_says_what_the_record_says(self) -> None:
        """For the latest token of each consent: whoever checks offline is told no as soon as the list was fetched."""
        latest = {token.consent.consent_id: token for token in self.tokens if self.now < token.until}
        lists = dict[str, str]()
        for token in latest.values():
            claims = json.loads(_part(token.text, 1))
            uri = claims["status"]["status_list"]["uri"]
            path = uri[uri.index("/v1/") :]
            if path not in lists:
                answer = self.world.call("GET", path)
                lists[path] = answer.text if answer.status_code == 200 else ""
            found = check_offline(
                UnverifiedToken(token.text), lists[path], self.public, audience=token.backend, now=self.now
            )
            consent = token.consent
            holds = not (consent.gone or consent.over or consent.stopped or token.outdated)
            assert isinstance(found, Holds) is holds, found

    def the_books_balance(self) -> None:
        found = self.books()
        assert found["holds"]
        assert (found["attempts"], found["permits"]) == (self.asked, self.permitted)
        assert found["attempts"] == found["permits"] + found["refusals"]
        assert found["recount"] == {name: found[name] for name in ("attempts", "permits", "refusals", "errors")}
        assert (found["fail_open"], found["errors"], found["waiting"]) == (0, 0, 0)

    def books(self) -> dict[str, Any]:
        return dict(self.world.call("GET", "/v1/audit/balance?recount=true", "auditor").json())

    def the_log_is_the_one_that_was_shown(self) -> None:
        with self.world.service.database.transaction() as store:
            whole = verify_stored(store, self.world.service.keys.public)
        content = self.world.call("GET", "/v1/log/checkpoint").text
        origin = read_checkpoint(read_note(content).text).origin
        checkpoint, signed = open_checkpoint(content, log_verifiers(self.public, origin=origin))
        assert signed
        assert max(self.shown, default=0) <= checkpoint.size <= whole.size
        if checkpoint.size not in self.shown:
            last = max(self.shown, default=0)
            self._leads_to(last, self.shown.get(last, EMPTY_ROOT), checkpoint.size, checkpoint.root)
        assert self.shown.setdefault(checkpoint.size, checkpoint.root) == checkpoint.root

    def _leads_to(self, first: int, first_root: bytes, second: int, second_root: bytes) -> None:
        query = {"first": first, "second": second}
        answer = self.world.call("GET", "/v1/log/proof/consistency", params=query)
        assert answer.status_code == 200, answer.text
        verify_consistency(
            first=first,
            first_root=first_root,
            second=second,
            second_root=second_root,
            proof=[from_base64(step) for step in answer.json()["proof"]],
        )

    def every_receipt_holds(self) -> None:
        """With today's keys, and in the log of today: also of what the service has forgotten."""
        seen = set[int]()
        content = self.world.call("GET", "/v1/log/checkpoint").text
        latest = read_checkpoint(read_note(content).text)
        for receipt in self.receipts.values():
            proven = verify_receipt(json.dumps(receipt), self.public, origin=latest.origin)
            if proven.checkpoint.size not in seen:
                seen.add(proven.checkpoint.size)
                self._leads_to(proven.checkpoint.size, proven.checkpoint.root, latest.size, latest.root)


STRANGE: dict[str, st.SearchStrategy[Any]] = {
    "seconds": st.sampled_from([None, 5, 31, 61]),
    "script": st.sampled_from([None, *SCRIPTS]),
    "maker": st.sampled_from([None, "mia", "zoe"]),
    "about": st.none() | some(ABOUT).map(frozenset),
    "places": st.none() | some(("DE", "US", "US-CA", "FR")).map(frozenset),
}


def _part(compact: str, number: int) -> bytes:
    import base64

    part = compact.split(".")[number]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@pytest.fixture
def place(shared_database: Database, database: Database, key_file: Path, faces: FaceEngines, tmp_path: Path) -> Place:
    return Place(database=database, key_file=key_file, faces=faces, folder=tmp_path)


def test_no_order_gives_a_permit_outside_what_people_said(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)  # of thousands of calls
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Orders(place),
        settings=settings(
            max_examples=int(os.environ.get("ORDERS", "10")),
            stateful_step_count=25,
            deadline=None,
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        ),
    )
    for what, least in {"permits": 50, "refusals": 50, "redeemed": 10, "not redeemed": 10, "suspended": 3}.items():
        assert place.counted[what] >= least, f"it would show nothing: {place.counted}"
