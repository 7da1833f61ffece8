"""The part of the OpenAPI document that describes transactions; the same on every node."""

from __future__ import annotations

from typing import Any, Final

from clusterlite.core.codec import CHANGES_MAX
from clusterlite.http.transactions import OPERATIONS, PATH

_TEXT: Final = {"type": "string"}
_VERSION: Final = {"type": "integer", "minimum": 0}
_TRUE: Final = {"const": True}


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/ClusterLite.{name}"}


def _one_of(**members: Any) -> list[dict[str, Any]]:
    return [
        {
            "type": "object",
            "required": [name],
            "additionalProperties": False,
            "properties": {name: schema},
        }
        for name, schema in members.items()
    ]


_CHANGE: Final[dict[str, Any]] = {
    "operation": {"enum": list(OPERATIONS)},
    "table_name": _TEXT,
    "id": {**_TEXT, "description": "Of the row; it may stand in `data` instead"},
    "data": {"type": "object", "description": "The row; DELETE and ASSERT take the id alone"},
    "if": _schema("Precondition"),
}
SCHEMAS: Final[dict[str, Any]] = {
    "ClusterLite.Precondition": {
        "description": "Judged against the state before the first change",
        "oneOf": _one_of(version=_VERSION, absent=_TRUE, present=_TRUE),
    },
    "ClusterLite.Change": {
        "type": "object",
        "required": ["operation", "table_name"],
        "additionalProperties": False,
        "properties": _CHANGE,
    },
    "ClusterLite.Transaction": {
        "type": "object",
        "required": ["changes"],
        "additionalProperties": False,
        "properties": {
            "changes": {
                "type": "array",
                "items": _schema("Change"),
                "minItems": 1,
                "maxItems": CHANGES_MAX,
            }
        },
    },
    "ClusterLite.Applied": {
        "type": "object",
        "required": ["id", "status", "position", "changes"],
        "properties": {
            "id": {**_TEXT, "description": "Of the event"},
            "status": {"const": "applied"},
            "position": {"type": "integer", "description": "Where it stands in the log"},
            "changes": {"type": "array", "items": _schema("Changed")},
        },
    },
    "ClusterLite.Changed": {
        "type": "object",
        "required": ["operation", "table", "key", "created"],
        "properties": {
            "operation": {"enum": list(OPERATIONS)},
            "table": _TEXT,
            "key": _TEXT,
            "created": {"type": "boolean"},
            "version": {**_VERSION, "description": "Of the row, where the event left one"},
            "row": {"type": "object", "description": "As the event left it"},
        },
    },
}

_HEADERS: Final = {
    "ClusterLite-Token": {"$ref": "#/components/headers/ClusterLite-Token"},
    "ClusterLite-Event": {"schema": _TEXT},
}
_LOCATION: Final = {"Location": {"schema": {"type": "string", "format": "uri-reference"}}}

PATHS: Final[dict[str, Any]] = {
    PATH: {
        "post": {
            "operationId": "system_transaction",
            "tags": ["system"],
            "summary": "Many changes of any tables in one event, all or none",
            "parameters": [
                {"$ref": "#/components/parameters/IdempotencyKey"},
                {"$ref": "#/components/parameters/Prefer"},
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _schema("Transaction")}},
            },
            "responses": {
                "200": {
                    "description": "All were applied: a result for each, in order",
                    "headers": _HEADERS,
                    "content": {"application/json": {"schema": _schema("Applied")}},
                },
                "202": {
                    "description": "In the log; Location tells what becomes of it",
                    "headers": {**_HEADERS, **_LOCATION},
                },
                "default": {"$ref": "#/components/responses/Problem"},
            },
        }
    }
}
