"""Every error that ClusterLite raises to its users, in one tree.

    ClusterLiteError
    ├── ConfigError                 a setting, an entity or a folder is not as it must be
    │   ├── DeclarationError        an entity class that cannot be declared
    │   ├── SchemaRefused           the log's schema and the entity contradict each other
    │   └── FolderInUse             another node holds the data folder
    ├── InputError                  the caller's data is not acceptable; nothing was written
    ├── LogError
    │   ├── LogUnavailable          the record never left this process: it did not happen
    │   ├── AppendUnknown           the record may be written: the outcome is not known yet
    │   ├── RecordTooLarge          over the log's limit, refused before the append
    │   └── LogClosed               the log was closed by its owner
    ├── Halt                        fail-stop (I10): no acknowledgement until the cause is gone
    ├── Rejected                    the log's verdict on an event: it has no effect
    │   ├── Exists                  an INSERT of a key that is there
    │   ├── NotFound                a PATCH or DELETE of a key that is not there
    │   ├── Contention              a patch that lost to other writers at each of its tries
    │   ├── PreconditionFailed      an `if` that did not hold at apply
    │   └── ConstraintFailed        unique, reference, NOT NULL, CHECK or type
    ├── OutcomeUnknown              the wait ran out; ask for the event's id later
    ├── KeyReused                   an idempotency key that came with another request before
    ├── ForeignToken                a token of another cluster
    ├── TokenAhead                  a token from beyond the end of the log
    ├── Behind                      this replica has not reached the asked position in time
    ├── Overloaded                  a queue is full; nothing was written
    └── NotServing                  no node process answers, or it has not started yet

The class says what happened, `code` names it for programs, the message says where and what to
do. Errors are raised or returned, never logged and passed over.

Where a write came with a key, `LogUnavailable`, `Overloaded` and `NotServing` are about the one
call that raised them: an earlier one with the same key may have had its effect (`THIS_TRY`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, NamedTuple

THIS_TRY: Final = "this try did not happen, an earlier one with the same key may have"
"""What a definite refusal says of a write with a key."""


class ClusterLiteError(Exception):
    """The root of all errors of this package."""

    code: ClassVar[str] = "error"


class ConfigError(ClusterLiteError):
    """A setting, an entity or a folder is not as it must be; nothing was started."""

    code = "config"


class DeclarationError(ConfigError):
    """An entity class that cannot be declared: names the class, the field and the cure."""

    code = "declaration"


class SchemaRefused(ConfigError):
    """The log holds another schema for the table than the entity declares."""

    code = "schema_refused"


class FolderInUse(ConfigError):
    """Another live process holds the data folder or the log file."""

    code = "folder_in_use"


class Problem(NamedTuple):
    """One thing that is wrong with an input.

    Args:
        pointer: JSON pointer (RFC 6901) to the place, `""` for the whole.
        code: stable name of the rule that was broken.
        message: what is wrong and what would be right, for a person.
    """

    pointer: str
    code: str
    message: str


class InputError(ClusterLiteError):
    """The caller's data is not acceptable. It was refused before the append.

    Args:
        problems: what is wrong and where; at least one.
        malformed: the bytes are not JSON as section 2 of the rules accepts it (HTTP 400),
            and not merely invalid for the entity (HTTP 422).
    """

    code = "invalid"

    def __init__(self, problems: Sequence[Problem], *, malformed: bool = False) -> None:
        super().__init__("; ".join(f"{p.pointer or 'input'}: {p.message}" for p in problems))
        self.problems = tuple(problems)
        self.malformed = malformed


class LogError(ClusterLiteError):
    """The log did not do what was asked."""

    code = "log"


class LogUnavailable(LogError):
    """The record never entered the log's client: it is definitely not written.

    Args:
        detail: what was found where.
        cure: what an operator does about it, where that is known.
    """

    code = "log_unreachable"

    def __init__(self, detail: str, cure: str = "") -> None:
        super().__init__(f"{detail}. {cure}" if cure else detail)
        self.detail = detail
        self.cure = cure


class AppendUnknown(LogError):
    """The record was handed over and no acknowledgement came: it may be written."""

    code = "append_unknown"


class RecordTooLarge(LogError):
    """The record is over the log's limit, refused before it was handed over."""

    code = "record_too_large"


class LogClosed(LogError):
    """The log was closed by its owner while something waited for it."""

    code = "log_closed"


class Halt(ClusterLiteError):
    """The node stops acknowledging (invariant I10) and says why.

    Args:
        reason: the stable name, for example `log_gap`; each has a page in the documents.
        detail: what was found where.
        cure: what an operator does about it.
    """

    code = "halted"

    def __init__(self, reason: str, detail: str, cure: str) -> None:
        super().__init__(f"{reason}: {detail}. {cure}")
        self.reason = reason
        self.detail = detail
        self.cure = cure


class Rejected(ClusterLiteError):
    """The log's verdict on an event: rejected, the same on every replica, without effect.

    Args:
        rejection: the stable code stored with the outcome.
        event_id: the event that was rejected.
        position: its place in the log.
        field: the field that a constraint names, if one does.
        index: of the failed change in a transaction, else 0.
        version: of the row as it was found at judgement, None where it was absent.
        text: what was rejected and why, in words.
    """

    code = "rejected"

    def __init__(
        self,
        rejection: str,
        event_id: str,
        position: int,
        *,
        field: str | None = None,
        index: int = 0,
        version: int | None = None,
        text: str = "",
    ) -> None:
        place = f", field {field}" if field else ""
        super().__init__(f"{text or rejection}{place} (event {event_id} at {position})")
        self.rejection = rejection
        self.event_id = event_id
        self.position = position
        self.field = field
        self.index = index
        self.version = version


class Exists(Rejected):
    """An INSERT of a key that is there already."""

    code = "exists"


class NotFound(Rejected):
    """A PATCH or DELETE of a key that is not there."""

    code = "not_found"


class PreconditionFailed(Rejected):
    """A precondition (`if`) that did not hold when the event was applied."""

    code = "precondition_failed"


class Contention(Rejected):
    """A change that had to read its row first lost to other writers at each of its tries."""

    code = "contention"


class ConstraintFailed(Rejected):
    """A constraint that the log declares: unique, reference, NOT NULL, CHECK or type."""

    code = "constraint"


class OutcomeUnknown(ClusterLiteError):
    """The wait ran out before the outcome was known here.

    Args:
        event_id: ask for its status later; a write with the same key is safe.
        position: where it stands in the log if that is known; then it will be applied. None for
            a keyed patch that reads its row: a try that is in the log may lose to another writer.
    """

    code = "outcome_unknown"

    def __init__(self, event_id: str, position: int | None = None) -> None:
        where = "may be in the log" if position is None else f"is in the log at {position}"
        super().__init__(f"the outcome of event {event_id} is not known yet: it {where}")
        self.event_id = event_id
        self.position = position


class KeyReused(ClusterLiteError):
    """A key that came with another write before (HTTP 422); this one has no effect."""

    code = "key_reused"


class ForeignToken(ClusterLiteError):
    """A token that another cluster gave (HTTP 409)."""

    code = "foreign_token"


class TokenAhead(ClusterLiteError):
    """A token from beyond the end of the log, which has lost what it stands for (HTTP 409)."""

    code = "token_ahead"


class Behind(ClusterLiteError):
    """This replica is not known to have reached the asked state in time (HTTP 503)."""

    code = "behind"


class Overloaded(ClusterLiteError):
    """A bounded queue is full (HTTP 503); this wrote nothing, a later try may succeed."""

    code = "overloaded"


class NotServing(ClusterLiteError):
    """The node process is not reachable, or has not caught up with its log yet (HTTP 503)."""

    code = "not_serving"
