"""OpenAPI 3.1 of the tables that a node serves, from the entities' JSON Schemas.

The system's routes stand in `openapi_system.py` and `openapi_transactions.py`.
"""

from __future__ import annotations

from typing import Any

import clusterlite
from clusterlite.core.codec import CHANGES_MAX
from clusterlite.http import openapi_transactions
from clusterlite.http.openapi_system import SCHEMAS, SYSTEM_PATHS
from clusterlite.http.service import Served

_TEXT = {"type": "string"}
_PROBLEM = {"$ref": "#/components/responses/Problem"}
_TOKEN = {"$ref": "#/components/headers/ClusterLite-Token"}
_ETAG = {"$ref": "#/components/headers/ETag"}
_READ = {"ClusterLite-Token": _TOKEN, "ETag": _ETAG}
_WRITTEN = {"ClusterLite-Token": _TOKEN, "ClusterLite-Event": {"schema": _TEXT}}
_LOCATION = {"Location": {"schema": {"type": "string", "format": "uri-reference"}}}

_HEADERS = {
    "ClusterLite-Token": {
        "description": "<cluster id>:<position> of the state that was read or written",
        "schema": _TEXT,
    },
    "ETag": {"description": "Version of the row or list", "schema": _TEXT},
}


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": _TEXT}


_LEVEL = {
    "type": "string",
    "pattern": r"^(eventual|session|strong|bounded:\d{1,5}(\.\d{1,6})?)$",
    "examples": ["eventual", "session", "bounded:5", "strong"],
}
_HOW_NEW = "How new the state must be; by default session with a token, else eventual"

_PARAMETERS = {
    "Consistency": {
        "name": "_consistency",
        "in": "query",
        "description": _HOW_NEW,
        "schema": _LEVEL,
    },
    "ConsistencyHeader": {
        **_header("ClusterLite-Consistency", f"{_HOW_NEW}; _consistency counts before it"),
        "schema": _LEVEL,
    },
    "Wait": _header("Prefer", "wait=N: the longest wait for that state, in seconds"),
    "Token": _header("ClusterLite-Token", "Read at this state or a later one"),
    "IfNoneMatch": _header("If-None-Match", "ETags that the client holds: 304 on a match"),
    "IfAbsent": _header("If-None-Match", "`*`: only where the row is absent, else 412"),
    "IfMatch": _header("If-Match", '`"<version>"` or `*`: judged at apply, else 412'),
    "IdempotencyKey": _header("Idempotency-Key", "One effect however often it is sent"),
    "Prefer": _header("Prefer", "respond-async, wait=N, return=minimal, return=representation"),
}
_READS = ("Consistency", "ConsistencyHeader", "Token", "Wait", "IfNoneMatch")
_WRITES = ("IdempotencyKey", "Prefer")

_LATER = {
    "202": {
        "description": "In the log; Location tells what becomes of it",
        "headers": {**_WRITTEN, **_LOCATION},
    }
}
_UNCHANGED = {"304": {"description": "What the client holds is up to date", "headers": _READ}}


def openapi(tables: dict[str, Served]) -> dict[str, Any]:
    """The document for these tables."""
    schemas: dict[str, Any] = SCHEMAS | openapi_transactions.SCHEMAS
    paths: dict[str, Any] = {}
    for name, served in tables.items():
        model = served.entity.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(model.pop("$defs", {}))
        schemas[served.entity.__name__] = model
        schemas[f"{served.entity.__name__}.Patch"] = _patch_schema(model, served)
        paths |= _paths(name, f"#/components/schemas/{served.entity.__name__}")
    return {
        "openapi": "3.1.0",
        "info": {"title": "ClusterLite", "version": clusterlite.__version__},
        "paths": paths | SYSTEM_PATHS | openapi_transactions.PATHS,
        "components": {
            "schemas": schemas,
            "headers": _HEADERS,
            "parameters": _PARAMETERS,
            "responses": {
                "Problem": {
                    "description": "Problem document (RFC 9457)",
                    "content": {
                        "application/problem+json": {
                            "schema": {"$ref": "#/components/schemas/ClusterLite.Problem"}
                        }
                    },
                }
            },
        },
    }


def _patch_schema(model: dict[str, Any], served: Served) -> dict[str, Any]:
    """Of a part of a row: no field is required, and of a document a part will do."""
    documents = {column.name for column in served.columns if column.type == "json"}
    fields = dict(zip(served.entity.model_fields, model["properties"].items(), strict=False))
    properties = {
        key: {} if name in documents else {k: v for k, v in schema.items() if k != "default"}
        for name, (key, schema) in fields.items()
    }
    return {"type": "object", "title": f"{model['title']}.Patch", "properties": properties}


def _paths(table: str, ref: str) -> dict[str, Any]:
    return {
        f"/{table}": _collection(table, ref),
        f"/{table}/{{id}}": _row(table, ref),
        f"/{table}/-/schema": {
            "get": _operation(
                "schema",
                table,
                {
                    "200": {
                        "description": "JSON Schema of a row",
                        "content": {"application/schema+json": {"schema": {"type": "object"}}},
                    }
                },
            )
        },
    }


def _collection(table: str, ref: str) -> dict[str, Any]:
    row = {"$ref": ref}
    rows = {"type": "array", "items": row}
    sent = {"oneOf": [row, {**rows, "minItems": 1, "maxItems": CHANGES_MAX}]}
    limit = {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 1_000}
    page = [
        {"name": "_limit", "in": "query", "schema": limit},
        {"name": "_cursor", "in": "query", "schema": _TEXT},
    ]
    next_page = {"description": 'The next page, rel="next"', "schema": _TEXT}
    listed = _answer("The rows, by id", rows, {**_READ, "Link": next_page})
    created = _answer(
        "The row as created, or the rows of an array: all or none",
        {"oneOf": [row, rows]},
        {**_WRITTEN, **_LOCATION, "ETag": _ETAG},
    )
    return {
        "get": _operation("list", table, {"200": listed, **_UNCHANGED}, _READS, page),
        "post": _operation(
            "create", table, {"201": created, **_LATER}, ("IfAbsent", *_WRITES), body=sent
        ),
    }


def _row(table: str, ref: str) -> dict[str, Any]:
    row = {"$ref": ref}
    headers = {**_WRITTEN, "ETag": _ETAG}
    put = {
        "200": _answer("The row as replaced", row, headers),
        "201": _answer("The row as created", row, {**headers, **_LOCATION}),
        "204": {"description": "Replaced, with Prefer: return=minimal", "headers": headers},
        **_LATER,
    }
    gone = {"204": {"description": "It is gone", "headers": _WRITTEN}, **_LATER}
    return {
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": _TEXT}],
        "get": _operation(
            "get", table, {"200": _answer("The row", row, _READ), **_UNCHANGED}, _READS
        ),
        "put": _operation("put", table, put, ("IfMatch", "IfAbsent", *_WRITES), body=row),
        "patch": _patch(table, ref, headers),
        "delete": _operation("delete", table, gone, ("IfMatch", *_WRITES)),
    }


def _patch(table: str, ref: str, headers: dict[str, Any]) -> dict[str, Any]:
    answers = {
        "200": _answer("The whole row as changed", {"$ref": ref}, headers),
        "204": {"description": "Changed, with Prefer: return=minimal", "headers": headers},
        **_LATER,
    }
    sent = {"$ref": f"{ref}.Patch"}
    operation = _operation("patch", table, answers, ("IfMatch", *_WRITES), body=sent)
    operation["requestBody"]["content"]["application/merge-patch+json"] = {"schema": sent}
    return operation


def _operation(
    verb: str,
    table: str,
    answers: dict[str, Any],
    headers: tuple[str, ...] = (),
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    shared = [{"$ref": f"#/components/parameters/{name}"} for name in headers]
    operation: dict[str, Any] = {
        "operationId": f"{verb}_{table}",
        "tags": [table],
        "responses": {**answers, "default": _PROBLEM},
    }
    if shared or parameters:
        operation["parameters"] = [*(parameters or ()), *shared]
    if body:
        content = {"application/json": {"schema": body}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _answer(
    description: str, schema: dict[str, Any], headers: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "description": description,
        "headers": headers or {},
        "content": {"application/json": {"schema": schema}},
    }
