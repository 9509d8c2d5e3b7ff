"""The implicit label of GB 45438-2025: the metadata key ``AIGC``, a JSON object of seven fields, and reading it back.

Sources: the standard's appendix E for the fields; the committee's practice guide for video files (TC260-PG-20257A) for the
place: key ``AIGC`` in ``moov.udta.meta.keys``, the text in ``moov.udta.meta.ilst``. Both were taken from programs that quote
them, not from the documents themselves.

A plain remux (``ffmpeg -c copy``) keeps only keys that it knows, so the same text stands once more under ``comment``, in the
wrapped form ``{"AIGC": {...}}`` that the guides use where a field belongs to others too. That copy lives through it.

``ContentPropagator`` and ``PropagateID`` stay empty: whoever spreads the clip fills them in. ``ReservedCode1`` may carry a
signature of the producer; ours is the C2PA manifest.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

KEY = "AIGC"
_FIELDS = (
    "Label",
    "ContentProducer",
    "ProduceID",
    "ReservedCode1",
    "ContentPropagator",
    "PropagateID",
    "ReservedCode2",
)
_GENERATED = "1"
_LONGEST = 65_536  # bytes of a label
_DEEPEST = 8
_CONTAINERS = frozenset({b"moov", b"udta", b"meta", b"ilst"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AigcLabel:
    """That a clip is generated, and by whom. ``label`` is 1 (it is), 2 (it may be) or 3 (it is suspected to be)."""

    producer: str
    produce_id: str
    label: str = _GENERATED

    def to_metadata(self) -> dict[str, str]:
        """Tags for the container."""
        fields = dict.fromkeys(_FIELDS, "") | {
            "Label": self.label,
            "ContentProducer": self.producer,
            "ProduceID": self.produce_id,
        }
        plain = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        return {KEY: plain, "comment": f'{{"{KEY}":{plain}}}'}


def read_label(data: bytes) -> AigcLabel | None:
    """The label in an mp4 or mov, wherever its metadata has one; ``None`` where there is none that can be read.

    Any bytes may come in: nothing but ``None`` comes of damage.
    """
    for value in _values(data, 0, len(data), _DEEPEST):
        found = _parsed(value)
        if found is not None:
            return found
    return None


def _values(data: bytes, start: int, end: int, depth: int) -> Iterator[bytes]:
    """The content of every ``data`` box under the metadata lists."""
    while start + 8 <= end and depth > 0:
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        elif size == 0:
            size = end - start
        if size < head or start + size > end:
            return
        inside = start + head
        if kind == b"data":
            yield data[inside + 8 : min(start + size, inside + 8 + _LONGEST)]
        elif kind in _CONTAINERS:
            if kind == b"meta" and data[inside + 4 : inside + 8] not in (b"hdlr", b"keys", b"ilst"):
                inside += 4  # a full box in mp4, a plain one in mov
            yield from _values(data, inside, start + size, depth - 1)
        elif depth < _DEEPEST and kind not in (b"hdlr", b"keys", b"trak", b"mvhd"):
            yield from _values(data, inside, start + size, depth - 1)  # an entry of the list
        start += size


def _parsed(value: bytes) -> AigcLabel | None:
    try:
        fields = json.loads(value.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if isinstance(fields, Mapping) and isinstance(fields.get(KEY), Mapping):
        fields = fields[KEY]
    if not isinstance(fields, Mapping) or not isinstance(fields.get("Label"), str):
        return None
    producer, produced = fields.get("ContentProducer"), fields.get("ProduceID")
    if not isinstance(producer, str) or not isinstance(produced, str):
        return None
    return AigcLabel(label=fields["Label"], producer=producer, produce_id=produced)
