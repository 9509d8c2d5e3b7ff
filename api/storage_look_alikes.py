"""Who wants to be told of look-alikes, what is to be looked up, and what people are told."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from api.look_alike_index import LookAlikeIndex
from api.tables import (
    AttemptRow,
    ConsentRow,
    DataKeyRow,
    LookAlikeAlertRow,
    LookAlikeChoiceRow,
    LookAlikeLookupRow,
    StatementRow,
)


class LookAlikeStore:
    """The part of a :class:`api.storage.Store` for these tables."""

    _session: Session

    @property
    def look_alike_index(self) -> LookAlikeIndex:
        return LookAlikeIndex(self._session)

    # --- who wants to be told ----------------------------------------------------------------------------------------

    def statement(self, session_id: str, number: int) -> StatementRow | None:
        return self._session.get(StatementRow, (session_id, number))

    def forget_look_alike_choice(self, consent_id: str) -> bool:
        """Delete a choice, and with it the person's code and what they were not told yet; false when there was none."""
        self._session.execute(
            delete(LookAlikeAlertRow).where(
                LookAlikeAlertRow.consent_id == consent_id, LookAlikeAlertRow.told_at.is_(None)
            )
        )
        gone = delete(LookAlikeChoiceRow).where(LookAlikeChoiceRow.consent_id == consent_id)
        return self._session.scalar(gone.returning(LookAlikeChoiceRow.consent_id)) is not None

    def look_alike_choices_over(self, now: datetime, most: int = 200) -> list[str]:
        """Choices whose consent ended, or whose face was destroyed, in whatever way."""
        over = (
            select(LookAlikeChoiceRow.consent_id)
            .join(ConsentRow, ConsentRow.consent_id == LookAlikeChoiceRow.consent_id)
            .join(DataKeyRow, DataKeyRow.data_key_id == ConsentRow.data_key_id)
            .where(or_(ConsentRow.revoked_at.is_not(None), ConsentRow.expires_at <= now, DataKeyRow.wrapped.is_(None)))
            .limit(most)
        )
        return list(self._session.scalars(over))

    def look_alike_choices(self) -> list[LookAlikeChoiceRow]:
        """All of them, for a restore."""
        return list(self._session.scalars(select(LookAlikeChoiceRow)))

    # --- what is to be looked up -------------------------------------------------------------------------------------

    def lookups_of(self, asker: str, *, since: datetime) -> int:
        found = select(func.count()).where(LookAlikeLookupRow.asker == asker, LookAlikeLookupRow.at >= since)
        return self._session.scalar(found) or 0

    def lookups_left(self, before: datetime, most: int = 200) -> list[LookAlikeLookupRow]:
        """Of before then, and not done: their faces must go."""
        left = select(LookAlikeLookupRow).where(LookAlikeLookupRow.done_at.is_(None), LookAlikeLookupRow.at < before)
        return list(self._session.scalars(left.limit(most).with_for_update(skip_locked=True)))

    def forget_lookups(self, before: datetime) -> None:
        gone = delete(LookAlikeLookupRow).where(LookAlikeLookupRow.at < before)
        self._session.execute(gone.where(LookAlikeLookupRow.done_at.is_not(None)))

    # --- what people are told ----------------------------------------------------------------------------------------

    def alerts_found(self, subject_id: str, *, since: datetime) -> int:
        found = select(func.count()).where(
            LookAlikeAlertRow.subject_id == subject_id, LookAlikeAlertRow.found_at >= since
        )
        return self._session.scalar(found) or 0

    def add_alert(self, row: LookAlikeAlertRow) -> bool:
        """False when this person is to be told of this question already."""
        values = {column.key: getattr(row, column.key) for column in LookAlikeAlertRow.__table__.columns}
        added = insert(LookAlikeAlertRow).values(values).on_conflict_do_nothing()
        return self._session.scalar(added.returning(LookAlikeAlertRow.alert_id)) is not None

    def alerts_due(self, now: datetime, most: int = 200) -> list[LookAlikeAlertRow]:
        due = select(LookAlikeAlertRow).where(LookAlikeAlertRow.told_at.is_(None), LookAlikeAlertRow.tell_at <= now)
        return list(self._session.scalars(due.limit(most).with_for_update(skip_locked=True)))

    def alerts_told(
        self, subject_id: str, *, after: tuple[datetime, str] | None, most: int
    ) -> list[tuple[LookAlikeAlertRow, AttemptRow]]:
        """What this person was told, latest first."""
        alert = LookAlikeAlertRow
        found = select(alert, AttemptRow).join(AttemptRow, AttemptRow.attempt_id == alert.attempt_id)
        found = found.where(alert.subject_id == subject_id, alert.told_at.is_not(None))
        if after is not None:
            at, key = after
            found = found.where(or_(alert.told_at < at, (alert.told_at == at) & (alert.alert_id < key)))
        found = found.order_by(alert.told_at.desc(), alert.alert_id.desc()).limit(most)
        return [(row[0], row[1]) for row in self._session.execute(found)]

    def forget_look_alikes(self, subject_id: str) -> dict[str, int]:
        """Choices, codes and everything that this person was told or was to be told; how many of each."""
        run = self._session.execute
        choices = run(
            delete(LookAlikeChoiceRow)
            .where(LookAlikeChoiceRow.subject_id == subject_id)
            .returning(LookAlikeChoiceRow.consent_id)
        )
        alerts = run(
            delete(LookAlikeAlertRow)
            .where(LookAlikeAlertRow.subject_id == subject_id)
            .returning(LookAlikeAlertRow.alert_id)
        )
        return {"look_alike_choices": len(choices.all()), "look_alike_alerts": len(alerts.all())}

    def look_alike_counts(self) -> list[tuple[tuple[str, ...], int]]:
        """For the metrics page: how many people want to be told, what waits to be looked up, and what was told."""
        alert = LookAlikeAlertRow
        counted = {
            "people": select(func.count()).select_from(LookAlikeChoiceRow),
            "lookups_waiting": select(func.count()).where(LookAlikeLookupRow.done_at.is_(None)),
            "alerts_told": select(func.count()).where(alert.told_at.is_not(None)),
        }
        return [((what,), self._session.scalar(number) or 0) for what, number in counted.items()]


__all__ = ["LookAlikeStore"]
