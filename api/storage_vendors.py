"""What is kept of vendors: parts of clips, addresses that they may fetch from, and people whom they verified."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from api.tables import ConsentRow, HandoverRow, RemoteJobRow, RemotePartRow, VendorPersonRow


class VendorStore:
    """The part of a :class:`api.storage.Store` for these tables."""

    _session: Session

    def remote_parts(self, clip_id: str) -> list[RemotePartRow]:
        """In order."""
        found = select(RemotePartRow).where(RemotePartRow.clip_id == clip_id).order_by(RemotePartRow.place)
        return list(self._session.scalars(found))

    def clip_of_vendor_job(self, backend: str, vendor_id: str) -> str | None:
        """The clip that this job at a vendor is for, by the vendor's name for it."""
        whole = select(RemoteJobRow.clip_id).where(
            RemoteJobRow.backend == backend, RemoteJobRow.handle["ids"]["id"].astext == vendor_id
        )
        part = (
            select(RemotePartRow.clip_id)
            .join(RemoteJobRow, RemoteJobRow.clip_id == RemotePartRow.clip_id)
            .where(RemoteJobRow.backend == backend, RemotePartRow.handle["ids"]["id"].astext == vendor_id)
        )
        return self._session.scalar(whole.union_all(part).limit(1))

    def take_handovers_back(self, job_id: str) -> None:
        self._session.execute(delete(HandoverRow).where(HandoverRow.job_id == job_id))

    def forget_handovers(self, now: datetime) -> None:
        self._session.execute(delete(HandoverRow).where(HandoverRow.expires_at <= now))

    def vendor_person(self, consent_id: str, backend: str, *, lock: bool = False) -> VendorPersonRow | None:
        found = select(VendorPersonRow).where(
            VendorPersonRow.consent_id == consent_id, VendorPersonRow.backend == backend
        )
        if lock:
            found = found.with_for_update().execution_options(populate_existing=True)
        return self._session.scalar(found)

    def vendor_people(self, consent_id: str) -> list[VendorPersonRow]:
        found = select(VendorPersonRow).where(VendorPersonRow.consent_id == consent_id)
        return list(self._session.scalars(found.order_by(VendorPersonRow.backend)))

    def vendor_people_held(self, backends: Collection[str], now: datetime, most: int = 200) -> list[tuple[str, str]]:
        """Consent and backend of everybody who is still known at one of these and whose turn it is, those of ended consents
        first."""
        found = (
            select(VendorPersonRow.consent_id, VendorPersonRow.backend)
            .join(ConsentRow, ConsentRow.consent_id == VendorPersonRow.consent_id)
            .where(
                VendorPersonRow.forgotten_at.is_(None),
                VendorPersonRow.backend.in_(backends),
                or_(VendorPersonRow.try_after.is_(None), VendorPersonRow.try_after <= now),
            )
            .order_by(ConsentRow.revoked_at.is_(None), ConsentRow.expires_at)
            .limit(most)
        )
        return [(consent_id, backend) for consent_id, backend in self._session.execute(found)]
