"""Every code of a problem document, in words: what happened and what to do.

`type` of a problem leads to the page that is made from this table; `docs/reference/http.md` has
the same one, and a test compares them. The reasons of halts stand in `docs/reference/halts.md`.
"""

from __future__ import annotations

from html import escape
from typing import Final, NamedTuple

PATH: Final = "/-/docs/problems"


class Code(NamedTuple):
    """One code.

    Args:
        status: HTTP status that it comes with.
        meaning: what happened.
        cure: what the caller does about it.
    """

    status: int
    meaning: str
    cure: str


CODES: Final[dict[str, Code]] = {
    "malformed": Code(
        400,
        "The body is no JSON as it is taken here: UTF-8 without a byte order mark, no key twice "
        "in an object, integers within 64 bits, finite numbers, nested at most 56 deep.",
        "Mend the place that `detail` names.",
    ),
    "incomplete": Code(400, "The request ended before it was complete.", "Send it again, whole."),
    "bad_request": Code(
        400,
        "That is no HTTP/1.1 request, or its parts contradict each other.",
        "Mend what `detail` names; send it with an HTTP client.",
    ),
    "bad_path": Code(400, "The path is not percent-encoded UTF-8.", "Encode it: `é` is `%C3%A9`."),
    "bad_query": Code(
        400,
        "The query is not percent-encoded UTF-8, or has over 200 parameters.",
        "Encode it, and send fewer.",
    ),
    "unknown_parameter": Code(
        400,
        "The route has no such query parameter. None is passed over silently.",
        "Leave it out; `detail` names those that are known.",
    ),
    "repeated_parameter": Code(400, "A query parameter stands twice.", "Send it once."),
    "bad_limit": Code(
        400, "`_limit` is no whole number in its range.", "Send one that `detail` allows."
    ),
    "bad_start": Code(
        400,
        "`_from` or `_upto` is no position.",
        "Send a whole number from 0: the `next` of a page, say.",
    ),
    "bad_cursor": Code(
        400, "`_cursor` is none that a page gave.", "Follow the `Link` header of a page."
    ),
    "bad_precondition": Code(
        400,
        "`If-Match` or `If-None-Match` is not of the form that a write takes.",
        'Send `If-Match: "<version>"`, `If-Match: *` or `If-None-Match: *`, and one of them.',
    ),
    "bad_key": Code(
        400, "The `Idempotency-Key` is empty or too long.", "Send 1 to 255 characters."
    ),
    "bad_token": Code(
        400, "The `ClusterLite-Token` cannot be read.", "Send one as an answer gave it."
    ),
    "bad_consistency": Code(
        400,
        "`_consistency` or `ClusterLite-Consistency` is no level of consistency.",
        "Send `eventual`, `session`, `bounded:<seconds>` or `strong`.",
    ),
    "bad_event_id": Code(
        400, "That is no id of an event.", "Take it from `ClusterLite-Event` or `Location`."
    ),
    "foreign_origin": Code(
        403,
        "A page of another origin may not write here.",
        "Start the node with the `--allow-origin` that `detail` names.",
    ),
    "foreign_host": Code(
        403,
        "The request's `Host` is no name of this node.",
        "Use a name of the node, or start it with the `--allow-origin` that `detail` names.",
    ),
    "no_such_route": Code(404, "No route has this path.", "`GET /` lists the routes."),
    "no_such_table": Code(
        404,
        "The node serves no such table.",
        "Check the spelling; serve the entity with `--entities`.",
    ),
    "not_found": Code(404, "There is no row with this id.", "Check the id; it may be deleted."),
    "unknown_table": Code(
        404,
        "The log holds no such table: the event was judged before the table was declared.",
        "Write again once the node is ready.",
    ),
    "method_not_allowed": Code(
        405, "The route does not take this method.", "Use one that `Allow` names."
    ),
    "too_slow": Code(
        408, "The request did not arrive in time.", "Send it again, over a better connection."
    ),
    "exists": Code(
        409, "A row with this id is there already.", "Choose another id, or replace it with PUT."
    ),
    "unique": Code(
        409,
        "Another row has this value in a field where it must be unique.",
        "Choose another value; `errors` names the field.",
    ),
    "foreign_key": Code(
        409,
        "The row that a field names is not there, or other rows still name this one.",
        "Create the row that is named first; delete those that name it first.",
    ),
    "contention": Code(
        409,
        "A PATCH that had to read its row first lost to other writers at each of its tries.",
        "Nothing was written: send it again, with a new key if it had one.",
    ),
    "expired": Code(
        409,
        "The event reached the log so late that nobody could know whether it is the first.",
        "Read the row, then write again with a new key.",
    ),
    "foreign": Code(409, "The event names another cluster.", "Send it to that cluster."),
    "skipped": Code(
        409, "An operator had the event passed over.", "Ask why, then write again with a new key."
    ),
    "never": Code(
        409,
        "The event's id was closed by `settle` before the event came.",
        "It has no effect and never will: write again with a new key.",
    ),
    "foreign_token": Code(
        409,
        "The token is of another cluster.",
        "Drop the token; check that this is the node that you mean.",
    ),
    "token_ahead": Code(
        409,
        "The token is beyond the end of the log, so the log has lost what it stands for.",
        "Ask the operator; drop the token to read what is there.",
    ),
    "precondition_failed": Code(
        412,
        "The row is not as `If-Match` or `If-None-Match` asked when the event was applied.",
        "Read the row again; `ETag` has its present version.",
    ),
    "too_large": Code(
        413, "The body is over the limit.", "Send fewer rows at a time, or less in a row."
    ),
    "record_too_large": Code(
        413,
        "The event made of the body is larger than the log takes.",
        "Send fewer rows at a time, or less in a row.",
    ),
    "content_type": Code(
        415,
        "The body is not sent as JSON in UTF-8.",
        "With curl: `-H 'Content-Type: application/json'`; `detail` has the whole call.",
    ),
    "content_encoding": Code(
        415, "The body is compressed.", "Send it as it is, without `Content-Encoding`."
    ),
    "invalid": Code(
        422,
        "The values do not fit the entity.",
        "Mend what `errors` lists, by JSON pointer; `GET /{table}/-/schema` has the rules.",
    ),
    "key_reused": Code(
        422,
        "The `Idempotency-Key` came with another request before.",
        "Send that request again, or choose a new key.",
    ),
    "datatype": Code(422, "A value is not of its field's type.", "Send one that is."),
    "not_null": Code(422, "A field that must have a value has none.", "Send a value."),
    "check": Code(422, "A value breaks a rule of its table.", "Send one that keeps it."),
    "head_too_large": Code(
        431,
        "The request line and headers are too large, or the headers too many.",
        "Send fewer and shorter headers; clear the cookies.",
    ),
    "internal": Code(
        500, "A defect in ClusterLite.", "Report it with the lines that the node logged."
    ),
    "error": Code(500, "An error without a code of its own.", "Report it with its `detail`."),
    "no_such_method": Code(
        501, "The server does not know the method at all.", "Use one that `GET /` lists."
    ),
    "log_unreachable": Code(
        503,
        "The log cannot be reached. A write did not happen; a read that asks for what the log "
        "knows has no answer.",
        "Send it again after `Retry-After`; the operator looks at the log.",
    ),
    "not_serving": Code(
        503,
        "The node is starting, or its node process is down. Nothing was written.",
        "Send it again after `Retry-After`, or to another node.",
    ),
    "config": Code(
        503,
        "The node cannot serve as it is set up. Nothing was written.",
        "Send it to another node; the operator looks at `/-/cluster`.",
    ),
    "schema_refused": Code(
        503,
        "The log holds another schema than a class of this node, which serves no more. Nothing was "
        "written.",
        "Send it to another node; the operator looks at `/-/cluster`.",
    ),
    "folder_in_use": Code(
        503,
        "Another process holds the node's log. Nothing was written.",
        "Send it to another node; the operator looks at `/-/cluster`.",
    ),
    "overloaded": Code(
        503,
        "A queue of the node is full. Nothing was written.",
        "Send it again after `Retry-After`, and fewer at once.",
    ),
    "behind": Code(
        503,
        "The node has not reached the token's position, or the log's end, in time.",
        "Ask again after `Retry-After`, or another node, or for a weaker level.",
    ),
    "outcome_unknown": Code(
        504,
        "Whether the write happened is not known yet.",
        "Ask the `Location`, or send it again with its `Idempotency-Key`: it has one effect.",
    ),
}
"""By code, in the order of statuses."""


def page() -> bytes:
    """The page that `type` leads to, one row with an anchor for each code."""
    rows = "".join(
        f'<tr id="{code}"><td>{status}</td><td><code>{code}</code></td>'
        f"<td>{_marked(meaning)}</td><td>{_marked(cure)}</td></tr>\n"
        for code, (status, meaning, cure) in CODES.items()
    )
    return _PAGE.format(rows=rows).encode()


def _marked(text: str) -> str:
    """Escaped, and what stands in backticks as code."""
    parts = escape(text, quote=False).split("`")
    return "".join(f"<code>{p}</code>" if n % 2 else p for n, p in enumerate(parts))


_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ClusterLite: problems</title>
<link rel="stylesheet" href="/-/ui/style.css">
</head>
<body>
<main>
<h1>Problems</h1>
<p>An error is a problem document (RFC 9457); its <code>code</code> stands in this table.
With 503 and none of these codes, the code is the reason why the node has stopped acknowledging:
<a href="/-/cluster">/-/cluster</a> says what happened and what the operator does about it.</p>
<div class="scroll"><table>
<thead><tr><th>status</th><th>code</th><th>what happened</th><th>what to do</th></tr></thead>
<tbody>
{rows}</tbody>
</table></div>
</main>
</body>
</html>
"""
