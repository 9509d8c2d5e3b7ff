"""The Merkle tree of RFC 9162, section 2.1 (the same hashes as RFC 6962): roots, proofs, and the tiles they are served in.

The tree is held as its complete subtrees: :class:`Node` ``(level, number)`` covers the leaves ``[number << level,
(number + 1) << level)`` and never changes once it is there. Every root and every proof is made of such nodes, so making one
needs a few nodes, which a :data:`Reader` brings in one go, and never all leaves.

Tiles are those of C2SP tlog-tiles: 256 neighbouring nodes of level 0, 8, 16, ...
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from consent.errors import ProofInvalid

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of a tree without leaves (RFC 9162, 2.1.1)."""

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
_MOST_TILE_INDEX = 10**15


class Node(NamedTuple):
    """A complete subtree: ``level`` 0 are leaves; ``number`` counts from the left within the level."""

    level: int
    number: int

    @property
    def first_leaf(self) -> int:
        return self.number << self.level


Reader = Callable[[Sequence[Node]], Sequence[bytes]]
"""Hashes of these nodes, in this order. Whoever reads raises its own error when one is not there."""


def leaf_hash(content: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


# --- growing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Edge:
    """A tree of ``size`` leaves as the hashes of its largest complete subtrees, left to right: one for each bit of size."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise ValueError("an edge has one hash for each bit of its size")

    def root(self) -> bytes:
        return _folded(self.hashes) if self.hashes else EMPTY_ROOT


def grow(edge: Edge, leaf_hashes: Iterable[bytes]) -> tuple[Edge, list[tuple[Node, bytes]]]:
    """The edge after these leaves, and every complete subtree that came into being, leaves included, in order."""
    size, hashes, made = edge.size, list(edge.hashes), []
    for content in leaf_hashes:
        node, found = Node(0, size), content
        made.append((node, found))
        while node.number & 1:  # a right child: its parent is complete now
            found = node_hash(hashes.pop(), found)
            node = Node(node.level + 1, node.number >> 1)
            made.append((node, found))
        hashes.append(found)
        size += 1
    return Edge(size, tuple(hashes)), made


def edge_nodes(size: int) -> tuple[Node, ...]:
    """The nodes whose hashes an :class:`Edge` of that size holds."""
    return _covering(0, size)


def edge_of(size: int, read: Reader) -> Edge:
    return Edge(size, tuple(read(edge_nodes(size))))


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    return grow(Edge(), leaf_hashes)[0].root()


def _folded(hashes: Sequence[bytes]) -> bytes:
    found = hashes[-1]
    for left in reversed(hashes[:-1]):
        found = node_hash(left, found)
    return found


def _covering(start: int, end: int) -> tuple[Node, ...]:
    """The largest complete subtrees of the leaves ``[start, end)``, left to right. ``start`` is where a subtree of that
    many leaves may begin, as it is wherever RFC 9162 splits a tree."""
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        found.append(Node(level, start >> level))
        start += 1 << level
    return tuple(found)


# --- proofs ----------------------------------------------------------------------------------------------------------


def inclusion_proof(index: int, size: int, read: Reader) -> tuple[bytes, ...]:
    """That leaf ``index`` is in the tree of ``size`` leaves (RFC 9162, 2.1.3.1), from the leaf's sibling upwards.

    Raises:
        ProofInvalid: when there is no such leaf.
    """
    if not 0 <= index < size:
        raise ProofInvalid("no such entry in a tree of that size")
    ranges, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return _read_ranges(ranges[::-1], read)


def consistency_proof(first: int, second: int, read: Reader) -> tuple[bytes, ...]:
    """That the tree of ``first`` leaves is the beginning of that of ``second`` (RFC 9162, 2.1.4.1); empty from 0 and for
    equal sizes.

    Raises:
        ProofInvalid: when the first is larger.
    """
    if not 0 <= first <= second:
        raise ProofInvalid("a tree leads only to a later one")
    if first in (0, second):
        return ()
    ranges, start, end = [], 0, second
    while end != first:
        middle = start + _split(end - start)
        if first <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start:  # else the first tree is a subtree whose hash the verifier has
        ranges.append((start, end))
    return _read_ranges(ranges[::-1], read)


def _split(count: int) -> int:
    """The largest power of two below ``count``."""
    return 1 << ((count - 1).bit_length() - 1)


def _read_ranges(ranges: Sequence[tuple[int, int]], read: Reader) -> tuple[bytes, ...]:
    nodes = [_covering(start, end) for start, end in ranges]
    hashes = iter(read([node for group in nodes for node in group]))
    return tuple(_folded([next(hashes) for _ in group]) for group in nodes)


def verify_inclusion(*, index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf with that hash is number ``index`` of the tree with that root (RFC 9162, 2.1.3.2).

    Raises:
        ProofInvalid: when it is not shown.
    """
    if not 0 <= index < size or not _hashes((leaf, root, *proof)):
        raise ProofInvalid("no such entry in a tree of that size")
    at, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise ProofInvalid("the proof is too long")
        if at & 1 or at == last:
            found = node_hash(step, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, step)
        at, last = at >> 1, last >> 1
    if last or found != root:
        raise ProofInvalid("the proof does not lead to the root")


def verify_consistency(
    *, first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of ``first`` leaves is the beginning of that of ``second`` (RFC 9162, 2.1.4.2).

    Raises:
        ProofInvalid: when it is not shown.
    """
    if not 0 <= first <= second or not _hashes((first_root, second_root, *proof)):
        raise ProofInvalid("a tree leads only to a later one")
    if first in (0, second):
        same = first_root == (EMPTY_ROOT if first == 0 else second_root)
        if proof or not same or (second == 0 and second_root != EMPTY_ROOT):
            raise ProofInvalid("equal trees have equal roots and an empty proof")
        return
    steps = list(proof) if first & (first - 1) else [first_root, *proof]
    if not proof:
        raise ProofInvalid("the proof is empty")
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise ProofInvalid("the proof is too long")
        if at & 1 or at == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, step)
        at, last = at >> 1, last >> 1
    if last or old != first_root or new != second_root:
        raise ProofInvalid("the proof does not lead from the one root to the other")


def _hashes(values: Iterable[bytes]) -> bool:
    return all(len(value) == HASH_BYTES for value in values)


# --- tiles -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """``width`` neighbouring hashes of one level, or with ``level=None`` that many entries (C2SP tlog-tiles)."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        level_ok = self.level is None or 0 <= self.level <= 63
        if not level_ok or not 0 <= self.index < _MOST_TILE_INDEX or not 1 <= self.width <= TILE_WIDTH:
            raise ValueError("no such tile")

    @property
    def full(self) -> bool:
        return self.width == TILE_WIDTH

    @property
    def path(self) -> str:
        """Below the log's prefix: ``tile/1/x001/x234/067.p/12``."""
        digits = str(self.index)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[place : place + 3] for place in range(0, len(digits), 3)]
        name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        part = "" if self.full else f".p/{self.width}"
        return f"tile/{'entries' if self.level is None else self.level}/{name}{part}"

    @property
    def nodes(self) -> range:
        """Indexes of its nodes within their level of the tree, :attr:`node_level`."""
        return range(self.index * TILE_WIDTH, self.index * TILE_WIDTH + self.width)

    @property
    def node_level(self) -> int:
        return TILE_HEIGHT * (self.level or 0)


_TILE_PATH = re.compile(r"(entries|0|[1-9]\d?)/((?:x\d{3}/){0,4}\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)


def tile_at(path: str) -> Tile | None:
    """The tile with that path (after ``tile/``), or ``None``: each has one spelling."""
    found = _TILE_PATH.fullmatch(path)
    if found is None:
        return None
    level, index, width = found.groups()
    try:
        tile = Tile(
            level=None if level == "entries" else int(level),
            index=int(index.replace("/", "").replace("x", "")),
            width=TILE_WIDTH if width is None else int(width),
        )
    except ValueError:
        return None
    return tile if tile.path == f"tile/{path}" else None


def tiles_of(size: int) -> tuple[Tile, ...]:
    """Every tile of hashes in a tree of that size, and none that is empty."""
    found, level = [], 0
    while count := size >> (TILE_HEIGHT * level):
        found += [_tile(level, index, count) for index in range(-(-count // TILE_WIDTH))]
        level += 1
    return tuple(found)


def bundles_of(size: int) -> tuple[Tile, ...]:
    """Every bundle of entries in a tree of that size."""
    return tuple(_tile(None, index, size) for index in range(-(-size // TILE_WIDTH)))


def _tile(level: int | None, index: int, count: int) -> Tile:
    return Tile(level=level, index=index, width=min(TILE_WIDTH, count - index * TILE_WIDTH))


def reader_of_tiles(size: int, fetch: Callable[[Tile], bytes]) -> Reader:
    """Reads nodes of a tree of that size out of its tiles, each fetched once. What it reads is as good as the tiles: only a
    proof that holds against a signed root says that they were right.

    Raises (when read):
        ProofInvalid: when a tile has another length than it should.
    """
    kept: dict[Tile, bytes] = {}

    def read(nodes: Sequence[Node]) -> list[bytes]:
        return [one(node) for node in nodes]

    def one(node: Node) -> bytes:
        level, height = divmod(node.level, TILE_HEIGHT)
        start = node.number << height
        tile = _tile(level, start // TILE_WIDTH, size >> (TILE_HEIGHT * level))
        if tile not in kept:
            content = fetch(tile)
            if len(content) != tile.width * HASH_BYTES:
                raise ProofInvalid("a tile has another length than its width")
            kept[tile] = content
        place = start % TILE_WIDTH * HASH_BYTES
        content = kept[tile][place : place + (HASH_BYTES << height)]
        return root_of(content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES))

    return read


def bundled(entries: Iterable[bytes]) -> bytes:
    """Entries as a bundle: each after its length as a big-endian uint16."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def unbundled(content: bytes) -> list[bytes]:
    """The entries of a bundle.

    Raises:
        ProofInvalid: when the lengths do not add up.
    """
    found, place = [], 0
    while place < len(content):
        end = place + 2 + int.from_bytes(content[place : place + 2], "big")
        if place + 2 > len(content) or end > len(content):
            raise ProofInvalid("a bundle ends within an entry")
        found.append(content[place + 2 : end])
        place = end
    return found
