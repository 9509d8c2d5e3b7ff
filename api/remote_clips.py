"""Has a clip made by a vendor, inside the same run as a local one: permitted, watched, fetched, and given back to be marked.

What survives a crash is in ``remote_jobs``: our key is written before the order goes out, the vendor's handle as soon as it is
known. A run that finds a row therefore looks for the job, or goes on watching it, and never orders again. While it waits, the
consents are looked at every two seconds; when the work must stop, the vendor is asked to stop too.

A story of several jobs (:mod:`likeness.chain`) has a row for each in ``remote_parts``, in the same way; what a part gave is
kept sealed until the clip is written, so that it is neither paid for twice nor fetched again.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import urlsplit

from api.engines import Bounded, maker_class, open_remote
from api.handovers import Shelved, hand_over
from api.media import Erased, Sealed
from api.outbound import Resolver, system_resolver
from api.remote import Carrier, NetCarrier, RemoteRunner
from api.remote_accounts import read_accounts
from api.service import Service
from api.settings import Settings
from api.storage import Store
from api.tables import ClipRow, RemoteJobRow, RemotePartRow
from consent.gate import Permit
from likeness.backends import Standing, admit, cards
from likeness.chain import Plan, plan_of, shots_of
from likeness.errors import RemoteError
from likeness.generate import Clip
from likeness.in_process import Maker, Unready, why_not
from likeness.remote import (
    Callback,
    FaultCode,
    MediaKind,
    Mode,
    RemoteBackend,
    RemoteHandle,
    RemoteJob,
    RemoteState,
    Running,
)
from likeness.vendor_clip import clip_of, clip_of_parts
from likeness.vendor_job import Checked, CheckedPicture, Wish, job_of

log = logging.getLogger("mien.remote")

CHANNEL = "mien_remote"
_AT_ONCE = 8  # a place is held while a vendor works, at no cost to this machine
_SLICE_S = 2.0  # as often as a local clip looks whether it is still allowed
WAITING = 0.9  # share of the progress that the vendor's work is
_UNKNOWN_PROGRESS = 0.3
_FETCHED_WITHIN = timedelta(hours=2)  # queues of vendors are long; the address ends with the job all the same
_PARTS_KEPT = timedelta(hours=24)

WhoIsShown = Callable[[bytes], "tuple[str, ...] | None"]
"""The consents of everybody in a picture that was made on the way; ``None``: it shows somebody else, or nobody can tell."""


class Bells:
    """Rung when a vendor said that something changed; whoever waits for that clip looks at once."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rung: set[str] = set()

    def ring(self, clip_id: str | None) -> None:
        if clip_id is None:
            return
        with self._changed:
            self._rung.add(clip_id)
            self._changed.notify_all()

    def wait(self, clip_id: str, seconds: float) -> bool:
        """Whether it was rung meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: clip_id in self._rung, seconds)
            if clip_id in self._rung:
                self._rung.discard(clip_id)
                return True
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Remotes:
    """The vendors that the operator has accounts with, and generators on this machine. ``unready``: why others of these are not
    offered."""

    backends: Mapping[str, RemoteBackend] = field(default_factory=dict)
    local: Mapping[str, Maker] = field(default_factory=dict)
    unready: Mapping[str, Unready] = field(default_factory=dict)
    carrier: Carrier = field(default_factory=NetCarrier)
    bound: Bounded = field(default_factory=lambda: Bounded(_AT_ONCE))
    bells: Bells = field(default_factory=Bells)
    wait: Callable[[float], None] | None = None
    """Instead of waiting for a bell, for tests."""

    def runner(self, service: Service, backend: RemoteBackend, sleep: Callable[[float], None]) -> RemoteRunner:
        loopback = urlsplit(backend.account.host).scheme == "http"  # only the operator's own may be plain
        return RemoteRunner(carrier=self.carrier, now=service.now, sleep=sleep, loopback=loopback)


def open_remotes(settings: Settings, *, resolve: Resolver = system_resolver) -> Remotes:
    """Raises: SettingsInvalid, RemoteError."""
    accounts = read_accounts(settings.backends, settings.backends_toml)
    here = [name for name, card in cards().items() if card.standing is Standing.LOCAL]
    unready = {name: why for name in here if (why := why_not(accounts.get(name), maker_class(name))) is not None}
    return Remotes(
        backends={name: open_remote(name, account) for name, account in accounts.items() if name not in here},
        local={name: maker_class(name)(accounts[name]) for name in here if name not in unready},
        unready=unready,
        carrier=NetCarrier(resolve),
    )


def remote_clip(
    service: Service,
    remotes: Remotes,
    *,
    clip_id: str,
    backend_name: str,
    wish: Wish,
    permit: Permit,
    checked: Sequence[Checked],
    may_leave: Callable[[Store], None],
    tell: Callable[[float], None],
    ends_it: Callable[[Exception], bool],
    who: WhoIsShown,
) -> Clip:
    """The clip, decoded and unmarked.

    checked : media that the gate looked at, in the order of the order. who : looks at pictures that are made on the way.
    may_leave : raises, in the transaction that writes the order down, when the pictures may not go out any more: a withdrawal
        comes before that, and they stay here, or after it, and the vendor owes their deletion.
    tell : hears how far it is, and raises when this run must stop.
    ends_it : whether that means that nobody wants the clip any more, so that the vendor is asked to stop; a run that was only
        overtaken, or lost its database, leaves the job for the next.

    Raises: RemoteError, PermitMismatch, whatever ``may_leave`` and ``tell`` raise.
    """
    maker = remotes.local.get(backend_name)
    if maker is not None:
        job = job_of(permit, wish, checked, callback=None, now=service.now())
        admit(job, cards()[backend_name])
        return maker.make(job, tell=lambda done: tell(WAITING * done))
    backend = remotes.backends.get(backend_name)
    if backend is None:
        raise RemoteError("the operator has no account there", code="generator_unavailable")
    far = 0.0

    def patiently(seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            tell(far)
            left = until - time.monotonic()
            if remotes.wait is not None:
                remotes.wait(seconds)
                return
            if left <= 0 or remotes.bells.wait(clip_id, min(_SLICE_S, left)):
                return

    def hear(state: RemoteState) -> None:
        nonlocal far
        if isinstance(state, Running):
            far = max(far, WAITING * (_UNKNOWN_PROGRESS if state.progress is None else min(1.0, state.progress)))
        tell(far)

    runner = remotes.runner(service, backend, patiently)
    model = backend.model(wish.model)
    known = _known(service, clip_id, backend, wish, may_leave)
    job = job_of(permit, wish, checked, callback=known.callback, now=service.now())

    def made(slot: _Slot, part: RemoteJob) -> bytes:
        """What the vendor gives for one job: ordered once, watched, fetched."""
        handle = _ordered(service, runner, backend, part, slot, clip_id=clip_id)
        left_s = backend.card.deadline_s - (service.now() - slot.ordered_at).total_seconds()
        kind = MediaKind.PICTURE if part.mode is Mode.IMAGE else MediaKind.VIDEO
        try:
            done = runner.wait(backend, handle, told=hear, deadline_s=max(0.0, left_s))
            outputs = [output for output in done.outputs if output.kind is kind]
            if not outputs:
                raise RemoteError(f"the vendor made no {kind.value}", code=FaultCode.OUTPUT_MISSING)
            return runner.fetch(backend, outputs[0])
        except Exception as error:
            if not isinstance(error, RemoteError) and ends_it(error):
                remotes.runner(service, backend, time.sleep).cancel(backend, handle)
            raise

    named = f"{backend.card.name}@{model.id}"
    try:
        if model.chains:
            plan = plan_of(job, backend.card)

            def part_made(place: int, part: RemoteJob) -> bytes:
                nonlocal far
                slot = _part(service, clip_id, place, part, may_leave)
                content = slot.content(service)
                if content is None:
                    part = _handed_over(service, backend, part, permit, clip_id) if slot.handle is None else part
                    content = made(slot, part)
                    slot.keep(service, content)
                far = WAITING * (place + 1) / plan.parts
                tell(far)
                return content

            return clip_of_parts(_parts_made(job, plan, part_made, who), generator=named, sound=wish.sound)
        if known.handle is None:
            job = _handed_over(service, backend, job, permit, clip_id)
        return clip_of(made(known, job), generator=named, sound=wish.sound)
    finally:
        with service.database.transaction() as store:
            store.take_handovers_back(clip_id)


def _parts_made(job: RemoteJob, plan: Plan, made: Callable[[int, RemoteJob], bytes], who: WhoIsShown) -> list[bytes]:
    """The shots of a story, one job after the other: a refusal of one is not followed by paying for the next."""
    frames = []
    for place, part in enumerate(plan.pictures):
        content = made(place, part)
        shown = who(content)
        if shown is None:
            raise RemoteError("a frame that was made shows somebody else", code=FaultCode.OUTPUT_UNUSABLE)
        frames.append(CheckedPicture(content=content, consents=shown))
    shots = shots_of(job, plan, frames)
    return [made(len(plan.pictures) + place, shot) for place, shot in enumerate(shots)]


def _handed_over(service: Service, backend: RemoteBackend, job: RemoteJob, permit: Permit, clip_id: str) -> RemoteJob:
    """The job with an address of ours for each medium, where the vendor takes them in no other way: a copy, sealed under the
    clip's key, given out while the job lasts and the consents hold."""
    if not backend.model(job.model).by_address:
        return job
    with service.database.transaction() as store:
        clip = store.get(ClipRow, clip_id)
        if clip is None:
            raise RemoteError("the clip is gone", code=FaultCode.INPUT_INVALID)
        media = []
        for each in job.media:
            sealed_id = service.vault.put(
                store,
                each.content,
                kind=Sealed.PART,
                data_key_id=clip.data_key_id,
                now=service.now(),
                keep=_FETCHED_WITHIN,
            )
            shelved = Shelved(
                sealed_id=sealed_id,
                owner=clip_id,
                content=each.content,
                media_type=each.media_type,
                consents=tuple(consent_id for consent_id, _ in permit.consents),
            )
            address = hand_over(
                service,
                store,
                shelved,
                job_id=clip_id,
                backend=backend.card.name,
                purpose=permit.purpose,
                keep=_FETCHED_WITHIN,
            )
            media.append(replace(each, address=address))
    return replace(job, media=tuple(media))


class _Slot(Protocol):
    """Where a job is written down."""

    @property
    def key(self) -> str: ...

    @property
    def handle(self) -> RemoteHandle | None: ...

    @property
    def ordered_at(self) -> datetime: ...

    @property
    def new(self) -> bool: ...

    def note(self, store: Store, state: str, handle: RemoteHandle | None) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is written down of a job. ``new``: nobody has ordered it yet."""

    clip_id: str
    key: str
    callback: str | None = field(repr=False)
    handle: RemoteHandle | None
    ordered_at: datetime
    new: bool

    def note(self, store: Store, state: str, handle: RemoteHandle | None) -> None:
        row = store.get(RemoteJobRow, self.clip_id, lock=True)
        if row is not None:
            row.state = state
            row.handle = None if handle is None else dict(handle.to_json())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The same of one of several."""

    clip_id: str
    place: int
    key: str
    handle: RemoteHandle | None
    ordered_at: datetime
    new: bool

    def note(self, store: Store, state: str, handle: RemoteHandle | None) -> None:
        row = store.get(RemotePartRow, (self.clip_id, self.place), lock=True)
        if row is not None:
            row.state = state
            row.handle = None if handle is None else dict(handle.to_json())

    def content(self, service: Service) -> bytes | None:
        """What an earlier run fetched."""
        with service.database.transaction() as store:
            row = store.get(RemotePartRow, (self.clip_id, self.place))
            try:
                return None if row is None else service.vault.get(store, row.content_id, owner=self.clip_id)
            except Erased:
                return None

    def keep(self, service: Service, content: bytes) -> None:
        with service.database.transaction() as store:
            clip = store.get(ClipRow, self.clip_id)
            row = store.get(RemotePartRow, (self.clip_id, self.place), lock=True)
            if clip is not None and row is not None:
                row.state = "made"
                row.content_id = service.vault.put(
                    store,
                    content,
                    kind=Sealed.PART,
                    data_key_id=clip.data_key_id,
                    now=service.now(),
                    keep=_PARTS_KEPT,
                )


def _part(service: Service, clip_id: str, place: int, job: RemoteJob, may_leave: Callable[[Store], None]) -> _Part:
    """This part of the clip, written down now if it was not: from here on nobody else will order it."""
    with service.database.transaction() as store:
        row = store.get(RemotePartRow, (clip_id, place), lock=True)
        new = row is None
        if row is None:
            may_leave(store)
            kind = MediaKind.PICTURE if job.mode is Mode.IMAGE else MediaKind.VIDEO
            row = RemotePartRow(
                clip_id=clip_id,
                place=place,
                kind=kind.value,
                job_key=str(uuid.uuid4()),
                state="ordering",
                ordered_at=service.now(),
            )
            store.add(row)
        handle = None if row.handle is None else RemoteHandle.from_json(row.handle)
        return _Part(clip_id=clip_id, place=place, key=row.job_key, handle=handle, ordered_at=row.ordered_at, new=new)


def goes_on(backend: str, row: RemoteJobRow | None) -> bool:
    """Whether a clip of an older state of the database can be gone on with, and nothing be ordered twice: made here, or a
    single job that is written down, which is then looked for."""
    card = cards().get(backend)
    if card is None:
        return False
    if card.standing is Standing.LOCAL:
        return True
    return row is not None and not any(model.name == row.model and model.chains for model in card.models)


def drop_parts(service: Service, clip_id: str) -> None:
    """The clip is written: what its parts were is not needed any more."""
    with service.database.transaction() as store:
        for row in store.remote_parts(clip_id):
            service.vault.erase(store, row.content_id, now=service.now())


def _known(
    service: Service, clip_id: str, backend: RemoteBackend, wish: Wish, may_leave: Callable[[Store], None]
) -> _Known:
    """The job of this clip, written down now if it was not: from here on nobody else will order it."""
    with service.database.transaction() as store:
        row = store.get(RemoteJobRow, clip_id, lock=True)
        new = row is None
        if row is None:
            may_leave(store)
            row = RemoteJobRow(
                clip_id=clip_id,
                backend=backend.card.name,
                model=wish.model,
                job_key=str(uuid.uuid4()),
                callback_secret=secrets.token_urlsafe(24),
                state="ordering",
                ordered_at=service.now(),
            )
            store.add(row)
        return _Known(
            clip_id=clip_id,
            key=row.job_key,
            callback=_callback_address(service, clip_id, row.callback_secret),
            handle=None if row.handle is None else RemoteHandle.from_json(row.handle),
            ordered_at=row.ordered_at,
            new=new,
        )


def _ordered(
    service: Service, runner: RemoteRunner, backend: RemoteBackend, job: RemoteJob, known: _Slot, *, clip_id: str
) -> RemoteHandle:
    """The vendor's handle: of an order that goes out now, or of one that an earlier run sent."""
    if known.handle is not None:
        return known.handle
    try:
        order = runner.submit if known.new else runner.found
        handle = order(backend, job, key=known.key)
    except RemoteError as error:
        unknown = error.code == FaultCode.SUBMIT_OUTCOME_UNKNOWN
        with service.database.transaction() as store:
            known.note(store, "outcome_unknown" if unknown else "refused", None)
        raise
    with service.database.transaction() as store:
        known.note(store, "ordered", handle)
    log.info("%s was ordered from %s", clip_id, backend.card.name)
    return handle


def _callback_address(service: Service, clip_id: str, secret: str) -> str | None:
    """Where the vendor may tell that something changed: unguessable, and only if the world can reach us safely."""
    if not service.settings.public_url.startswith("https://"):
        return None
    return f"{service.settings.public_url}/v1/remote/callbacks/{clip_id}/{secret}"


def hear_callback(
    service: Service, remotes: Remotes, store: Store, clip_id: str, secret: str, callback: Callback
) -> bool:
    """Take a callback: whoever waits for the clip looks at once. False when it is not for a job of ours.

    Raises: RemoteError ``callback_forged``.
    """
    row = store.get(RemoteJobRow, clip_id)
    if row is None or not hmac.compare_digest(row.callback_secret.encode(), secret.encode()):
        return False
    backend = remotes.backends.get(row.backend)
    if backend is None:
        return False
    remotes.runner(service, backend, _impatient).hear(backend, callback)
    store.notify(CHANNEL, clip_id)
    return True


def hear_account(service: Service, remotes: Remotes, store: Store, name: str, callback: Callback) -> bool:
    """The same where a vendor's callbacks are set for the account: which job it is about, the callback says, once it proved to
    be the vendor's. One for a job of somebody else on that account is no error, and wakes nobody.

    Raises: RemoteError ``callback_forged``.
    """
    backend = remotes.backends.get(name)
    if backend is None or backend.card.told_by != "account":
        return False
    if not remotes.runner(service, backend, _impatient).hear(backend, callback):
        raise RemoteError("a callback for an account proves whose it is", code=FaultCode.CALLBACK_FORGED)
    vendor_id = backend.named(callback)
    clip_id = None if vendor_id is None else store.clip_of_vendor_job(name, vendor_id)
    if clip_id is not None:
        store.notify(CHANNEL, clip_id)
    return True


def _impatient(_: float) -> None:
    raise RemoteError("the vendor's keys cannot be had now", code=FaultCode.VENDOR_UNAVAILABLE)
