"""The link's frames: what HTTP workers and the node process say to each other.

A frame is 4 bytes of length, big endian, and a MessagePack array whose first element tags its
kind. Both sides gather what they have to say per tick of their loop into one frame.

    worker -> node   Submit, Await, Tail, Ask
    node -> worker   Hello (first, and whenever it changes), Answers, Status
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from clusterlite import errors
from clusterlite.core.outcome import Applied, Outcome, Row
from clusterlite.errors import ClusterLiteError, Halt, OutcomeUnknown
from clusterlite.node.answers import Answer, Appended, Reached

PROTOCOL: Final = 1
FRAME_BYTES_MAX: Final = 256 * 1024 * 1024
LENGTH_BYTES: Final = 4


class Submitted(msgspec.Struct, array_like=True):
    """One event: `answers.Submission` with a wait in milliseconds."""

    seq: int
    event_id: str
    value: bytes
    wait_ms: int
    early: bool


class Submit(msgspec.Struct, array_like=True, tag=1):
    """Events for the log."""

    events: list[Submitted]


class Await(msgspec.Struct, array_like=True, tag=2):
    """Answer once the replica has applied up to a position."""

    seq: int
    position: int
    wait_ms: int


class Tail(msgspec.Struct, array_like=True, tag=3):
    """Answer once the replica has applied all that was acknowledged before this was asked."""

    seq: int
    wait_ms: int


class Ask(msgspec.Struct, array_like=True, tag=4):
    """Ask for the node's status."""

    seq: int


class Hello(msgspec.Struct, array_like=True, tag=10):
    """Whom the worker talks to.

    Args:
        protocol: of these frames.
        node: the node's name.
        incarnation: of this start.
        cluster: cluster id, empty before GENESIS.
        replica: the replica's file.
        record_bytes_max: the largest event that the log takes.
        serving: every entity's declaration is applied, so that routes may be served.
        position: the node's.
    """

    protocol: int
    node: str
    incarnation: str
    cluster: str
    replica: str
    record_bytes_max: int
    serving: bool
    position: int


class Fault(msgspec.Struct, array_like=True):
    """An error: the class in `errors` and its arguments."""

    kind: str
    arguments: tuple[Any, ...]


class Answered(msgspec.Struct, array_like=True):
    """The answer to one `seq`; exactly one of outcome, fault, or a bare position is there."""

    seq: int
    outcome: Outcome | None = None
    rows: tuple[Row, ...] = ()
    position: int = -1
    reached: bool = False
    fault: Fault | None = None
    repeated: bool = False


class Answers(msgspec.Struct, array_like=True, tag=11):
    """What became known, in one frame a batch."""

    answers: list[Answered]


class Status(msgspec.Struct, array_like=True, tag=12):
    """The answer to `Ask`."""

    seq: int
    status: dict[str, Any]


_encoder = msgspec.msgpack.Encoder()
decode_request = msgspec.msgpack.Decoder(Submit | Await | Tail | Ask).decode
decode_answer = msgspec.msgpack.Decoder(Hello | Answers | Status).decode


def encode(frame: Submit | Await | Tail | Ask | Hello | Answers | Status) -> bytes:
    """A frame with its length before it."""
    body = _encoder.encode(frame)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def split(buffer: bytearray) -> list[bytes]:
    """Take the whole frames out of `buffer`, without their lengths.

    Raises:
        ValueError: a length beyond any frame's: the other side does not speak this protocol.
    """
    frames: list[bytes] = []
    start = 0
    while len(buffer) - start >= LENGTH_BYTES:
        length = int.from_bytes(buffer[start : start + LENGTH_BYTES], "big")
        if length > FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {length} bytes")
        end = start + LENGTH_BYTES + length
        if end > len(buffer):
            break
        frames.append(bytes(buffer[start + LENGTH_BYTES : end]))
        start = end
    del buffer[:start]
    return frames


def answered(seq: int, answer: Answer) -> Answered:
    """An answer as it goes over the link."""
    if isinstance(answer, Applied):
        return Answered(seq, outcome=answer.outcome, rows=answer.rows, repeated=answer.repeated)
    if isinstance(answer, Appended):
        return Answered(seq, position=answer.position)
    if isinstance(answer, Reached):
        return Answered(seq, position=answer.position, reached=True)
    return Answered(seq, fault=_fault(answer))


def answer_of(item: Answered) -> Answer:
    """The answer that `answered` spelled."""
    if item.fault is not None:
        return _error(item.fault)
    if item.outcome is not None:
        return Applied(item.outcome, item.rows, item.repeated)
    return Reached(item.position) if item.reached else Appended(item.position)


def _fault(error: ClusterLiteError) -> Fault:
    if isinstance(error, Halt):
        return Fault("Halt", (error.reason, error.detail, error.cure))
    if isinstance(error, OutcomeUnknown):
        return Fault("OutcomeUnknown", (error.event_id, error.position))
    return Fault(type(error).__name__, (str(error),))


def _error(fault: Fault) -> ClusterLiteError:
    kind = getattr(errors, fault.kind, ClusterLiteError)
    error = kind(*fault.arguments)
    return error if isinstance(error, ClusterLiteError) else ClusterLiteError(fault.kind)
