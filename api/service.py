"""What a request or a job needs: built once by the process, handed to every route."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request

from api.database import Database
from api.engines import FaceEngines
from api.keys import KeyRing, ServiceKeys
from api.look_alike_search import LookAlikeSearch
from api.media import Vault
from api.queue import Queue
from api.settings import Settings
from consent.note import Verifier
from liveness.attestation import AttestationVerifier, Provider


def wall_clock() -> datetime:
    """Now, aware, UTC, in whole milliseconds: what is written and what is answered are then the same."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def log_to_stderr() -> None:
    """Ours from INFO, what libraries say from WARNING: theirs may carry addresses, and ours never do."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("mien").setLevel(logging.INFO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The running service. ``now`` is the only clock that anything behind the routes reads."""

    settings: Settings
    database: Database
    ring: KeyRing
    vault: Vault
    queue: Queue
    faces: FaceEngines
    look_alikes: LookAlikeSearch
    attestation: Mapping[Provider, AttestationVerifier] = field(default_factory=dict)
    witnesses: tuple[Verifier, ...] = ()
    now: Callable[[], datetime] = wall_clock

    @property
    def keys(self) -> ServiceKeys:
        """As they are now: the key file may have been changed a moment ago."""
        return self.ring.current()


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(_service)]
