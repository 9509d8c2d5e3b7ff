"""What is kept of who is at a browser: passkeys, what they are to sign, sessions, and start codes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import and_, delete, or_, select, update
from sqlalchemy.orm import Session

from api.tables import (
    ApiKeyRow,
    BrowserSessionRow,
    IdempotencyRow,
    PasskeyChallengeRow,
    PasskeyRow,
    StartCodeRow,
)


class AccountStore:
    """The part of a :class:`api.storage.Store` for these tables."""

    _session: Session

    # --- sessions ----------------------------------------------------------------------------------------------------

    def browser_session(self, secret_sha256: bytes, *, lock: bool = False) -> BrowserSessionRow | None:
        found = select(BrowserSessionRow).where(BrowserSessionRow.secret_sha256 == secret_sha256)
        return self._session.scalar(found.with_for_update() if lock else found)

    def signed_in_by(self, began_with: str) -> bool:
        """Whether something that signs in once has done so."""
        found = select(BrowserSessionRow.session_id).where(BrowserSessionRow.began_with == began_with)
        return self._session.scalar(found) is not None

    def seen(self, session_id: str, *, now: datetime) -> None:
        self._session.execute(
            update(BrowserSessionRow).where(BrowserSessionRow.session_id == session_id).values(last_seen_at=now)
        )

    def browser_sessions(
        self, *, key_id: str | None, consents: Collection[str], now: datetime
    ) -> list[BrowserSessionRow]:
        """Those of a key, or that stand for these consents, which did not end; the latest first. Idle ones too."""
        found = select(BrowserSessionRow).where(
            BrowserSessionRow.ended_at.is_(None),
            BrowserSessionRow.expires_at > now,
            BrowserSessionRow.key_id == key_id
            if key_id is not None
            else BrowserSessionRow.consent_id.in_(list(consents)),
        )
        return list(self._session.scalars(found.order_by(BrowserSessionRow.last_seen_at.desc())))

    def sessions_of_passkey(self, passkey_id: str) -> list[BrowserSessionRow]:
        found = select(BrowserSessionRow).where(
            BrowserSessionRow.passkey_id == passkey_id, BrowserSessionRow.ended_at.is_(None)
        )
        return list(self._session.scalars(found))

    # --- passkeys ----------------------------------------------------------------------------------------------------

    def passkey_by_credential(self, credential_id: bytes) -> PasskeyRow | None:
        """Locked: its counter rises with each use."""
        found = select(PasskeyRow).where(PasskeyRow.credential_id == credential_id).with_for_update()
        return self._session.scalar(found)

    def passkeys(self, *, key_id: str | None, consents: Collection[str]) -> list[PasskeyRow]:
        """Those of a key, or that stand for these consents, in the order in which they were made."""
        found = select(PasskeyRow).where(
            PasskeyRow.key_id == key_id if key_id is not None else PasskeyRow.consent_id.in_(list(consents))
        )
        return list(self._session.scalars(found.order_by(PasskeyRow.created_at, PasskeyRow.passkey_id)))

    def remove_passkeys(self, passkey_ids: Collection[str] | None) -> None:
        """``None``: all there are."""
        gone = delete(PasskeyRow)
        if passkey_ids is not None:
            gone = gone.where(PasskeyRow.passkey_id.in_(list(passkey_ids)))
        self._session.execute(gone)

    def has_staff_passkeys(self) -> bool:
        """Of keys that were not revoked."""
        found = (
            select(PasskeyRow.passkey_id)
            .join(ApiKeyRow, ApiKeyRow.key_id == PasskeyRow.key_id)
            .where(ApiKeyRow.revoked_at.is_(None))
        )
        return self._session.scalar(found.limit(1)) is not None

    def take_passkey_challenge(self, secret_sha256: bytes) -> PasskeyChallengeRow | None:
        """It, and nobody gets it again."""
        taken = (
            delete(PasskeyChallengeRow)
            .where(PasskeyChallengeRow.secret_sha256 == secret_sha256)
            .returning(PasskeyChallengeRow)
        )
        return self._session.scalar(taken)

    # --- start codes -------------------------------------------------------------------------------------------------

    def first_app_key(self) -> ApiKeyRow | None:
        """The one that the first browser works as."""
        found = select(ApiKeyRow).where(ApiKeyRow.role == "app", ApiKeyRow.revoked_at.is_(None))
        return self._session.scalar(found.order_by(ApiKeyRow.created_at, ApiKeyRow.key_id).limit(1))

    def forget_start_codes(self) -> None:
        self._session.execute(delete(StartCodeRow))

    # --- what is over ------------------------------------------------------------------------------------------------

    def forget_sign_ins(self, *, now: datetime, sessions_before: datetime) -> None:
        """Challenges and start codes whose time is over, and sessions that expired or ended before then."""
        self._session.execute(delete(PasskeyChallengeRow).where(PasskeyChallengeRow.expires_at <= now))
        self._session.execute(delete(StartCodeRow).where(StartCodeRow.expires_at <= sessions_before))
        self._session.execute(
            delete(BrowserSessionRow).where(
                or_(
                    BrowserSessionRow.expires_at < sessions_before,
                    and_(BrowserSessionRow.ended_at < sessions_before, BrowserSessionRow.began_with.is_(None)),
                )
            )
        )

    def forget_accounts(self, subject_id: str) -> dict[str, int]:
        """Passkeys and sessions of a person, and the answers that were kept for them; gives how many of each."""
        run = self._session.execute
        sessions = run(
            delete(BrowserSessionRow)
            .where(BrowserSessionRow.subject_id == subject_id)
            .returning(BrowserSessionRow.session_id)
        ).scalars()
        ended = list(sessions)
        run(delete(IdempotencyRow).where(IdempotencyRow.caller.in_(ended)))
        removed = run(delete(PasskeyRow).where(PasskeyRow.subject_id == subject_id).returning(PasskeyRow.passkey_id))
        return {"passkeys": len(removed.all()), "sign_ins": len(ended)}
