"""How often strangers may call: so many a minute for each address, and a few at once, counted in this process.

An address is that of the connection; behind a proxy that tells no more, all callers share one. Of IPv6, the first 64
bits are one address: a household has all of the rest.
"""

from __future__ import annotations

import ipaddress
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

_ADDRESSES = 10_000  # remembered; the one not seen for longest is forgotten


@dataclass(slots=True)
class Allowances:
    """Token buckets by address. ``clock`` gives seconds and never goes back. ``at_once``: calls in a row, then one every
    60 / per_minute seconds."""

    per_minute: int
    clock: Callable[[], float]
    at_once: int = 4
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def wait_s(self, address: str) -> int | None:
        """``None``: go ahead, and it is counted. Else after how many whole seconds to try again."""
        if self.per_minute <= 0:
            return 3600
        rate, most, now, place = self.per_minute / 60, float(self.at_once), self.clock(), _network(address)
        with self._lock:
            left, at = self._left.pop(place, (most, now))
            left = min(most, left + (now - at) * rate)
            allowed = left >= 1
            self._left[place] = (left - 1 if allowed else left, now)
            while len(self._left) > _ADDRESSES:
                self._left.popitem(last=False)
        return None if allowed else max(1, math.ceil((1 - left) / rate))


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
