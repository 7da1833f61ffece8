"""The link's frames: every kind comes out as it went in, however the bytes were cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterlite.core.outcome import Applied, Outcome, Result, Row
from clusterlite.errors import (
    Behind,
    ClusterLiteError,
    Halt,
    LogUnavailable,
    NotServing,
    OutcomeUnknown,
    Overloaded,
    RecordTooLarge,
)
from clusterlite.node import frames
from clusterlite.node.answers import Answer, Appended, Reached

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
whole = st.integers(-(2**63), 2**63 - 1)
stored = st.none() | whole | text | st.binary(max_size=20) | st.floats(allow_nan=False)
row = st.builds(Row, text, text, st.none() | st.dictionaries(text, stored, max_size=4))
result = st.builds(Result, text, text, text, st.booleans())
outcome = st.builds(
    Outcome,
    position=whole,
    event_id=text,
    verdict=text,
    code=st.none() | text,
    field=st.none() | text,
    change=whole,
    version=st.none() | whole,
    detail=st.none() | text,
    fp=text,
    results=st.lists(result, max_size=3).map(tuple),
)
applied = st.builds(Applied, outcome, st.lists(row, max_size=3).map(tuple))
answer = applied | st.builds(Appended, whole) | st.builds(Reached, whole)

submitted = st.builds(frames.Submitted, whole, text, st.binary(max_size=50), whole, st.booleans())
request = (
    st.builds(frames.Submit, st.lists(submitted, max_size=3))
    | st.builds(frames.Await, whole, whole, whole)
    | st.builds(frames.Tail, whole, whole)
    | st.builds(frames.Ask, whole)
)
hello = st.builds(frames.Hello, whole, text, text, text, text, whole, st.booleans(), whole)
status = st.builds(frames.Status, whole, st.dictionaries(text, st.none() | whole | text))
answers = st.builds(
    frames.Answers, st.lists(st.builds(frames.answered, st.integers(0, 2**31), answer), max_size=3)
)

ERRORS: list[ClusterLiteError] = [
    Halt("log_gap", "a detail", "a cure"),
    OutcomeUnknown("e-1"),
    OutcomeUnknown("e-1", 7),
    LogUnavailable("no leader"),
    Behind("at 3"),
    NotServing("opening"),
    Overloaded("full"),
    RecordTooLarge("2 MB"),
]


def body(frame: Any) -> bytes:
    (whole_frame,) = frames.split(bytearray(frames.encode(frame)))
    return whole_frame


@settings(max_examples=40)
@given(request)
def test_what_a_worker_says_comes_out_as_it_went_in(frame: Any) -> None:
    assert frames.decode_request(body(frame)) == frame


@settings(max_examples=40)
@given(hello | status | answers)
def test_what_a_node_says_comes_out_as_it_went_in(frame: Any) -> None:
    assert frames.decode_answer(body(frame)) == frame


@settings(max_examples=40)
@given(answer)
def test_an_answer_is_the_same_at_the_other_end(given_answer: Answer) -> None:
    frame = frames.Answers([frames.answered(7, given_answer)])
    received = frames.decode_answer(body(frame))
    assert isinstance(received, frames.Answers)
    (item,) = received.answers
    assert item.seq == 7
    found = frames.answer_of(item)
    assert (type(found), found) == (type(given_answer), given_answer)  # tuples alike are equal


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_at_the_other_end(error: ClusterLiteError) -> None:
    received = frames.decode_answer(body(frames.Answers([frames.answered(1, error)])))
    assert isinstance(received, frames.Answers)
    found = frames.answer_of(received.answers[0])
    assert isinstance(found, ClusterLiteError)
    assert type(found) is type(error)
    assert (str(found), vars(found)) == (str(error), vars(error))


def test_an_error_that_this_build_does_not_know_is_an_error_all_the_same() -> None:
    found = frames.answer_of(frames.Answered(1, fault=frames.Fault("FromTheFuture", ("x",))))
    assert type(found) is ClusterLiteError


@settings(max_examples=40)
@given(st.lists(request, max_size=5), st.integers(1, 7))
def test_frames_are_whole_however_the_bytes_were_cut(sent: list[Any], size: int) -> None:
    stream = b"".join(map(frames.encode, sent))
    buffer, received = bytearray(), []
    for start in range(0, len(stream), size):
        buffer += stream[start : start + size]
        received += [frames.decode_request(frame) for frame in frames.split(buffer)]
    assert received == sent
    assert not buffer


def test_the_length_is_four_bytes_big_endian() -> None:
    assert frames.encode(frames.Ask(5)) == bytes.fromhex("00000003 92 04 05")


def test_a_length_beyond_any_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="a frame of"):
        frames.split(bytearray((frames.FRAME_BYTES_MAX + 1).to_bytes(4, "big")))
