"""Three worker processes on one database: every job is done once, whoever is killed or told to stop in the middle."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from sqlalchemy import text

from api.queue import give_back, still_here, take_over, worker_app
from tests.api.conftest import Clock, World
from tests.api.processes import running
from tests.api.test_clips import ordered, state
from tests.api.test_worker import WallClock, count, until

pytestmark = pytest.mark.service


@pytest.fixture
def clock() -> Clock:
    """Other processes take part: everyone reads the same clock."""
    return WallClock()


JOBS = "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = 'portrait'"
_PATIENCE_S = 150  # with many others on the same cores


def test_three_workers_do_every_job_once_though_one_is_killed_and_one_told_to_stop(
    world: World, tmp_path: Path
) -> None:
    token = world.token(world.consent(limits={"max_seconds": 30, "uses": 4}), "portrait")
    clips = [ordered(world, [token]) for _ in range(4)]

    def in_state(name: str) -> list[str]:
        return [each for each in clips if state(world, each)["state"] == name]

    hold = tmp_path / "hold"
    hold.touch()
    with running(world.service, tmp_path, apis=0, workers=3, hold=str(hold), silent_s=10) as there:
        killed, stopped, last = (child.process for child in there.workers)
        until(lambda: len(in_state("running")) == 3, _PATIENCE_S)
        killed.kill()
        stopped.send_signal(signal.SIGTERM)
        assert stopped.wait(15) == 0
        assert "stopping with 1 jobs under way; others finish them" in there.said()
        hold.unlink()
        until(lambda: len(in_state("done")) == 4, _PATIENCE_S)
        until(lambda: count(world, JOBS) == 0, _PATIENCE_S)
        last.send_signal(signal.SIGTERM)
        assert last.wait(15) == 0
        said = there.said()
    assert "taken up again" in said
    assert "Traceback" not in said
    for counted in (
        "SELECT count(*) FROM sealed WHERE kind = 'clip'",
        "SELECT count(*) FROM released_clips",
        "SELECT count(*) FROM permits WHERE redeemed_at IS NOT NULL",
    ):
        assert count(world, counted) == 4, counted
    released = [line.split()[-2] for line in said.splitlines() if line.endswith(" released")]
    assert sorted(released) == sorted(clips)


def test_a_job_given_back_was_no_try_and_one_of_a_silent_worker_is_taken_over_once(world: World) -> None:
    clip_id = ordered(world, [world.token(world.consent(), "portrait")])

    async def story() -> list[tuple[list[int], str, int]]:
        async with worker_app(world.service.database.conninfo).open_async() as app:
            manager, seen = app.job_manager, []

            async def now(taken: list[int]) -> None:
                row = await app.connector.execute_query_one_async(
                    "SELECT status, attempts FROM procrastinate_jobs WHERE queue_name = 'portrait'"
                )
                seen.append((taken, row["status"], row["attempts"]))

            async def begun() -> int:
                job = await manager.fetch_job(queues=["portrait"], worker_id=await manager.register_worker())
                assert job is not None
                assert job.task_kwargs == {"clip_id": clip_id}
                return job.id or 0

            async def silence() -> None:
                await app.connector.execute_query_async(
                    "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'"
                )

            job_id = await begun()
            await now(await take_over(app, 60))
            await give_back(app, [job_id])
            await now([])
            await begun()
            await silence()
            await still_here(app, [job_id])
            await now(await take_over(app, 60))
            await silence()
            both = await asyncio.gather(take_over(app, 60), take_over(app, 60))
            await now([*both[0], *both[1]])
            await give_back(app, [job_id])
            await begun()
            await now(await take_over(app, 60))
            return [([1 for _ in taken], status, tries) for taken, status, tries in seen]

    told = asyncio.run(story())
    assert told == [([], "doing", 0), ([], "todo", 0), ([], "doing", 0), ([1], "todo", 1), ([], "doing", 1)]


@pytest.mark.parametrize("how", ["taken over", "given back"])
def test_what_a_worker_left_goes_on_though_the_next_round_of_the_house_waits_already(world: World, how: str) -> None:
    """Only one round may wait, and only one be under way: the one left behind must neither be put back nor stay."""
    ordered(world, [world.token(world.consent(), "portrait")])

    async def story() -> tuple[list[str], str]:
        async with worker_app(world.service.database.conninfo).open_async() as app:
            manager = app.job_manager

            async def round_of_the_house() -> None:
                await app.configure_task(
                    "sweep", allow_unknown=True, queue="housekeeping", lock="sweep", queueing_lock="sweep"
                ).defer_async(timestamp=1)

            async def begun(queue: str) -> int:
                job = await manager.fetch_job(queues=[queue], worker_id=await manager.register_worker())
                assert job is not None
                return job.id or 0

            await round_of_the_house()
            left = [await begun("housekeeping"), await begun("portrait")]
            await round_of_the_house()
            if how == "taken over":
                await app.connector.execute_query_async(
                    "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'"
                )
                assert await take_over(app, 60) == [left[1]]
            else:
                await give_back(app, left)
            rows = await app.connector.execute_query_all_async("SELECT task_name, status FROM procrastinate_jobs")
            await begun("portrait")
            assert await begun("housekeeping") not in left
            return sorted(row["task_name"] for row in rows), " ".join({row["status"] for row in rows})

    assert asyncio.run(story()) == (["judge", "render", "sweep"], "todo")


def test_of_several_workers_one_keeps_house_at_a_time(world: World, tmp_path: Path) -> None:
    session = world.session()
    with world.service.database.engine.begin() as connection:
        connection.execute(text("UPDATE liveness_sessions SET expires_at = now() - interval '1 second'"))
    with running(world.service, tmp_path, apis=0, workers=2):
        until(lambda: count(world, "SELECT count(*) FROM liveness_sessions WHERE state = 'expired'") == 1, _PATIENCE_S)
        assert count(world, "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'sweep'") <= 2
    assert session["session_id"]
