"""The recorder: what clients note is what the history says, from threads, tasks and files."""

from __future__ import annotations

import asyncio
import itertools
import threading
from pathlib import Path

import pytest

from clusterlite.testing.history import Operation, Recorder, load, save

ROW = {"id": "a", "name": "Änn"}


def ticking() -> Recorder:
    """A recorder whose clock counts how often it was asked."""
    return Recorder(itertools.count().__next__)


def test_an_operation_is_noted_with_its_times_and_its_answer() -> None:
    recorder = ticking()
    call = recorder.begin("c", "put", {"table": "users", "row": ROW}, event="e", node="n-1")
    call.done(position=7, version=7, node="n-2")
    (told,) = recorder.history()
    assert told == Operation(
        "c",
        "put",
        {"table": "users", "row": ROW},
        begun=0,
        ended=1,
        status="done",
        event="e",
        position=7,
        version=7,
        node="n-2",
    )


def test_an_operation_that_nobody_ended_is_open_and_unknown() -> None:
    recorder = ticking()
    recorder.begin("c", "delete", {"table": "users", "key": "a"})
    (left,) = recorder.history()
    assert (left.ended, left.status) == (None, "unknown")


def test_an_unknown_operation_is_settled_later() -> None:
    recorder = ticking()
    call = recorder.begin("c", "delete", {"table": "users", "key": "a"})
    call.unknown(event="e")
    assert recorder.history()[0].status == "unknown"
    call.never()
    (settled,) = recorder.history()
    assert (settled.status, settled.event, settled.ended) == ("never", "e", 2)


def test_the_history_is_in_the_order_of_the_beginnings() -> None:
    recorder = ticking()
    first = recorder.begin("c", "read", {"table": "users", "key": "a"}, level="strong")
    second = recorder.begin("d", "read", {"table": "users", "key": "a"})
    second.failed()
    first.done(value=ROW, position=3, version=3)
    assert [told.client for told in recorder.history()] == ["c", "d"]


def test_threads_and_tasks_record_into_one_history() -> None:
    recorder = Recorder()

    def write(client: str) -> None:
        for number in range(200):
            recorder.begin(client, "delete", {"table": "t", "key": str(number)}).failed()

    async def write_as_tasks() -> None:
        await asyncio.gather(*(asyncio.to_thread(write, f"task-{n}") for n in range(4)))

    threads = [threading.Thread(target=write, args=(f"thread-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    asyncio.run(write_as_tasks())
    for thread in threads:
        thread.join()
    history = recorder.history()
    assert len(history) == len(recorder) == 1600
    assert {told.status for told in history} == {"failed"}
    for client in {told.client for told in history}:
        own = [told for told in history if told.client == client]
        assert [told.request["key"] for told in own] == [str(n) for n in range(200)]
        assert all(told.begun <= (told.ended or 0) for told in own)


def test_a_history_comes_back_from_its_file(tmp_path: Path) -> None:
    recorder = ticking()
    recorder.begin("c", "create", {"table": "users", "row": ROW}).done(position=3, event="e")
    recorder.begin("c", "list", {"table": "users"}, level="strong").done(
        position=3, value=[ROW], versions={"a": 3}
    )
    recorder.begin("c", "put", {"table": "users", "row": ROW}).rejected("unique", position=4)
    recorder.begin("c", "put", {"table": "users", "row": ROW})
    path = tmp_path / "history.jsonl"
    recorder.save(path)
    assert load(path) == recorder.history()
    save(path, load(path)[:2])
    assert load(path) == recorder.history()[:2]


def test_an_operation_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no drop at level eventual"):
        ticking().begin("c", "drop", {})
    with pytest.raises(ValueError, match="no read at level sometimes"):
        ticking().begin("c", "read", {}, level="sometimes")


def test_an_operation_is_told_in_one_line() -> None:
    recorder = ticking()
    call = recorder.begin("c", "put", {"table": "users", "row": ROW}, event="e", node="n")
    call.rejected("unique", position=4)
    assert str(recorder.history()[0]) == (
        "c at n: put(table='users', row={'id': 'a', 'name': 'Änn'}), 0.000000 to 1.000000: "
        "rejected unique, event 'e', position 4"
    )
