"""The contract of the log port, as tests that every adapter passes.

    class TestMyLog(LogContract):
        @pytest.fixture
        def logs(self) -> Iterator[Logs]:
            yield Logs(make_handle=…, make_other=…)

Each test opens as many handles on one log as it needs, as several nodes would.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

import pytest

from clusterlite.errors import Halt, LogClosed, RecordTooLarge
from clusterlite.log.base import Log, Record

WAIT_S: Final = 20.0
"""The longest that any step may take; a real broker's first answer may need seconds."""


class Logs:
    """Handles on one log, and one on another; closes all of them.

    Args:
        make_handle: a handle on the log under test, not opened.
        make_other: a handle on another log of the same kind.
    """

    def __init__(self, make_handle: Callable[[], Log], make_other: Callable[[], Log]) -> None:
        self._make_handle = make_handle
        self._make_other = make_other
        self._opened: list[Log] = []

    def open(self) -> Log:
        """One more open handle on the log."""
        return self._open(self._make_handle())

    def other(self) -> Log:
        """An open handle on another log."""
        return self._open(self._make_other())

    def _open(self, log: Log) -> Log:
        self._opened.append(log)
        log.open()
        return log

    def close(self) -> None:
        """Close every handle."""
        for log in self._opened:
            log.close()


def append(log: Log, *values: bytes) -> list[int]:
    """Append and wait until all are durable."""
    return [future.result(WAIT_S) for future in log.append(values)]


def read_all(log: Log, position: int, count: int) -> list[Record]:
    """Read `count` records from `position` on, in as many reads as it takes."""
    records: list[Record] = []
    while len(records) < count:
        batch = log.read(position, count - len(records), WAIT_S)
        assert batch.records, f"only {len(records)} of {count} records came"
        records += batch.records
        position = batch.next
    return records


class LogContract:
    """Inherit, give a `logs` fixture, and every rule of `base.Log` is tried."""

    def test_the_first_position_is_zero_and_positions_grow(self, logs: Logs) -> None:
        log = logs.open()
        assert append(log, b"a") == [0]
        positions = [*append(log, b"b", b"c"), *append(log, b"d")]
        assert positions == sorted(set(positions))
        assert positions[0] > 0

    def test_a_group_stands_in_the_order_given(self, logs: Logs) -> None:
        log = logs.open()
        values = [b"%d" % number for number in range(300)]
        positions = append(log, *values)
        assert positions == sorted(positions)
        assert [record.value for record in read_all(log, 0, 300)] == values

    def test_every_handle_reads_the_same(self, logs: Logs) -> None:
        first, second = logs.open(), logs.open()
        append(first, b"a")
        append(second, b"b")
        append(first, b"c")
        assert read_all(first, 0, 3) == read_all(second, 0, 3)

    def test_a_record_has_the_position_and_bytes_of_its_append(self, logs: Logs) -> None:
        log = logs.open()
        value = bytes(range(256))
        (position,) = append(log, value)
        (record,) = read_all(log, position, 1)
        assert (record.position, record.value) == (position, value)
        assert record.time_ms > 0

    def test_times_never_go_back(self, logs: Logs) -> None:
        log = logs.open()
        append(log, b"a", b"b")
        append(log, b"c")
        times = [record.time_ms for record in read_all(log, 0, 3)]
        assert times == sorted(times)

    def test_reading_begins_where_it_is_told(self, logs: Logs) -> None:
        log = logs.open()
        positions = append(log, b"a", b"b", b"c")
        assert read_all(log, positions[2], 1)[0].value == b"c"
        assert read_all(log, positions[0], 1)[0].value == b"a"
        assert read_all(log, positions[1], 1)[0].value == b"b"

    def test_reading_gives_no_more_than_asked_and_leaves_out_nothing(self, logs: Logs) -> None:
        log = logs.open()
        append(log, *[b"%d" % number for number in range(10)])
        batch = log.read(0, 4, WAIT_S)
        assert 0 < len(batch.records) <= 4
        rest = read_all(log, batch.next, 10 - len(batch.records))
        values = [record.value for record in [*batch.records, *rest]]
        assert values == [b"%d" % number for number in range(10)]

    def test_reading_at_the_end_gives_nothing_in_time(self, logs: Logs) -> None:
        log = logs.open()
        (position,) = append(log, b"a")
        batch = log.read(position + 1, 10, 0.05)
        assert batch.records == []
        assert batch.next >= position + 1

    def test_reading_an_empty_log_gives_nothing_in_time(self, logs: Logs) -> None:
        assert logs.open().read(0, 10, 0.05).records == []

    def test_a_waiting_read_is_woken_by_another_handles_append(self, logs: Logs) -> None:
        reader, writer = logs.open(), logs.open()
        append(writer, b"first")
        read_all(reader, 0, 1)
        got: Future[list[Record]] = Future()
        thread = threading.Thread(target=lambda: got.set_result(reader.read(1, 10, WAIT_S).records))
        thread.start()
        append(writer, b"second")
        assert [record.value for record in got.result(WAIT_S)] == [b"second"]
        thread.join()

    def test_a_read_follows_the_handles_own_append_at_once(self, logs: Logs) -> None:
        log = logs.open()
        for number in range(5):
            (position,) = append(log, b"%d" % number)
            assert read_all(log, position, 1)[0].value == b"%d" % number

    def test_peek_finds_the_record_at_a_position_only(self, logs: Logs) -> None:
        log = logs.open()
        positions = append(log, b"a", b"b")
        found = log.peek(positions[0])
        assert found is not None
        assert found.value == b"a"
        assert log.peek(positions[1] + 5) is None

    def test_peek_does_not_move_the_reader(self, logs: Logs) -> None:
        log = logs.open()
        append(log, b"a", b"b", b"c")
        first = read_all(log, 0, 1)[0]
        log.peek(2)
        assert read_all(log, first.position + 1, 1)[0].value == b"b"

    def test_a_look_reads_the_same_records_and_moves_no_reader(self, logs: Logs) -> None:
        log = logs.open()
        append(log, b"a", b"b", b"c")
        first = read_all(log, 0, 1)[0]
        look = log.look()
        found = look.read(0, 10, WAIT_S).records
        assert [record.value for record in found] == [b"a", b"b", b"c"]
        look.close()
        assert read_all(log, first.position + 1, 1)[0].value == b"b"

    def test_bounds_of_an_empty_log_are_equal(self, logs: Logs) -> None:
        assert logs.open().bounds() == (0, 0)

    def test_bounds_hold_every_record(self, logs: Logs) -> None:
        log = logs.open()
        positions = append(log, b"a", b"b")
        first, end = log.bounds()
        assert first == positions[0]
        assert end > positions[-1]

    def test_the_tail_covers_what_another_handle_acknowledged(self, logs: Logs) -> None:
        asker, writer = logs.open(), logs.open()
        for number in range(3):
            (position,) = append(writer, b"%d" % number)
            assert asker.tail().result(WAIT_S) >= position

    def test_a_value_over_the_limit_is_refused_and_not_written(self, logs: Logs) -> None:
        log = logs.open()
        (future,) = log.append([b"x" * (log.record_bytes_max + 1)])
        assert isinstance(future.exception(WAIT_S), RecordTooLarge)
        append(log, b"small")
        assert read_all(log, 0, 1)[0].value == b"small"

    def test_a_value_at_the_limit_is_taken(self, logs: Logs) -> None:
        log = logs.open()
        value = b"x" * log.record_bytes_max
        (position,) = append(log, value)
        assert read_all(log, position, 1)[0].value == value

    def test_a_refused_value_takes_its_neighbours_not_with_it(self, logs: Logs) -> None:
        log = logs.open()
        first, second, third = log.append([b"a", b"x" * (log.record_bytes_max + 1), b"c"])
        assert first.result(WAIT_S) < third.result(WAIT_S)
        assert isinstance(second.exception(WAIT_S), RecordTooLarge)
        assert [record.value for record in read_all(log, 0, 2)] == [b"a", b"c"]

    def test_what_was_trimmed_is_refused_and_never_skipped(self, logs: Logs) -> None:
        log = logs.open()
        positions = append(log, b"a", b"b", b"c")
        log.trim(positions[2])
        assert log.bounds().first == positions[2]
        with pytest.raises(Halt) as halt:
            logs.open().read(positions[0], 10, WAIT_S)
        assert halt.value.reason == "log_gap"
        assert read_all(logs.open(), positions[2], 1)[0].value == b"c"

    def test_positions_go_on_after_everything_was_trimmed(self, logs: Logs) -> None:
        log = logs.open()
        positions = append(log, b"a", b"b")
        log.trim(log.bounds().end)
        assert log.bounds().end > positions[-1]
        assert append(logs.open(), b"c")[0] > positions[-1]

    def test_reading_beyond_the_end_is_refused(self, logs: Logs) -> None:
        log = logs.open()
        append(log, b"a")
        with pytest.raises(Halt) as halt:
            log.read(log.bounds().end + 100, 10, WAIT_S)
        assert halt.value.reason == "log_rewound"

    def test_identity_is_the_same_at_every_handle_and_differs_between_logs(
        self, logs: Logs
    ) -> None:
        first, second, other = logs.open(), logs.open(), logs.other()
        assert first.identity() == second.identity()
        assert first.identity().log_id
        assert other.identity() != first.identity()

    def test_a_closed_handle_refuses(self, logs: Logs) -> None:
        log = logs.open()
        append(log, b"a")
        log.close()
        log.close()
        (future,) = log.append([b"b"])
        assert isinstance(future.exception(WAIT_S), LogClosed)
        with pytest.raises(LogClosed):
            log.read(0, 1, 0)
        with pytest.raises(LogClosed):
            log.bounds()

    def test_closing_ends_a_read_that_waits(self, logs: Logs) -> None:
        log = logs.open()
        append(log, b"a")
        read_all(log, 0, 1)
        ended: Future[BaseException | None] = Future()

        def wait() -> None:
            try:
                log.read(1, 10, WAIT_S * 10)
            except LogClosed as error:
                ended.set_result(error)
            else:
                ended.set_result(None)

        thread = threading.Thread(target=wait)
        thread.start()
        log.close()
        assert isinstance(ended.result(WAIT_S), LogClosed)
        thread.join()

    def test_what_was_acknowledged_is_there_after_a_reopen(self, logs: Logs) -> None:
        keeper, log = logs.open(), logs.open()
        append(log, b"a", b"b")
        log.close()
        assert [record.value for record in read_all(logs.open(), 0, 2)] == [b"a", b"b"]
        keeper.close()

    def test_concurrent_appends_stand_once_each_in_one_order(self, logs: Logs) -> None:
        handles = [logs.open() for _ in range(3)]
        told: dict[bytes, int] = {}

        def write(handle: Log, name: int) -> None:
            for number in range(40):
                value = b"%d/%d" % (name, number)
                told[value] = append(handle, value)[0]

        threads = [
            threading.Thread(target=write, args=(handle, name))
            for name, handle in enumerate(handles)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        records = [read_all(handle, 0, 120) for handle in handles]
        assert records[0] == records[1] == records[2]
        assert {record.value: record.position for record in records[0]} == told
