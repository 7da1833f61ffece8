"""The routes of the system: health, status, index, OpenAPI, and who may write from a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

import clusterlite
from tests.http_node import check_problem, http_node, position, user
from tests.processes import Answer, Serve

GO_METHODS = {"GET", "POST", "PUT", "DELETE", "OPTIONS"}
"""What the first program allowed to pages of other origins."""


@pytest.fixture(scope="module")
def open_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A node that lets every origin write, as the first program did."""
    with http_node(tmp_path_factory.mktemp("open"), "--allow-origin", "*") as serve:
        yield serve


# Health and status.


def test_a_live_and_ready_node_says_so(node: Serve) -> None:
    assert node.request("GET", "/-/health/live").json == {"status": "live"}
    written = node.request("POST", "/users", user())
    answer = node.request("GET", "/-/health/ready")
    assert answer.status == 200
    assert answer.json["status"] == "ready"
    assert answer.json["reason"] is None
    assert answer.json["position"] >= position(written)


def test_the_status_of_a_node(node: Serve) -> None:
    written = node.request("POST", "/users", user())
    status = node.request("GET", "/-/cluster").json
    assert status["node"] == "node"
    assert status["version"] == clusterlite.__version__
    assert (status["state"], status["reason"]) == ("ready", None)
    assert status["position"] == position(written)
    assert status["lag"] == 0
    assert status["log"]["end"] == status["position"] + 1
    assert status["cluster"] == written.headers["clusterlite-token"].rpartition(":")[0]
    assert bytes.fromhex(status["hash"])
    assert status["tables"] == ["accounts", "leaves", "users"]


def test_the_root_is_an_index_for_programs_and_leads_browsers_to_the_page(node: Serve) -> None:
    index = node.request("GET", "/", headers={"Accept": "application/json"}).json
    assert [table["name"] for table in index["tables"]] == ["users", "accounts", "leaves"]
    assert "GET /users/{id}" in index["tables"][0]["routes"]
    assert "/-/transaction" in index["system"]
    read = {path for path in index["system"] if path != "/-/transaction"}
    for path in [*read, *(table["schema"] for table in index["tables"])]:
        method = "POST" if path.endswith("settle") else "GET"
        assert node.request(method, path.format(id="x", table="users")).status < 400, path
    browser = node.request("GET", "/", headers={"Accept": "text/html,application/xhtml+xml"})
    assert (browser.status, browser.headers["location"]) == (303, "/-/ui/")
    page = node.request("GET", "/-/ui/")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; ")


# OpenAPI.


@pytest.fixture(scope="module")
def document(node: Serve) -> dict[str, Any]:
    answer = node.request("GET", "/-/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    found: dict[str, Any] = answer.json
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of everything that the document lists."""
    for path, item in document["paths"].items():
        for method in item.keys() - {"parameters"}:
            yield method.upper(), path, item[method]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """The value is as a schema of the document says."""
    whole = {**schema, "components": document["components"]}
    Draft202012Validator(whole).validate(value)


def test_the_openapi_document_is_whole(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"] == {"title": "ClusterLite", "version": clusterlite.__version__}
    for reference in references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    listed = list(operations(document))
    names = [operation["operationId"] for _, _, operation in listed]
    assert len(set(names)) == len(names)
    for _, path, operation in listed:
        assert operation["responses"]
        shared = document["paths"][path].get("parameters", [])
        named = [*shared, *operation.get("parameters", [])]
        parameters = document["components"]["parameters"]
        declared = [parameters[p["$ref"].split("/")[-1]] if "$ref" in p else p for p in named]
        in_path = {p["name"] for p in declared if p["in"] == "path"}
        assert {f"{{{name}}}" for name in in_path} == {s for s in path.split("/") if "{" in s}
        assert all(p["schema"] for p in declared)


def test_every_operation_of_the_openapi_document_answers_as_it_says(
    node: Serve, document: dict[str, Any]
) -> None:
    bodies = {"users": user(), "accounts": {"email": "openapi"}, "leaves": {"number": 1}}
    order = ["PUT", "PATCH", "GET", "DELETE", "POST"]
    listed = sorted(operations(document), key=lambda item: order.index(item[0]))
    of_tables = [item for item in listed if item[2]["tags"] != ["system"]]
    assert len(of_tables) == 7 * len(bodies)
    inserts = [
        {"operation": "INSERT", "table_name": table, "data": {**row, "id": "in-a-transaction"}}
        for table, row in bodies.items()
    ]
    inserts[1]["data"]["email"] = "in-a-transaction"
    bodies["-"] = {"changes": inserts}
    for method, path, operation in listed:
        body = bodies[path.split("/")[1]] if "requestBody" in operation else None
        if body:
            sent = operation["requestBody"]["content"]["application/json"]["schema"]
            check(document, sent, body)
        answer = node.request(method, path.format(id="openapi", table="users"), body)
        assert answer.status < 400
        check_described(document, operation, answer)
        if method == "POST" and "location" in answer.headers:
            assert node.request("DELETE", answer.headers["location"]).status == 204
    for table in bodies.keys() - {"-"}:
        assert node.request("DELETE", f"/{table}/in-a-transaction").status == 204


def check_described(document: dict[str, Any], operation: dict[str, Any], answer: Answer) -> None:
    """The answer is one that the operation lists, with its headers and its body."""
    described = operation["responses"][str(answer.status)]
    for name in described.get("headers", {}).keys() - {"ETag", "Link", "Location"}:
        assert name.lower() in answer.headers, name
    if "content" in described and answer.body:
        kind = answer.headers["content-type"].partition(";")[0]
        schema = described["content"][kind]["schema"]
        check(document, schema, answer.body.decode() if kind == "text/html" else answer.json)


def test_the_openapi_document_has_arrays_and_every_way_to_answer(
    node: Serve, document: dict[str, Any]
) -> None:
    def ask(method: str, path: str, body: Any = None, **headers: str) -> Answer:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = node.request(method, path, body, names)
        key = "/users/{id}" if path.count("/") > 1 else "/users"
        check_described(document, document["paths"][key][method.lower()], answer)
        return answer

    sent = document["paths"]["/users"]["post"]["requestBody"]["content"]["application/json"]
    for body in (user(), [user(), user("Ben")]):
        check(document, sent["schema"], body)
        assert ask("POST", "/users", body).status == 201
    with pytest.raises(ValidationError):
        check(document, sent["schema"], [])
    created = ask("POST", "/users", user(), Prefer="return=minimal")
    assert (created.status, created.body) == (201, b"")
    path = created.headers["location"]
    assert ask("GET", path, If_None_Match=created.headers["etag"]).status == 304
    listed = ask("GET", "/users")
    assert ask("GET", "/users", If_None_Match=listed.headers["etag"]).status == 304
    assert ask("PUT", path, user(), Prefer="return=minimal").status == 204
    later = [
        ask("PUT", path, user(), Prefer="respond-async"),
        ask("POST", "/users", user(), Prefer="respond-async"),
        ask("DELETE", path, Prefer="respond-async"),
    ]
    assert {answer.status for answer in later} == {202}


def test_the_openapi_document_lists_every_route_of_the_system(
    node: Serve, document: dict[str, Any]
) -> None:
    routes = set(node.request("GET", "/").json["system"]) - {"/-/ui"}
    assert {path for path in document["paths"] if not path.lstrip("/")[:1].isalpha()} == {
        *routes,
        "/-/ui/",
    }


def test_a_problem_is_as_the_openapi_document_says(node: Serve, document: dict[str, Any]) -> None:
    problem = document["components"]["responses"]["Problem"]["content"]
    answer = node.request("POST", "/users", [user(), user("")])
    check(document, problem[answer.headers["content-type"]]["schema"], answer.json)


# Who may read and write from a browser.

FOREIGN = ("null", "http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1.evil.example")
REMOVAL = {"operation": "DELETE", "table_name": "users", "id": "x"}
WRITES = [
    ("POST", "/users", user()),
    ("PUT", "/users/x", user()),
    ("DELETE", "/users/x", None),
    ("POST", "/-/events/x/settle", None),
    ("POST", "/-/transaction", {"changes": [REMOVAL]}),
]


@pytest.mark.parametrize("path", ["/users", "/users/x", "/-/cluster", "/nope"])
def test_a_preflight_is_answered_empty_for_every_origin(node: Serve, path: str) -> None:
    headers = {
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = node.request("OPTIONS", path, headers=headers)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-headers"] == "*"
    methods = set(answer.headers["access-control-allow-methods"].split(", "))
    assert methods >= GO_METHODS | {"PATCH"}
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("path", ["/users", "/users/absent", "/nope", "/-/cluster", "/-/nope"])
def test_every_origin_may_read_and_sees_our_headers(node: Serve, path: str, origin: str) -> None:
    answer = node.request("GET", path, headers={"Origin": origin, "Host": "evil.example"})
    assert answer.status in {200, 404}
    assert answer.headers["access-control-allow-origin"] == "*"
    exposed = set(answer.headers["access-control-expose-headers"].split(", "))
    assert exposed >= {
        *("Link", "ETag", "Location", "ClusterLite-Token", "X-Total-Count"),
        *("Preference-Applied", "Idempotency-Replayed", "Retry-After"),
    }


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_a_foreign_page_may_not_write_and_is_told_the_setting(
    node: Serve, method: str, path: str, body: Any, origin: str
) -> None:
    before = node.request("GET", "/-/cluster").json["position"]
    answer = node.request(method, path, body, {"Origin": origin})
    document = check_problem(answer, 403, "foreign_origin")
    assert f"--allow-origin {'*' if origin == 'null' else origin}" in document["detail"]
    assert answer.headers["access-control-allow-origin"] == "*"
    assert node.request("GET", "/-/cluster").json["position"] == before


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_a_write_under_a_foreign_name_is_refused(
    node: Serve, method: str, path: str, body: Any
) -> None:
    """The name of a page's own server, pointed at this node after the page was loaded."""
    headers = {"Host": "evil.example", "Origin": "http://evil.example"}
    document = check_problem(node.request(method, path, body, headers), 403, "foreign_host")
    assert "--allow-origin http://evil.example" in document["detail"]


def test_the_nodes_own_page_may_write_under_each_of_its_names(node: Serve) -> None:
    for host in ("127.0.0.1", "localhost", "[::1]"):
        headers = {"Host": f"{host}:{node.port}", "Origin": f"http://{host}:{node.port}"}
        assert node.request("POST", "/users", user(), headers).status == 201, host


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_node_that_allows_every_origin_takes_writes_as_the_first_program(
    open_node: Serve, origin: str
) -> None:
    headers = {"Origin": origin, "Host": "evil.example"}
    created = open_node.request("POST", "/users", user(), headers)
    assert created.status == 201
    assert created.headers["access-control-allow-origin"] == "*"
    assert set(created.headers["access-control-allow-methods"].split(", ")) >= GO_METHODS
    assert created.headers["access-control-allow-headers"] == "*"
    path = created.headers["location"]
    assert open_node.request("PUT", path, user("Ben"), headers).status == 200
    assert open_node.request("DELETE", path, None, headers).status == 204


def test_what_is_answered_to_programs_is_compact_json(node: Serve) -> None:
    for path in ("/", "/users", "/-/cluster", "/-/health/ready", "/-/openapi.json"):
        answer = node.request("GET", path)
        assert answer.headers["content-type"] == "application/json", path
        assert json.loads(answer.body) is not None
