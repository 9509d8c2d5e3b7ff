"""When somebody who failed too often must wait.

Pure: times of failures in, a time out. Whose failures are counted together (a subject's, a device's) is the caller's to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from liveness.policy import LivenessPolicy


def locked_until(failures: Sequence[datetime], *, policy: LivenessPolicy, now: datetime) -> datetime | None:
    """The end of the wait, or ``None`` when there is none at ``now``.

    Once the policy's number of failures fall into its window, the wait begins at the last of them. Failures of the future do
    not count.
    """
    many, window = int(policy.lockout_failures.value), timedelta(seconds=policy.lockout_window.value)
    wait = timedelta(seconds=policy.lockout_time.value)
    past = sorted(at for at in failures if at <= now)
    ends = [last + wait for first, last in zip(past, past[many - 1 :], strict=False) if last - first < window]
    latest = max(ends, default=None)
    return latest if latest is not None and now < latest else None


def counted_since(*, policy: LivenessPolicy, now: datetime) -> datetime:
    """Failures before that cannot matter any more."""
    return now - timedelta(seconds=policy.lockout_window.value + policy.lockout_time.value)
