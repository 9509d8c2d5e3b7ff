"""Passkeys: made by a person after they were shown live, or by somebody who works here with their API key; then they sign in.

The only file that meets ``webauthn``. A challenge is for one browser (by a cookie of its own), one purpose and five minutes,
and is taken before anything is looked at, so that it is spent also by what fails. The authenticator must have verified its
user, and the credential must be discoverable: nobody types a name. Attestation is not asked for and proves nothing here.

What is checked when somebody signs in, in order:

1. the challenge of this browser, which is now spent, was drawn for signing in and is not five minutes old
2. the credential is known, and belongs to the user handle that the authenticator names
3. type, challenge, origin, RP id, presence, verification of the user, and the signature
4. the counter of the authenticator went up, if it counts
5. the API key was not revoked, or the person's consent is still there
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import (
    options_to_json_dict,
    parse_authentication_credential_json,
    parse_registration_credential_json,
)
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from api.audit_events import AuditAction, note
from api.auth import Caller
from api.browser_sessions import Began, NewSession, digest, end, new_secret, own_consents, page_host
from api.errors import Problem
from api.service import Service
from api.settings import Settings
from api.shreds import Shredded, write_down_soon
from api.storage import Store, new_id
from api.tables import ApiKeyRow, ConsentRow, PasskeyChallengeRow, PasskeyRow

CHALLENGE_LIFE = timedelta(minutes=5)
MOST_PASSKEYS = 20  # of one person or key

_CHALLENGE_BYTES, _HANDLE_BYTES = 32, 32
_TIMEOUT_MS = int(CHALLENGE_LIFE.total_seconds() * 1000)
_NAMES = {"en": "My likeness", "zh": "我的形象"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose passkeys these are: of a person (``consent``, and all their ``consents``), or of an API key."""

    by: Caller
    key: ApiKeyRow | None = None
    consent: ConsentRow | None = None
    consents: tuple[str, ...] = ()

    @property
    def owner(self) -> str:
        return self.key.key_id if self.key is not None else self.consent.consent_id if self.consent is not None else ""

    def passkeys(self, store: Store) -> list[PasskeyRow]:
        return store.passkeys(key_id=None if self.key is None else self.key.key_id, consents=self.consents)


# --- one is made -----------------------------------------------------------------------------------------------------


def creation_options(
    service: Service, store: Store, account: Account, *, language: str, now: datetime
) -> tuple[dict[str, Any], str]:
    """What the browser asks the authenticator to make, and the secret of the cookie that goes with it."""
    there = account.passkeys(store)
    if len(there) >= MOST_PASSKEYS:
        raise Problem("passkeys_full")
    handle = there[0].user_handle if there else secrets.token_bytes(_HANDLE_BYTES)
    called = account.key.name if account.key is not None else f"{_NAMES[language]} {now:%Y-%m-%d}"
    options = generate_registration_options(
        rp_id=_rp_id(service.settings),
        rp_name="Mien",
        user_id=handle,
        user_name=called,
        challenge=secrets.token_bytes(_CHALLENGE_BYTES),
        timeout=_TIMEOUT_MS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[_descriptor(row) for row in there],
    )
    return options_to_json_dict(options), _keep(store, options.challenge, account.owner, handle, now=now)


def make(
    service: Service,
    account: Account,
    challenge: PasskeyChallengeRow,
    credential: dict[str, Any],
    *,
    name: str,
    now: datetime,
) -> PasskeyRow:
    """Keep what the authenticator made. ``challenge`` as :func:`take` gave it."""
    if challenge.owner != account.owner or challenge.user_handle is None:
        raise Problem("passkey_expired")
    made = _registered(service.settings, challenge.challenge, credential)
    with service.database.transaction() as store:
        if store.passkey_by_credential(made.credential_id) is not None:
            raise Problem("passkey_known")
        if len(account.passkeys(store)) >= MOST_PASSKEYS:
            raise Problem("passkeys_full")
        consent = account.consent
        row = PasskeyRow(
            passkey_id=new_id("psk"),
            credential_id=made.credential_id,
            key_id=None if account.key is None else account.key.key_id,
            consent_id=None if consent is None else consent.consent_id,
            subject_id=None if consent is None else consent.subject_id,
            consents=sorted(account.consents),
            user_handle=challenge.user_handle,
            public_key=made.credential_public_key,
            sign_count=made.sign_count,
            transports=_transports(credential),
            synced=made.credential_backed_up,
            name=name,
            created_at=now,
            last_used_at=None,
        )
        store.add(row)
        _note(store, AuditAction.PASSKEY_MADE, row, by=account.by, now=now)
        return row


def remove(
    service: Service, store: Store, account: Account, passkey_id: str, *, here: str | None, now: datetime
) -> None:
    """It signs nobody in any more, and who signed in with it is signed out; not at this browser (session ``here``).

    Raises: Problem ``last_passkey``: who works here would be left with an API key, which is not enough at a browser.
    """
    there = account.passkeys(store)
    row = next((one for one in there if one.passkey_id == passkey_id), None)
    if row is None:
        raise Problem("not_found")
    if account.key is not None and len(there) == 1:
        raise Problem("last_passkey")
    for session in store.sessions_of_passkey(passkey_id):
        if session.session_id != here:
            end(store, session, by=account.by, now=now, reason="passkey_removed")
    _note(store, AuditAction.PASSKEY_REMOVED, row, by=account.by, now=now)
    store.remove_passkeys([passkey_id])
    store.shred(Shredded.PASSKEY, passkey_id, at=now)  # nor does a backup bring it back
    store.after_commit(lambda: write_down_soon(service.database, service.vault.files))


# --- somebody signs in -----------------------------------------------------------------------------------------------


def request_options(service: Service, store: Store, *, now: datetime) -> tuple[dict[str, Any], str]:
    """What the browser asks any authenticator that knows this place, and the secret of the cookie that goes with it."""
    options = generate_authentication_options(
        rp_id=_rp_id(service.settings),
        challenge=secrets.token_bytes(_CHALLENGE_BYTES),
        timeout=_TIMEOUT_MS,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json_dict(options), _keep(store, options.challenge, None, None, now=now)


def use(
    service: Service, store: Store, challenge: PasskeyChallengeRow, credential: dict[str, Any], *, now: datetime
) -> NewSession | None:
    """Who signs in with it; ``None`` when its counter went back, which is written down.

    Raises: Problem.
    """
    if challenge.owner is not None:  # 1
        raise Problem("passkey_expired")
    presented = _presented(credential)
    row = store.passkey_by_credential(presented.raw_id)  # 2
    if row is None or presented.response.user_handle != row.user_handle:
        raise Problem("passkey_unknown")
    found = _asserted(service.settings, challenge.challenge, presented, row)  # 3
    if (found.new_sign_count or row.sign_count) and found.new_sign_count <= row.sign_count:  # 4
        _note(store, AuditAction.PASSKEY_COPIED, row, by=None, now=now)
        return None
    key = None if row.key_id is None else store.get(ApiKeyRow, row.key_id)  # 5
    consent = None if row.consent_id is None else store.get(ConsentRow, row.consent_id)
    if (key is None or key.revoked_at is not None) and consent is None:
        raise Problem("passkey_unknown")
    row.sign_count, row.last_used_at, row.synced = found.new_sign_count, now, found.credential_backed_up
    consents: tuple[str, ...] = ()
    if consent is not None:
        consents = own_consents(service, store, consent.consent_id, row.consents)
        row.consents = sorted({*row.consents, *consents})
    return NewSession(began=Began.PASSKEY, key=key, consent=consent, consents=consents, passkey_id=row.passkey_id)


# --- challenges ------------------------------------------------------------------------------------------------------


def take(service: Service, secret: str, *, now: datetime) -> PasskeyChallengeRow:
    """The challenge of that browser, in a transaction of its own: whatever comes of it, it is spent.

    Raises: Problem ``passkey_expired``.
    """
    with service.database.transaction() as store:
        row = store.take_passkey_challenge(digest(secret)) if secret else None
        if row is None or now >= row.expires_at:
            found = None
        else:
            found = PasskeyChallengeRow(
                secret_sha256=row.secret_sha256,
                challenge=row.challenge,
                owner=row.owner,
                user_handle=row.user_handle,
                expires_at=row.expires_at,
            )
    if found is None:
        raise Problem("passkey_expired")
    return found


def _keep(store: Store, challenge: bytes, owner: str | None, handle: bytes | None, *, now: datetime) -> str:
    secret = new_secret()
    store.add(
        PasskeyChallengeRow(
            secret_sha256=digest(secret),
            challenge=challenge,
            owner=owner,
            user_handle=handle,
            expires_at=now + CHALLENGE_LIFE,
        )
    )
    return secret


# --- the library -----------------------------------------------------------------------------------------------------


def _registered(settings: Settings, challenge: bytes, credential: dict[str, Any]) -> VerifiedRegistration:
    try:
        return verify_registration_response(
            credential=parse_registration_credential_json(credential),
            expected_challenge=challenge,
            expected_rp_id=_rp_id(settings),
            expected_origin=settings.page_origin,
            require_user_verification=True,
        )
    except Problem:
        raise
    except Exception as error:  # a stranger's bytes, read by several parsers: whatever they raise, it is none
        raise Problem("passkey_invalid") from error


def _presented(credential: dict[str, Any]) -> AuthenticationCredential:
    try:
        return parse_authentication_credential_json(credential)
    except Exception as error:  # as above
        raise Problem("passkey_invalid") from error


def _asserted(
    settings: Settings, challenge: bytes, presented: AuthenticationCredential, row: PasskeyRow
) -> VerifiedAuthentication:
    try:
        return verify_authentication_response(
            credential=presented,
            expected_challenge=challenge,
            expected_rp_id=_rp_id(settings),
            expected_origin=settings.page_origin,
            credential_public_key=row.public_key,
            credential_current_sign_count=0,  # looked at after the signature, or a stranger could accuse the passkey
            require_user_verification=True,
        )
    except Problem:
        raise
    except Exception as error:  # as above
        raise Problem("passkey_invalid") from error


def _rp_id(settings: Settings) -> str:
    host = page_host(settings)
    if not host or ":" in host or host.replace(".", "").isdigit():
        raise Problem("passkeys_unavailable")
    return host


def _transports(credential: dict[str, Any]) -> list[str]:
    response = credential.get("response")
    named = response.get("transports") if isinstance(response, dict) else None
    known = {each.value for each in AuthenticatorTransport}
    return sorted({each for each in named if isinstance(each, str)} & known) if isinstance(named, list) else []


def _descriptor(row: PasskeyRow) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(
        id=row.credential_id, transports=[AuthenticatorTransport(each) for each in row.transports] or None
    )


def _note(store: Store, action: AuditAction, row: PasskeyRow, *, by: Caller | None, now: datetime) -> None:
    note(
        store,
        action,
        by=by,
        now=now,
        subject_id=row.subject_id,
        consent_id=row.consent_id,
        object_id=row.passkey_id,
        more={} if row.key_id is None else {"key_id": row.key_id},
    )
