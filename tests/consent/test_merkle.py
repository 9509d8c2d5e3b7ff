"""The tree of RFC 9162 against the RFC's own algorithms, written a second time here the slow way, and known roots."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.errors import ProofInvalid
from consent.merkle import (
    EMPTY_ROOT,
    Edge,
    Node,
    Reader,
    Tile,
    bundled,
    bundles_of,
    consistency_proof,
    edge_nodes,
    edge_of,
    grow,
    inclusion_proof,
    leaf_hash,
    reader_of_tiles,
    root_of,
    tile_at,
    tiles_of,
    unbundled,
    verify_consistency,
    verify_inclusion,
)

# The leaves that implementations of RFC 6962 test themselves with since Certificate Transparency began (published with
# google/certificate-transparency, merkletree tests; and transparency-dev/merkle), with their roots for 1 to 8 leaves.
CLASSIC = [bytes.fromhex(leaf) for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657",
                                            "606162636465666768696a6b6c6d6e6f")]  # fmt: skip
CLASSIC_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CLASSIC_PATHS = {  # (index, size): from the leaf upwards
    (0, 8): ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
             "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
             "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"],
    (5, 8): ["bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
             "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
             "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): ["6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
             "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
             "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"],
}  # fmt: skip
CLASSIC_CONSISTENCY = {
    (1, 8): ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
             "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
             "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"],
    (6, 8): ["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
             "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
             "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"],
    (2, 5): ["5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
             "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"],
    (1, 1): [],
}  # fmt: skip


def kept(contents: Sequence[bytes]) -> Reader:
    """A store of the nodes of a tree."""
    nodes = dict(grow(Edge(), map(leaf_hash, contents))[1])
    return lambda wanted: [nodes[node] for node in wanted]


def slow_root(hashes: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, word by word."""
    if len(hashes) <= 1:
        return hashes[0] if hashes else hashlib.sha256().digest()
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    return hashlib.sha256(b"\x01" + slow_root(hashes[:k]) + slow_root(hashes[k:])).digest()


LEAVES = [f"leaf {number}".encode() for number in range(300)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]
READ = kept(LEAVES)
ROOTS = [slow_root(HASHES[:size]) for size in range(65)]


def test_the_classic_leaves_have_the_classic_roots() -> None:
    assert (
        root_of([]) == EMPTY_ROOT == bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    )
    for size, root in enumerate(CLASSIC_ROOTS, 1):
        assert root_of(map(leaf_hash, CLASSIC[:size])).hex() == root


@pytest.mark.parametrize("place", CLASSIC_PATHS)
def test_known_inclusion_proofs(place: tuple[int, int]) -> None:
    index, size = place
    assert [step.hex() for step in inclusion_proof(index, size, kept(CLASSIC))] == CLASSIC_PATHS[place]


@pytest.mark.parametrize("sizes", CLASSIC_CONSISTENCY)
def test_known_consistency_proofs(sizes: tuple[int, int]) -> None:
    assert [step.hex() for step in consistency_proof(*sizes, kept(CLASSIC))] == CLASSIC_CONSISTENCY[sizes]


def test_every_leaf_of_every_tree_up_to_64_is_shown_to_be_in_it_and_nowhere_else() -> None:
    for size in range(1, 65):
        for index in range(size):
            proof = inclusion_proof(index, size, READ)
            verify_inclusion(index=index, size=size, leaf=HASHES[index], proof=proof, root=ROOTS[size])
            for other in {(index + 1) % size, index ^ 1} - {index}:
                with pytest.raises(ProofInvalid):
                    verify_inclusion(index=other, size=size, leaf=HASHES[index], proof=proof, root=ROOTS[size])


def test_every_tree_up_to_64_is_shown_to_begin_every_later_one() -> None:
    for second in range(65):
        for first in range(second + 1):
            proof = consistency_proof(first, second, READ)
            known = {"first": first, "second": second, "first_root": ROOTS[first], "second_root": ROOTS[second]}
            verify_consistency(**known, proof=proof)  # type: ignore[arg-type]
            if 0 < first < second:
                for wrong in ({"first_root": ROOTS[first - 1]}, {"second_root": ROOTS[second - 1]}):
                    with pytest.raises(ProofInvalid):
                        verify_consistency(**known | wrong, proof=proof)  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None, print_blob=True)
@given(data=st.data())
def test_any_flipped_bit_or_other_length_of_an_inclusion_proof_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 300))
    index = data.draw(st.integers(0, size - 1))
    parts = [HASHES[index], root_of(HASHES[:size]), *inclusion_proof(index, size, READ)]
    place = data.draw(st.integers(0, len(parts) - 1))
    bit = data.draw(st.integers(0, 255))
    parts[place] = (int.from_bytes(parts[place]) ^ (1 << bit)).to_bytes(32)
    with pytest.raises(ProofInvalid):
        verify_inclusion(index=index, size=size, leaf=parts[0], root=parts[1], proof=parts[2:])


@settings(max_examples=300, deadline=None, print_blob=True)
@given(data=st.data())
def test_any_flipped_bit_or_other_length_of_a_consistency_proof_is_refused(data: st.DataObject) -> None:
    second = data.draw(st.integers(2, 300))
    first = data.draw(st.integers(1, second - 1))
    parts = [root_of(HASHES[:first]), root_of(HASHES[:second]), *consistency_proof(first, second, READ)]
    place = data.draw(st.integers(0, len(parts) - 1))
    match data.draw(st.sampled_from(["flip", "drop", "double"])):
        case "flip":
            bit = data.draw(st.integers(0, 255))
            parts[place] = (int.from_bytes(parts[place]) ^ (1 << bit)).to_bytes(32)
        case "drop":
            parts.pop(place if place > 1 else -1)
        case _:
            parts.append(parts[-1])
    if len(parts) < 2:
        return
    with pytest.raises(ProofInvalid):
        verify_consistency(first=first, second=second, first_root=parts[0], second_root=parts[1], proof=parts[2:])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 4), (4, 4), (7, 4)])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ProofInvalid):
        inclusion_proof(index, size, READ)
    with pytest.raises(ProofInvalid):
        verify_inclusion(index=index, size=size, leaf=HASHES[0], proof=[], root=HASHES[0])


@pytest.mark.parametrize(("first", "second"), [(5, 4), (-1, 4)])
def test_no_tree_leads_to_an_earlier_one(first: int, second: int) -> None:
    with pytest.raises(ProofInvalid):
        consistency_proof(first, second, READ)
    with pytest.raises(ProofInvalid):
        verify_consistency(first=first, second=second, first_root=HASHES[0], second_root=HASHES[1], proof=[])


@settings(max_examples=60, deadline=None, print_blob=True)
@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_a_tree_grown_in_parts_is_the_tree_grown_at_once(sizes: list[int]) -> None:
    edge, nodes, start = Edge(), {}, 0

    def read(wanted: Sequence[Node]) -> list[bytes]:
        return [nodes[node] for node in wanted]

    for more in sizes:
        edge, made = grow(edge, HASHES[start : start + more])
        nodes |= dict(made)
        start += more
        assert edge == edge_of(edge.size, read)
    assert edge.root() == slow_root(HASHES[:start])
    assert len(edge_nodes(start)) == start.bit_count()
    with pytest.raises(ValueError, match="one hash for each bit"):
        Edge(3, (b"",))


# --- tiles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(level=0, index=0), "tile/0/000"),
        (Tile(level=1, index=1_234_067), "tile/1/x001/x234/067"),
        (Tile(level=0, index=273, width=112), "tile/0/273.p/112"),
        (Tile(level=63, index=1_000, width=1), "tile/63/x001/000.p/1"),
        (Tile(level=None, index=999, width=255), "tile/entries/999.p/255"),
    ],
)
def test_tile_paths_are_those_of_the_specification(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert tile_at(path.removeprefix("tile/")) == tile


@pytest.mark.parametrize(
    "path",
    ["", "0", "0/", "0/0", "0/1000", "00/000", "64/000", "-1/000", "0/x000/001", "0/x001/1", "0/001/000", "0/000.p/0",
     "0/000.p/256", "0/000.p/01", "0/000.p/", "0/000/", "0/../000", "entries/", "other/000", "0/٠٠٠", "0/x001/x234/x067"],
)  # fmt: skip
def test_other_paths_are_no_tiles(path: str) -> None:
    assert tile_at(path) is None


def test_a_tree_of_70000_has_the_tiles_that_the_specification_says() -> None:
    tiles = tiles_of(70_000)
    assert sum(tile.full for tile in tiles if tile.level == 0) == 273
    assert [(tile.level, tile.index, tile.width) for tile in tiles if not tile.full] == [
        (0, 273, 112),
        (1, 1, 17),
        (2, 0, 1),
    ]
    assert [(tile.level, tile.width) for tile in tiles_of(256)] == [(0, 256), (1, 1)]
    assert tiles_of(0) == bundles_of(0) == ()
    assert [(bundle.index, bundle.width) for bundle in bundles_of(300)] == [(0, 256), (1, 44)]


@settings(max_examples=60, deadline=None, print_blob=True)
@given(data=st.data())
def test_proofs_can_be_made_from_tiles_alone(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 300))
    first = data.draw(st.integers(0, size))
    fetched: list[Tile] = []

    def fetch(tile: Tile) -> bytes:
        fetched.append(tile)
        assert tile in tiles_of(size)
        return b"".join(READ([Node(tile.node_level, index) for index in tile.nodes]))

    read = reader_of_tiles(size, fetch)
    assert consistency_proof(first, size, read) == consistency_proof(first, size, READ)
    index = data.draw(st.integers(0, size - 1))
    assert inclusion_proof(index, size, read) == inclusion_proof(index, size, READ)
    assert len(fetched) == len(set(fetched))


def test_a_tile_of_another_length_is_refused() -> None:
    with pytest.raises(ProofInvalid):
        reader_of_tiles(5, lambda _: bytes(31))([Node(0, 0)])


@given(entries=st.lists(st.binary(max_size=300), max_size=20))
def test_bundles_give_back_their_entries(entries: list[bytes]) -> None:
    assert unbundled(bundled(entries)) == entries


@pytest.mark.parametrize("content", [b"\x00", b"\x00\x02a", b"\x00\x01ab"])
def test_a_bundle_that_ends_within_an_entry_is_refused(content: bytes) -> None:
    with pytest.raises(ProofInvalid):
        unbundled(content)
