"""The part of the OpenAPI document that is the same on every node: the system's routes.

The names of its schemas have a dot, so no entity's class can have one of them.
"""

from __future__ import annotations

from typing import Any, Final

from clusterlite.http.codes import PATH
from clusterlite.http.replica import FROM, LIMIT, UPTO
from clusterlite.http.replica import PATH as REPLICA
from clusterlite.replica.pages import ITEMS_MAX

_TEXT: Final = {"type": "string"}
_INTEGER: Final = {"type": "integer"}
_OBJECT: Final = {"type": "object"}
_REASON: Final = {
    "type": ["object", "null"],
    "required": ["reason", "detail", "cure"],
    "properties": {"reason": _TEXT, "detail": _TEXT, "cure": _TEXT},
}
_LAG: Final = {"type": ["integer", "null"], "description": "Records not applied yet, if known"}

SCHEMAS: Final[dict[str, Any]] = {
    "ClusterLite.Problem": {
        "type": "object",
        "required": ["type", "title", "status", "detail", "instance", "code"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": _TEXT,
            "status": _INTEGER,
            "detail": _TEXT,
            "instance": _TEXT,
            "code": {**_TEXT, "description": f"Stable; {PATH} lists them"},
            "event": _TEXT,
            "position": _INTEGER,
            "version": _INTEGER,
            "change": _INTEGER,
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["pointer", "code", "message"],
                    "properties": {"pointer": _TEXT, "code": _TEXT, "message": _TEXT},
                },
            },
        },
    },
    "ClusterLite.Status": {
        "type": "object",
        "required": ["node", "cluster", "state", "reason", "position", "lag"],
        "properties": {
            "node": _TEXT,
            "cluster": _TEXT,
            "state": _TEXT,
            "reason": _REASON,
            "position": _INTEGER,
            "hash": {**_TEXT, "description": "Running hash: equal positions, equal hashes"},
            "wal_bytes": {
                "type": "integer",
                "description": "Of the replica's write-ahead log: large while a snapshot is held",
            },
            "lag": _LAG,
            "verified": {**_INTEGER, "description": "Last position at which another node agreed"},
            "refuted": {**_INTEGER, "description": "Checkpoints that were found to be wrong"},
            "log": _OBJECT,
            "tables": {"type": "array", "items": _TEXT},
        },
    },
    "ClusterLite.Ready": {
        "type": "object",
        "required": ["status", "position", "lag", "reason"],
        "properties": {"status": _TEXT, "position": _INTEGER, "lag": _LAG, "reason": _REASON},
    },
    "ClusterLite.Replica": {
        "type": "object",
        "required": ["node", "cluster", "position", "hash", "floor", "settings", "tables"],
        "properties": {
            "node": _TEXT,
            "cluster": _TEXT,
            "position": _INTEGER,
            "hash": {**_TEXT, "description": "Running hash at the position"},
            "floor": {**_INTEGER, "description": "Outcomes below it are forgotten"},
            "settings": {"type": "object", "additionalProperties": _INTEGER},
            "tables": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["table", "version", "hash"],
                    "properties": {"table": _TEXT, "version": _INTEGER, "hash": _TEXT},
                },
            },
        },
    },
    "ClusterLite.Marks": {
        "type": "object",
        "required": ["marks"],
        "properties": {
            "marks": {
                "type": "array",
                "items": {"type": "array", "prefixItems": [_INTEGER, _TEXT]},
                "description": "Position and running hash there",
            }
        },
    },
    "ClusterLite.Hashes": {
        "type": "object",
        "required": ["position", "schema", "items", "next"],
        "properties": {
            "position": {**_INTEGER, "description": "Of the snapshot"},
            "schema": _INTEGER,
            "items": {
                "type": "array",
                "items": {"type": "array", "prefixItems": [_TEXT, _INTEGER, _TEXT]},
                "description": "Key, version and hash",
            },
            "next": {"type": ["string", "integer", "null"], "description": "Send it as `_from`"},
        },
    },
    "ClusterLite.Event": {
        "type": "object",
        "required": ["id", "status"],
        "properties": {
            "id": _TEXT,
            "status": {"enum": ["applied", "rejected", "unseen", "never", "forgotten"]},
            "position": {**_INTEGER, "description": "Where it stands in the log"},
            "looked_up_to": {**_INTEGER, "description": "With `unseen` and `forgotten`"},
            "code": {**_TEXT, "description": "Why it was rejected"},
            "change": _INTEGER,
            "field": _TEXT,
            "version": _INTEGER,
            "detail": _TEXT,
            "changes": {"type": "array", "items": _OBJECT},
        },
    },
}


def _operation(verb: str, summary: str, content: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An operation that answers 200 with this, or a problem."""
    return {
        "operationId": f"system_{verb}",
        "tags": ["system"],
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": content},
            **more,
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }


def _json(schema: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(schema, str):
        schema = {"$ref": f"#/components/schemas/ClusterLite.{schema}"}
    return {"application/json": {"schema": schema}}


_HTML: Final = {"text/html": {"schema": _TEXT}}
_EVENT_ID: Final = [{"name": "id", "in": "path", "required": True, "schema": _TEXT}]
_NOT_READY: Final = {
    "description": "It is not; the reason says why",
    "headers": {"Retry-After": {"schema": _INTEGER}},
    "content": _json("Ready"),
}
_TO_PAGE: Final = {"description": "A browser is led to the page"}

_LIMIT: Final = {
    "name": LIMIT,
    "in": "query",
    "schema": {"type": "integer", "minimum": 1, "maximum": ITEMS_MAX},
}


def _hashes(verb: str, summary: str, schema: str, *parameters: dict[str, Any]) -> dict[str, Any]:
    """A GET of what the replica holds."""
    return {"get": {**_operation(verb, summary, _json(schema)), "parameters": [*parameters]}}


def _in_query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


SYSTEM_PATHS: Final[dict[str, Any]] = {
    "/": {"get": _operation("index", "Tables and routes", _json(_OBJECT), **{"303": _TO_PAGE})},
    "/-/cluster": {"get": _operation("cluster", "The node's state", _json("Status"))},
    "/-/health/live": {"get": _operation("live", "The worker answers", _json(_OBJECT))},
    "/-/health/ready": {
        "get": _operation(
            "ready", "The node may be sent requests", _json("Ready"), **{"503": _NOT_READY}
        )
    },
    "/-/events/{id}": {
        "parameters": _EVENT_ID,
        "get": {
            **_operation("event", "What became of an event", _json("Event")),
            "parameters": [
                {"$ref": f"#/components/parameters/{name}"}
                for name in ("Consistency", "ConsistencyHeader", "Token", "Wait")
            ],
        },
    },
    "/-/events/{id}/settle": {
        "parameters": _EVENT_ID,
        "post": _operation("settle", "Make an unknown outcome definite", _json("Event")),
    },
    REPLICA: _hashes("replica", "Where the replica stands", "Replica"),
    f"{REPLICA}/marks": _hashes(
        "marks", "Running hashes, newest first", "Marks", _in_query(UPTO, _INTEGER), _LIMIT
    ),
    f"{REPLICA}/outcomes": _hashes(
        "outcomes", "Hashes of outcomes", "Hashes", _in_query(FROM, _INTEGER), _LIMIT
    ),
    f"{REPLICA}/rows/{{table}}": {
        "parameters": [{"name": "table", "in": "path", "required": True, "schema": _TEXT}],
        **_hashes("rows", "Hashes of a table's rows", "Hashes", _in_query(FROM, _TEXT), _LIMIT),
    },
    "/-/openapi.json": {"get": _operation("openapi", "This document", _json(_OBJECT))},
    PATH: {"get": _operation("problems", "What the codes of errors mean", _HTML)},
    "/-/ui/": {"get": _operation("page", "The page", _HTML)},
}
