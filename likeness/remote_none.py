"""Vendors to whom nothing is sent: those that ended their service, and those that never offered an interface.

They have a card, so that an order for one is answered with what happened instead of with "unknown".
"""

from __future__ import annotations

from likeness.backends import admit
from likeness.remote import RemoteBackend, RemoteHandle, RemoteJob, Steps


class Backend(RemoteBackend):
    """Refuses every order; :func:`likeness.backends.admit` says why."""

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        admit(job, self.card)
        yield from ()
        raise AssertionError("the card of a backend without an adapter is not live")
