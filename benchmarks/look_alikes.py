"""Look-alike alerts: ``python -m benchmarks.look_alikes PEOPLE``. One face among that many: how fast, how surely found.

Searched in memory, as the service does it where the codes fit. With ``--graph`` also through the graph, which is for more
people than fit: building one over a million takes a quarter of an hour of two cores and 3 GB.

The people are synthetic. Half of what a template says is a smooth function of 16 hidden numbers (the intrinsic dimension of
face embeddings is about that: Gong, Boddeti, Jain, CVPR 2019), half is noise along 512 axes of falling weight. Strangers have
a cosine of 0.00 on average with a spread of 0.10, one pair in ten thousand above 0.43; of 19 real people with the model at
hand it was 0.01 and 0.11. A face that is looked for is somebody's template plus a part of what makes two other people
differ, at a cosine to it drawn evenly from 0.60 (below, nobody is told) to 0.85.

``found first`` is recall@1: whose face it is comes out as the nearest. The service compares the five nearest exactly. Harder
ones are in the table too: cosines from 0.45, and a tenth as many people without any structure (all directions alike), among
whom a graph leads nowhere. CPU time is that of this process, without PostgreSQL's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from api.blinding import CODE_BITS, DIMENSION, Blinding, blinding_of
from api.look_alike_index import COMPARED, GRAPH, PEOPLE, PERSON_BYTES, prepare
from api.look_alike_search import LookAlikeSearch, Way
from api.service import Service
from api.settings import Settings
from benchmarks.report import fresh_service, p95, report, timed
from lab.bench import Figure
from liveness.template import template

Vectors = NDArray[np.float32]

_PEOPLE = 1_000_000
_LOOKED_FOR = 600
_AT_ONCE = 20_000
_CONTRACT = "synthetic-512"
_TOLD, _NOT_TOLD = (0.60, 0.85), (0.45, 0.60)
_HIDDEN, _SMOOTHNESS, _AXES = 16, 0.25, 60
_SERVER = {"shared_buffers": "3GB", "maintenance_work_mem": "2GB", "max_parallel_maintenance_workers": "1"}
"""As docs/operations.md says for a graph over a million people on two cores; smaller for fewer."""
_MEMORY_MB = Settings().look_alikes_memory_mb


def main() -> None:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--graph", action="store_true", help="build the graph too, and search through it")
    report(__doc__, measure, count=_PEOPLE, noun="people who want to be told", options=options)


def measure(count: int, *, graph: bool = False) -> list[Figure]:
    server = _SERVER if count >= 100_000 else {}
    with fresh_service(postgres=server) as service:
        prepare(service.database.owner_url, memory_mb=_MEMORY_MB)
        figures = _among(service, count, _faces_like_people(np.random.default_rng(1)), "", graph=graph)
        few = max(1, count // 10)
        return figures + _among(service, few, _all_directions(np.random.default_rng(2)), ", no structure", graph=graph)


# --- synthetic people ------------------------------------------------------------------------------------------------

Draw = Callable[[int], Vectors]
"""Gives that many templates, ``(n, 512) float32`` of unit length."""
Faces = dict[tuple[float, float], list[tuple[int, str]]]
"""By the cosines that they have to their people: whose they are, and their codes."""


def _faces_like_people(chance: np.random.Generator) -> Draw:
    directions = (chance.standard_normal((_HIDDEN, DIMENSION)) * _SMOOTHNESS).astype(np.float32)
    phases = chance.uniform(0, 2 * np.pi, DIMENSION).astype(np.float32)
    weights = _falling_weights(_AXES)

    def smooth(n: int) -> Vectors:
        waves: Vectors = np.cos(chance.standard_normal((n, _HIDDEN), dtype=np.float32) @ directions + phases)
        return waves

    middle = smooth(20_000).mean(axis=0)

    def draw(n: int) -> Vectors:
        noise = chance.standard_normal((n, DIMENSION), dtype=np.float32) * weights
        return _unit(_unit(smooth(n) - middle) + _unit(noise))

    return draw


def _all_directions(chance: np.random.Generator) -> Draw:
    return lambda n: _unit(chance.standard_normal((n, DIMENSION), dtype=np.float32))


def _falling_weights(axes: float) -> Vectors:
    """Of 512 axes by a power law, so that they are worth as much as ``axes`` alike ones (participation ratio)."""
    low, high = 0.0, 3.0
    for _ in range(50):
        power = (low + high) / 2
        variance = np.arange(1, DIMENSION + 1) ** -power
        low, high = (power, high) if variance.sum() ** 2 / (variance**2).sum() > axes else (low, power)
    weights: Vectors = np.sqrt(variance).astype(np.float32)
    return weights


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


# --- filling and asking ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sample:
    """People who are looked for later: their numbers and templates."""

    numbers: NDArray[np.int64]
    vectors: Vectors


def _among(service: Service, count: int, draw: Draw, of: str, *, graph: bool) -> list[Figure]:
    blinding = blinding_of(service.keys, 1)
    owner = create_engine(service.database.owner_url, poolclass=NullPool)
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"TRUNCATE {PEOPLE}"))
        connection.execute(
            text("SET session_replication_role = replica")
        )  # choices that they would refer to are not there
        filled, sample = timed(lambda: _fill(connection, blinding, count, draw))
        connection.execute(text(f"VACUUM ANALYZE {PEOPLE}"))
        table = connection.scalar(text(f"SELECT pg_table_size('{PEOPLE}')")) or 0
    figures = [
        Figure(what=f"(drawing, blinding and writing {count:,} codes{of})", value=filled, unit="s"),
        Figure(what=f"codes of {count:,}{of}", value=table / 1e6, unit="MB"),
    ]
    faces = {cosines: list(_faces(blinding, sample, draw, cosines)) for cosines in (_TOLD, _NOT_TOLD)}
    with closing(LookAlikeSearch(_MEMORY_MB, service.database.transaction)) as search:
        read, _ = timed(lambda: _nearest(service, search, faces[_TOLD][0][1], blinding.rotation_id))
        if search.held != count:
            raise SystemExit(f"{search.held:,} of {count:,} codes are in memory")
        figures += [
            Figure(what=f"heads of {count:,} codes read into memory{of}", value=read, unit="s"),
            Figure(what=f"heads of {count:,} codes in memory{of}", value=count * PERSON_BYTES / 1e6, unit="MB"),
        ]
        for cosines, asked in faces.items():
            figures += _looked_for(service, search, asked, cosines, of, Way.MEMORY, rotation_id=blinding.rotation_id)
    if graph:
        figures += _through_the_graph(service, owner, count, faces, of, rotation_id=blinding.rotation_id)
    owner.dispose()
    return figures


def _through_the_graph(
    service: Service, owner: Engine, count: int, faces: Faces, of: str, *, rotation_id: str
) -> list[Figure]:
    built, reason = timed(lambda: prepare(service.database.owner_url, memory_mb=0))
    if reason is not None:
        raise SystemExit(f"no graph on this server: {reason}")
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"VACUUM ANALYZE {PEOPLE}"))
        size = connection.scalar(text(f"SELECT pg_relation_size('{GRAPH}')")) or 0
    figures = [
        Figure(what=f"graph over {count:,} built{of}", value=built, unit="s"),
        Figure(what=f"graph over {count:,}{of}", value=size / 1e6, unit="MB"),
    ]
    with closing(LookAlikeSearch(0, service.database.transaction)) as search:
        for cosines, asked in faces.items():
            figures += _looked_for(service, search, asked, cosines, of, Way.GRAPH, rotation_id=rotation_id)
    prepare(service.database.owner_url, memory_mb=_MEMORY_MB)
    return figures


def _fill(connection: Connection, blinding: Blinding, count: int, draw: Draw) -> _Sample:
    """As COPY takes it in binary (PostgreSQL 18 documentation, COPY, file formats)."""
    wanted = np.sort(np.random.default_rng(3).choice(count, size=min(count, 2 * _LOOKED_FOR), replace=False))
    kept = []
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {PEOPLE} (consent_id, contract_id, rotation_id, code) FROM STDIN (FORMAT binary)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        for first in range(0, count, _AT_ONCE):
            vectors = draw(min(_AT_ONCE, count - first))
            here = wanted[(wanted >= first) & (wanted < first + len(vectors))]
            kept.append(vectors[here - first])
            copy.write(_rows(first, blinding.codes(vectors), blinding.rotation_id))
        copy.write(b"\xff\xff")
    return _Sample(wanted, np.concatenate(kept))


def _rows(first: int, codes: NDArray[np.uint8], rotation_id: str) -> bytes:
    ids = np.array([_consent_id(first + number).encode() for number in range(len(codes))])
    fields = (("id", ids), ("contract", _CONTRACT.encode()), ("rotation", rotation_id.encode()))
    layout: list[tuple[str, str]] = [("columns", ">i2")]
    for name, value in fields:
        size = value.dtype.itemsize if isinstance(value, np.ndarray) else len(value)
        layout += [(f"{name}_size", ">i4"), (name, f"S{size}")]
    layout += [("code_size", ">i4"), ("bits", ">i4"), ("code", f"V{CODE_BITS // 8}")]
    rows = np.zeros(len(codes), dtype=layout)
    rows["columns"] = 4
    for name, value in fields:
        rows[name], rows[f"{name}_size"] = value, rows.dtype[name].itemsize
    rows["code_size"], rows["bits"] = 4 + CODE_BITS // 8, CODE_BITS
    rows["code"] = np.ascontiguousarray(codes).view(f"V{CODE_BITS // 8}").reshape(-1)
    return rows.tobytes()


def _consent_id(number: int) -> str:
    return f"cns_{number:032x}"


def _looked_for(
    service: Service,
    search: LookAlikeSearch,
    faces: list[tuple[int, str]],
    cosines: tuple[float, float],
    of: str,
    way: Way,
    *,
    rotation_id: str,
) -> list[Figure]:
    with service.database.transaction() as store:
        if (found := search.way(store.look_alike_index)) is not way:
            raise SystemExit(f"searched in {found}, not in {way}")
    took: list[float] = []
    first = compared = 0
    worked = time.process_time()
    for number, code in faces:
        seconds, near = timed(partial(_nearest, service, search, code, rotation_id))
        took.append(1000 * seconds)
        first += near[:1] == [_consent_id(number)]
        compared += _consent_id(number) in near
    worked = time.process_time() - worked
    asked = len(took)
    goal = way is Way.MEMORY and not of and cosines == _TOLD
    which = f"in {way.value}, cosine {cosines[0]:.2f} to {cosines[1]:.2f}{of}"
    return [
        Figure(what=f"one face looked for {which} (p50)", value=sorted(took)[asked // 2], unit="ms"),
        Figure(what=f"one face looked for {which} (p95)", value=p95(took), unit="ms", goal="<= 20" if goal else ""),
        Figure(what=f"one face looked for {which} (CPU time, mean)", value=1000 * worked / asked, unit="ms"),
        Figure(what=f"found first {which}", value=first / asked, unit=f"of {asked}", goal=">= 0.99" if goal else ""),
        Figure(what=f"found among the {COMPARED} compared {which}", value=compared / asked, unit=f"of {asked}"),
    ]


def _faces(blinding: Blinding, sample: _Sample, draw: Draw, cosines: tuple[float, float]) -> Iterator[tuple[int, str]]:
    """Numbers of people, and the code of another picture of each."""
    chance = np.random.default_rng(4)
    picked = chance.permutation(len(sample.numbers))[:_LOOKED_FOR]
    others = draw(len(picked))
    for place, other in zip(picked, others, strict=True):
        person = sample.vectors[place]
        away = other - (other @ person) * person
        cosine = chance.uniform(*cosines)
        face = cosine * person + np.sqrt(1 - cosine**2) * away / np.linalg.norm(away)
        yield int(sample.numbers[place]), blinding.code(template(face, contract_id=_CONTRACT))


def _nearest(service: Service, search: LookAlikeSearch, code: str, rotation_id: str) -> list[str]:
    with service.database.transaction() as store:
        index = store.look_alike_index
        return search.nearest(index, code, contract_id=_CONTRACT, rotation_id=rotation_id, most=COMPARED)


if __name__ == "__main__":
    main()
