"""People whom a vendor verified for itself, under a consent that covers it: begun, finished, used, and deleted there.

The vendor's check never replaces a consent. What it gives us are names (a group, an asset), sealed under a key of their own, so
that they can still be deleted there when the consent, and with it everything sealed under its key, is gone. Whatever a vendor
answers, one call of ours is one step: an app calls :func:`advance` until the person is ``ready``. States are those of
:class:`likeness.ark_people.PersonState`.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from api.consents import record_of
from api.errors import Problem
from api.gate import ended
from api.handovers import Shelved, hand_over, reachable
from api.media import Erased, Sealed, Unsealable
from api.remote import OutcomeUnknown
from api.remote_clips import Remotes
from api.service import Service
from api.storage import Store, new_id
from api.tables import ConsentRow, VendorPersonRow
from api.withdrawals import Step, note
from consent.errors import ConsentError
from consent.record import ConsentRecord
from consent.terms import Purpose
from likeness import ark_people
from likeness.ark_people import PersonState
from likeness.errors import RemoteError
from likeness.remote import FaultCode, MediaKind, RemoteBackend, Steps
from likeness.vendor_job import media_type_of

log = logging.getLogger("mien.remote")

_T = TypeVar("_T")

_FETCHED_WITHIN = timedelta(hours=1)
_FIRST_WAIT, _LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=6)
_SHOWS = (Purpose.DIGITAL_DOUBLE, Purpose.CAMEO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Where a person stands at a vendor. ``link``: for their own eyes, only when they were just invited."""

    backend: str
    state: PersonState
    invited_at: datetime
    link: str | None = field(default=None, repr=False)
    link_expires_at: datetime | None = None
    forgotten_at: datetime | None = None


def begin(service: Service, remotes: Remotes, consent_id: str, backend: str) -> Known:
    """Invite the person to the vendor's own live check; again, if they did not pass the last time.

    Raises: Problem.
    """
    vendor = _vendor(remotes, backend)
    if not reachable(service):
        raise Problem("generator_unavailable", "the vendor sends people back, and fetches pictures, over public https")
    with service.database.transaction() as store:
        _allowed(service, store, consent_id, backend)
        there = store.vendor_person(consent_id, backend)
        if there is not None and there.state not in (PersonState.INVITED, PersonState.REFUSED):
            raise Problem("vendor_person_known")
        before = None if there is None else _names(service, store, there)
    if before is not None:  # nothing of an earlier try may be left there, for nobody would delete it any more
        if before.invited and (group := _passed_meanwhile(service, remotes, vendor, before.token)) is not None:
            _note_step(service, consent_id, backend, was=PersonState.INVITED, now_is=PersonState.VERIFIED, group=group)
            raise Problem("vendor_person_known")
        _said(service, remotes, vendor, _deleted(vendor, before))
    invitation = _said(service, remotes, vendor, ark_people.begin(vendor.account, back_to=_back(service)))
    now = service.now()
    with service.database.transaction() as store:
        _allowed(service, store, consent_id, backend)  # it may have ended while the vendor answered
        row = store.vendor_person(consent_id, backend, lock=True)
        if row is None:
            person_id = new_id("vpn")
            row = VendorPersonRow(
                person_id=person_id,
                consent_id=consent_id,
                backend=backend,
                state=PersonState.INVITED,
                data_key_id=service.vault.new_key(store, owner=person_id, now=now),
                invited_at=now,
                tried=0,
            )
            store.add(row)
        row.state, row.invited_at = PersonState.INVITED, now
        service.vault.erase(store, row.token_id, now=now)
        row.token_id = _sealed(service, store, row, invitation.token)
        return Known(
            backend=backend,
            state=PersonState(row.state),
            invited_at=now,
            link=invitation.link,
            link_expires_at=now + timedelta(seconds=ark_people.LINK_S),
        )


def advance(service: Service, remotes: Remotes, consent_id: str, backend: str) -> Known:
    """Take the person a step further, if the vendor is; may be called as often as one likes.

    1. invited: ask whether the vendor saw them
    2. verified: have it fetch their portrait
    3. kept: ask whether it can be used

    Raises: Problem.
    """
    vendor = _vendor(remotes, backend)
    with service.database.transaction() as store:
        row = store.vendor_person(consent_id, backend)
        if row is None:
            raise Problem("not_found")
        _allowed(service, store, consent_id, backend)
        state, names = PersonState(row.state), _names(service, store, row)
    match state:
        case PersonState.INVITED:  # 1
            group = _said(service, remotes, vendor, ark_people.finish(vendor.account, token=names.token or ""))
            _note_step(service, consent_id, backend, was=state, now_is=PersonState.VERIFIED, group=group)
        case PersonState.VERIFIED:  # 2
            _keep_portrait(service, remotes, vendor, consent_id, names.group or "")
        case PersonState.KEPT:  # 3
            standing = _said(service, remotes, vendor, ark_people.standing_of(vendor.account, asset=names.asset or ""))
            if standing is not ark_people.AssetState.PROCESSING:
                ready = standing is ark_people.AssetState.ACTIVE
                _note_step(
                    service, consent_id, backend, was=state, now_is=PersonState.READY if ready else PersonState.REFUSED
                )
    with service.database.transaction() as store:
        return known(_there(store, consent_id, backend))


def known(row: VendorPersonRow) -> Known:
    return Known(
        backend=row.backend, state=PersonState(row.state), invited_at=row.invited_at, forgotten_at=row.forgotten_at
    )


def asset_of(service: Service, store: Store, consent_id: str, backend: str, *, sha256: str) -> str | None:
    """The name under which the vendor keeps exactly this picture of this person; ``None``: it does not."""
    row = store.vendor_person(consent_id, backend)
    if row is None or row.state != PersonState.READY or row.picture_sha256 != sha256:
        return None
    return _opened(service, store, row, row.asset_id)


def is_ready(store: Store, consent_id: str, backend: str) -> bool:
    row = store.vendor_person(consent_id, backend)
    return row is not None and row.state == PersonState.READY


def forget_due(service: Service, remotes: Remotes) -> int:
    """Have vendors delete everybody whose consent ended or does not cover them any more; gives how many are gone there.

    Runs in the worker every few seconds. A vendor that does not answer is asked again, later each time.
    """
    verifying = [name for name, backend in remotes.backends.items() if backend.card.verifies]
    gone = 0
    with service.database.transaction() as store:
        store.forget_handovers(service.now())
        held = store.vendor_people_held(verifying, service.now()) if verifying else []
    for consent_id, backend in held:
        with service.database.transaction() as store:
            over = _over(service, store, consent_id, backend)
        if over:
            gone += _forget(service, remotes, consent_id, backend)
    return gone


# --- inside ----------------------------------------------------------------------------------------------------------


class _People(RemoteBackend):
    """The vendor's control plane, as the runner takes it: its own words for what is wrong."""

    fault = staticmethod(ark_people.fault)


def _vendor(remotes: Remotes, backend: str) -> RemoteBackend:
    vendor = remotes.backends.get(backend)
    if vendor is None:
        raise Problem("generator_unavailable", "the operator has no account there")
    if not vendor.card.verifies:
        raise Problem("vendor_person_unknown")
    return vendor


def _allowed(service: Service, store: Store, consent_id: str, backend: str) -> ConsentRecord:
    """The consent stands, covers this backend, and is to show the person's face. Raises: Problem."""
    row = store.consent_shared(consent_id)
    if row is None:
        raise Problem("not_found")
    record = record_of(store, consent_id)
    purpose = _purpose(record)
    why = ended(service, store, backend=backend, purpose=purpose, consents=[consent_id], now=service.now())
    if why is not None:
        raise Problem(why)
    return record


def _purpose(record: ConsentRecord) -> Purpose:
    return next((each for each in _SHOWS if each in record.purposes), Purpose.DIGITAL_DOUBLE)


def _over(service: Service, store: Store, consent_id: str, backend: str) -> bool:
    """Whether nothing of the person may be at the vendor any more. A suspended consent is not over: nothing is used
    meanwhile, and nothing is deleted; nor does a backend's own block say anything of the person."""
    try:
        record = record_of(store, consent_id)
    except ConsentError:
        return True
    if record.revoked is not None or service.now() >= record.expires_at or not record.scope.covers(backend):
        return True
    return not any(purpose in record.purposes for purpose in _SHOWS)


def _keep_portrait(service: Service, remotes: Remotes, vendor: RemoteBackend, consent_id: str, group: str) -> None:
    backend = vendor.card.name
    with service.database.transaction() as store:
        record = _allowed(service, store, consent_id, backend)
        row = _there(store, consent_id, backend)
        consent = store.get(ConsentRow, consent_id)
        if consent is None or consent.portrait_id is None:
            raise Problem("media_erased")
        try:
            content = service.vault.get(store, consent.portrait_id, owner=consent_id)
        except (Erased, Unsealable):
            raise Problem("media_erased") from None
        sha256 = hashlib.sha256(content).hexdigest()
        portrait = Shelved(
            sealed_id=consent.portrait_id,
            owner=consent_id,
            content=content,
            media_type=media_type_of(content, MediaKind.PICTURE),
            consents=(consent_id,),
        )
        address = hand_over(
            service,
            store,
            portrait,
            job_id=row.person_id,
            backend=backend,
            purpose=_purpose(record),
            keep=_FETCHED_WITHIN,
        )
    if address is None:
        raise Problem("generator_unavailable", "the vendor fetches pictures over public https")
    name = f"{sha256[:16]}-{secrets.token_hex(4)}"  # of the bytes and of this try; of nobody
    asset = _said(service, remotes, vendor, ark_people.keep(vendor.account, group=group, address=address, name=name))
    _note_step(
        service, consent_id, backend, was=PersonState.VERIFIED, now_is=PersonState.KEPT, asset=asset, sha256=sha256
    )


def _note_step(
    service: Service,
    consent_id: str,
    backend: str,
    *,
    was: PersonState,
    now_is: PersonState,
    group: str | None = None,
    asset: str | None = None,
    sha256: str | None = None,
) -> None:
    """Write a step down. What the vendor named is kept whatever happened meanwhile: it has to be deleted there."""
    with service.database.transaction() as store:
        row = store.vendor_person(consent_id, backend, lock=True)
        if row is None:
            return
        if group is not None:
            row.group_id = _sealed(service, store, row, group)
        if asset is not None:
            row.asset_id, row.picture_sha256 = _sealed(service, store, row, asset), sha256
        if row.state == was:
            row.state = now_is
        if now_is in (PersonState.READY, PersonState.REFUSED):
            store.take_handovers_back(row.person_id)


def _forget(service: Service, remotes: Remotes, consent_id: str, backend: str) -> bool:
    vendor = remotes.backends[backend]
    now = service.now()
    with service.database.transaction() as store:
        row = store.vendor_person(consent_id, backend, lock=True)
        if row is None or row.forgotten_at is not None or (row.try_after is not None and row.try_after > now):
            return False
        row.tried += 1
        row.try_after = now + min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(row.tried - 1, 10))
        store.take_handovers_back(row.person_id)
        names = _names(service, store, row)
    try:
        if names.invited:  # there may be a group that we do not know of
            names = replace(names, group=_passed_meanwhile(service, remotes, vendor, names.token))
        _run(service, remotes, vendor, _deleted(vendor, names))
    except (RemoteError, OutcomeUnknown, Problem) as error:
        log.warning("%s has not deleted a person yet (%s)", backend, getattr(error, "code", "unknown"))
        return False
    with service.database.transaction() as store:
        row = store.vendor_person(consent_id, backend, lock=True)
        if row is None:
            return False
        row.state, row.forgotten_at, row.try_after = PersonState.FORGOTTEN, service.now(), None
        service.vault.destroy_key(store, row.data_key_id, now=service.now())
        note(
            store,
            Step.VENDOR_FORGOT,
            now=service.now(),
            consent_id=consent_id,
            backend=backend,
            about=row.person_id,
        )
    log.info("%s has deleted a person", backend)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """What the vendor calls somebody and theirs. ``invited``: they may have passed its check since we last asked."""

    invited: bool
    token: str | None = field(repr=False)
    group: str | None = field(repr=False)
    asset: str | None = field(repr=False)


def _names(service: Service, store: Store, row: VendorPersonRow) -> _Names:
    token, group, asset = (_opened(service, store, row, each) for each in (row.token_id, row.group_id, row.asset_id))
    return _Names(invited=row.state == PersonState.INVITED, token=token, group=group, asset=asset)


def _passed_meanwhile(service: Service, remotes: Remotes, vendor: RemoteBackend, token: str | None) -> str | None:
    """The group of somebody who was only invited, as far as we know; ``None``: they did not pass, or the link is long gone.

    Raises: Problem.
    """
    try:
        return None if token is None else _run(service, remotes, vendor, ark_people.finish(vendor.account, token=token))
    except RemoteError as error:
        if error.code in (FaultCode.PERSON_UNVERIFIED, FaultCode.JOB_UNKNOWN, FaultCode.INPUT_INVALID):
            return None
        raise Problem("vendor_failed", more={"reason": str(error.code)}) from None


def _deleted(vendor: RemoteBackend, names: _Names) -> Steps[None]:
    """Everything of theirs; what the vendor does not know is gone."""
    for steps in (
        None if names.asset is None else ark_people.forget(vendor.account, asset=names.asset),
        None if names.group is None else ark_people.forget_person(vendor.account, group=names.group),
    ):
        if steps is not None:
            yield from steps


def _said(service: Service, remotes: Remotes, vendor: RemoteBackend, steps: Steps[_T]) -> _T:
    """What the vendor answers, or the problem that the caller is told."""
    try:
        return _run(service, remotes, vendor, steps)
    except OutcomeUnknown:
        raise Problem("vendor_failed", more={"reason": "submit_outcome_unknown"}) from None
    except RemoteError as error:
        if error.code == FaultCode.PERSON_UNVERIFIED:
            raise Problem("vendor_person_unverified") from None
        raise Problem("vendor_failed", more={"reason": str(error.code)}) from None


def _run(service: Service, remotes: Remotes, vendor: RemoteBackend, steps: Steps[_T]) -> _T:
    plane = _People(vendor.card, vendor.account)
    return remotes.runner(service, vendor, _do_not_wait).ask(plane, steps)


def _do_not_wait(_: float) -> None:
    raise RemoteError("the vendor is busy or away", code=FaultCode.VENDOR_UNAVAILABLE)


def _there(store: Store, consent_id: str, backend: str) -> VendorPersonRow:
    row = store.vendor_person(consent_id, backend)
    if row is None:
        raise Problem("not_found")
    return row


def _sealed(service: Service, store: Store, row: VendorPersonRow, text: str) -> str:
    return service.vault.put(
        store, text.encode(), kind=Sealed.VENDOR_NAME, data_key_id=row.data_key_id, now=service.now()
    )


def _opened(service: Service, store: Store, row: VendorPersonRow, sealed_id: str | None) -> str | None:
    try:
        return None if sealed_id is None else service.vault.get(store, sealed_id, owner=row.person_id).decode()
    except (Erased, Unsealable):
        return None


def _back(service: Service) -> str:
    """Where the vendor sends the person's browser. What comes with it is not read: it is the browser that says so."""
    return f"{service.settings.public_url}/v1/remote/returned"
