"""OpenAPI 3.1 of the tables that a node serves, from the entities' JSON Schemas."""

from __future__ import annotations

from typing import Any

import clusterlite
from clusterlite.http.service import Served

_PROBLEM = {"$ref": "#/components/responses/Problem"}


def openapi(tables: dict[str, Served]) -> dict[str, Any]:
    """The document for these tables."""
    schemas: dict[str, Any] = {"Problem": _problem_schema()}
    paths: dict[str, Any] = {}
    for name, served in tables.items():
        model = served.entity.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(model.pop("$defs", {}))
        schemas[served.entity.__name__] = model
        paths |= _paths(name, f"#/components/schemas/{served.entity.__name__}")
    return {
        "openapi": "3.1.0",
        "info": {"title": "ClusterLite", "version": clusterlite.__version__},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Problem": {
                    "description": "Problem document (RFC 9457)",
                    "content": {
                        "application/problem+json": {
                            "schema": {"$ref": "#/components/schemas/Problem"}
                        }
                    },
                }
            },
        },
    }


def _paths(table: str, ref: str) -> dict[str, Any]:
    row = {"$ref": ref}
    rows = {"type": "array", "items": row}
    one = _content(row)
    key = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    page = [
        {
            "name": "_limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 1_000},
        },
        {"name": "_cursor", "in": "query", "schema": {"type": "string"}},
    ]
    return {
        f"/{table}": {
            "get": _operation("list", table, {"200": _answer("The rows, by id", rows)}, page),
            "post": _operation(
                "create", table, {"201": _answer("The row as created", row)}, body=one
            ),
        },
        f"/{table}/{{id}}": {
            "parameters": key,
            "get": _operation("get", table, {"200": _answer("The row", row)}),
            "put": _operation(
                "put",
                table,
                {
                    "200": _answer("The row as replaced", row),
                    "201": _answer("The row as created", row),
                },
                body=one,
            ),
            "delete": _operation("delete", table, {"204": {"description": "It is gone"}}),
        },
    }


def _operation(
    verb: str,
    table: str,
    answers: dict[str, Any],
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{verb}_{table}",
        "tags": [table],
        "responses": {**answers, "default": _PROBLEM},
    }
    if parameters:
        operation["parameters"] = parameters
    if body:
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": _content(schema)}


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    place = {"pointer": text, "code": text, "message": text}
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "instance": text,
            "code": text,
            "event": text,
            "errors": {"type": "array", "items": {"type": "object", "properties": place}},
        },
    }
