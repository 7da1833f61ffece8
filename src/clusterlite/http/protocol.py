"""The server's HTTP protocol, with one difference: an answer leaves in one system call.

uvicorn writes the head of an answer and its body each by itself. The second call, and the second
packet that the client wakes up for, cost about as much as everything else in a read by key; so
here the head waits for the first part of the body, or for the end of the answer.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


class OneWriteProtocol(HttpToolsProtocol):
    """uvicorn's protocol; what it writes for one answer is gathered."""

    def on_headers_complete(self) -> None:
        """A request is there: its answer goes through a transport of its own."""
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            _AnswerTransport(self.cycle)


class _AnswerTransport:
    """The transport of one answer: keeps its head until something follows.

    Args:
        cycle: uvicorn's request and answer, which writes to this from now on.
    """

    __slots__ = ("_complete", "_cycle", "_head", "_held", "_transport", "is_closing")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._transport = cycle.transport
        self._complete = cycle.on_response
        self._head = b""
        self._held = False
        self.is_closing = self._transport.is_closing
        cycle.transport = self  # type: ignore[assignment]
        cycle.on_response = self.complete

    def write(self, data: bytes) -> None:
        """The head, which is kept, or a part of the body, which takes the head along."""
        if self.is_closing():
            return
        if self._held:
            if self._head:
                self._transport.writelines((self._head, data))
                self._head = b""
            else:
                self._transport.write(data)
        elif self._cycle.response_started:
            self._head, self._held = data, True
        else:
            self._transport.write(data)  # 100 Continue

    def complete(self) -> None:
        """The answer is whole; one to HEAD has no body that would have taken the head along."""
        self._flush()
        self._complete()

    def close(self) -> None:
        """Close after what was written has left."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head and not self.is_closing():
            self._transport.write(self._head)
        self._head = b""
