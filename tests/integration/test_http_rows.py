"""The routes of a table: create, list, read, replace and remove rows, and what is refused."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.http_node import check_problem, position, user
from tests.processes import Answer, Serve


@pytest.fixture
def key() -> str:
    """An id that no other test has."""
    return f"k-{uuid.uuid4().hex[:12]}"


def pages(node: Serve, path: str) -> Iterator[Answer]:
    """The answers of a list, from page to page as the `Link` header leads."""
    following: str | None = path
    while following:
        answer = node.request("GET", following)
        assert answer.status == 200, answer
        yield answer
        link = answer.headers.get("link")
        assert link is None or link.endswith('>; rel="next"')
        following = link[1 : link.index(">")] if link else None


# Creating.


def test_a_created_row_is_answered_with_its_place_its_version_and_its_body(node: Serve) -> None:
    answer = node.request("POST", "/users", user())
    assert answer.status == 201
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json) == ["id", "name", "email"]
    assert uuid.UUID(answer.json["id"]).version == 7
    assert answer.json == {"id": answer.json["id"], **user()}
    assert answer.headers["location"] == f"/users/{answer.json['id']}"
    assert answer.headers["etag"] == f'"{position(answer)}"'
    found = node.request("GET", answer.headers["location"])
    assert (found.status, found.json) == (200, answer.json)
    assert found.headers["etag"] == answer.headers["etag"]


def test_every_write_names_its_event_and_the_state_that_it_made(node: Serve) -> None:
    cluster = node.request("GET", "/-/cluster").json["cluster"]
    answer = node.request("POST", "/users", user())
    token = f"{cluster}:{position(answer)}"
    assert answer.headers["clusterlite-token"] == token
    assert answer.headers["set-cookie"].startswith(f"clusterlite_token={token};")
    assert uuid.UUID(answer.headers["clusterlite-event"]).version == 7


def test_a_client_may_choose_the_id(node: Serve, key: str) -> None:
    answer = node.request("POST", "/users", user(id=key))
    assert answer.status == 201
    assert answer.json == user(id=key)
    assert answer.headers["location"] == f"/users/{key}"


def test_an_array_is_one_event_with_a_row_each(node: Serve) -> None:
    answer = node.request("POST", "/users", [user("Ann"), user("Ben"), user("Cid")])
    assert answer.status == 201
    assert [row["name"] for row in answer.json] == ["Ann", "Ben", "Cid"]
    versions = {node.request("GET", f"/users/{row['id']}").headers["etag"] for row in answer.json}
    assert versions == {f'"{position(answer)}"'}


def test_an_array_with_an_invalid_row_creates_none_and_says_which(node: Serve, key: str) -> None:
    answer = node.request("POST", "/users", [user(id=key), user(""), {"name": "Cid"}])
    document = check_problem(answer, 422, "invalid")
    assert [error["pointer"] for error in document["errors"]] == ["/1/name"]
    assert node.request("GET", f"/users/{key}").status == 404


def test_an_array_with_a_taken_id_creates_none_and_says_which(node: Serve, key: str) -> None:
    node.request("POST", "/users", user(id=key))
    answer = node.request("POST", "/users", [user(id=f"{key}-new"), user(id=key)])
    document = check_problem(answer, 409, "exists")
    assert document["change"] == 1
    assert [error["pointer"] for error in document["errors"]] == ["/1/id"]
    assert node.request("GET", f"/users/{key}-new").status == 404


def test_an_array_that_breaks_a_unique_field_says_which_row(node: Serve, key: str) -> None:
    answer = node.request("POST", "/accounts", [{"email": key}, {"email": key}])
    document = check_problem(answer, 409, "unique")
    assert [error["pointer"] for error in document["errors"]] == ["/1/email"]
    assert key not in str(node.request("GET", "/accounts").json)


@pytest.mark.parametrize("rows", [[], [3], ["x"], [[user()]], [None]])
def test_an_array_holds_rows_and_at_least_one(node: Serve, rows: list[Any]) -> None:
    check_problem(node.request("POST", "/users", rows), 422, "invalid")


def test_a_taken_id_is_a_conflict_that_names_the_version_found(node: Serve, key: str) -> None:
    first = node.request("POST", "/users", user("Ann", id=key))
    second = node.request("POST", "/users", user("Ben", id=key))
    document = check_problem(second, 409, "exists")
    assert document["version"] == position(first)
    assert second.headers["etag"] == first.headers["etag"]
    assert [error["pointer"] for error in document["errors"]] == ["/id"]
    assert node.request("GET", f"/users/{key}").json["name"] == "Ann"


def test_a_taken_value_of_a_unique_field_is_a_conflict_that_names_the_field(
    node: Serve, key: str
) -> None:
    assert node.request("POST", "/accounts", {"email": key}).json["age"] == 0
    document = check_problem(node.request("POST", "/accounts", {"email": key}), 409, "unique")
    assert [(error["pointer"], error["code"]) for error in document["errors"]] == [
        ("/email", "unique")
    ]
    other = node.request("PUT", f"/accounts/{key}", {"email": key})
    check_problem(other, 409, "unique")


@pytest.mark.parametrize(
    ("row", "pointers"),
    [
        ({}, ["/name", "/email"]),
        ({"name": "Ann"}, ["/email"]),
        ({"name": "", "email": "x"}, ["/name"]),
        ({"name": "x" * 201, "email": "x"}, ["/name"]),
        ({"name": 1, "email": "x"}, ["/name"]),
        ({"name": None, "email": "x"}, ["/name"]),
        ({"name": "Ann", "email": "x", "id": "_hidden"}, ["/id"]),
        ({"name": "Ann", "email": "x", "id": "x" * 256}, ["/id"]),
        ("Ann", [""]),
        (None, None),
    ],
)
def test_what_does_not_validate_is_refused_with_a_pointer(
    node: Serve, row: Any, pointers: list[str] | None
) -> None:
    before = node.request("GET", "/-/cluster").json["position"]
    answer = node.request("POST", "/users", b"null" if row is None else row)
    document = check_problem(answer, 422, "invalid")
    assert [error["pointer"] for error in document["errors"]] == (pointers or [""])
    assert node.request("GET", "/-/cluster").json["position"] == before, "it reached the log"


# Reading.


def test_a_list_is_a_plain_array_by_id_and_its_pages_give_every_row_once(node: Serve) -> None:
    numbers = [{"id": f"leaf-{n:02}", "number": n} for n in range(23)]
    assert node.request("POST", "/leaves", numbers[::-1]).status == 201
    assert node.request("GET", "/leaves").json == numbers
    assert "link" not in node.request("GET", "/leaves").headers
    by_page = [answer.json for answer in pages(node, "/leaves?_limit=5")]
    assert [len(page) for page in by_page] == [5, 5, 5, 5, 3]
    assert [row for page in by_page for row in page] == numbers
    exact = list(pages(node, "/leaves?_limit=23"))
    assert len(exact) == 1, "a last page that is full leads nowhere"


def test_a_list_names_its_version_and_is_not_sent_again_until_it_changes(node: Serve) -> None:
    first = node.request("GET", "/users?_limit=3")
    held = {"If-None-Match": first.headers["etag"]}
    assert node.request("GET", "/users?_limit=2", headers=held).status == 200
    unchanged = node.request("GET", "/users?_limit=3", headers=held)
    assert (unchanged.status, unchanged.body) == (304, b"")
    written = node.request("POST", "/users", user())
    changed = node.request("GET", "/users?_limit=3", headers=held)
    assert changed.status == 200
    assert changed.headers["etag"].startswith(f'"{position(written)}-')


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("colour=red", "unknown_parameter"),
        ("name=Ann&_limit=2", "unknown_parameter"),
        ("_Limit=2", "unknown_parameter"),
        ("_limit=2&_limit=3", "repeated_parameter"),
        *((f"_limit={limit}", "bad_limit") for limit in ("0", "-1", "x", "", "10001", "1e3")),
        *((f"_cursor={cursor}", "bad_cursor") for cursor in ("abc", "!!!!", "%C3%A9", "_w==")),
        ("_limit=%FF", "bad_query"),
    ],
)
def test_a_list_ignores_no_parameter(node: Serve, query: str, code: str) -> None:
    check_problem(node.request("GET", f"/users?{query}"), 400, code)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/users"), ("PUT", "/users/{key}"), ("GET", "/users/{key}")]
)
def test_a_parameter_that_the_route_does_not_know_is_refused(
    node: Serve, key: str, method: str, path: str
) -> None:
    path = path.format(key=key) + "?_dry_run=1"
    body = None if method == "GET" else user(id=key)
    check_problem(node.request(method, path, body), 400, "unknown_parameter")
    assert node.request("GET", f"/users/{key}").status == 404, "it was written all the same"


def test_a_row_that_the_client_holds_is_not_sent_again(node: Serve) -> None:
    created = node.request("POST", "/users", user())
    path, etag = created.headers["location"], created.headers["etag"]
    for held in (etag, f"W/{etag}", f'"1-x", {etag}', "*"):
        answer = node.request("GET", path, headers={"If-None-Match": held})
        assert (answer.status, answer.body) == (304, b""), held
        assert answer.headers["etag"] == etag
        assert "clusterlite-token" in answer.headers
    assert node.request("GET", path, headers={"If-None-Match": '"0"'}).json == created.json


def test_head_answers_as_get_without_the_body(node: Serve) -> None:
    created = node.request("POST", "/users", user())
    for path in (created.headers["location"], "/users", "/users/-/schema"):
        head, get = node.request("HEAD", path), node.request("GET", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(get.body))


def test_an_absent_row_is_not_found_and_says_as_of_when(node: Serve, key: str) -> None:
    answer = node.request("GET", f"/users/{key}")
    check_problem(answer, 404, "not_found")
    assert position(answer) == node.request("GET", "/-/cluster").json["position"]


def test_the_schema_of_a_table_is_json_schema(node: Serve) -> None:
    answer = node.request("GET", "/users/-/schema")
    assert answer.headers["content-type"] == "application/schema+json"
    assert answer.json["required"] == ["name", "email"]
    assert answer.json["properties"]["name"]["maxLength"] == 200


# Replacing and removing.


def test_put_creates_at_the_chosen_id_and_then_replaces(node: Serve, key: str) -> None:
    created = node.request("PUT", f"/users/{key}", user("Ann"))
    assert created.status == 201
    assert created.headers["location"] == f"/users/{key}"
    assert created.json == user("Ann", id=key)
    replaced = node.request("PUT", f"/users/{key}", user("Ben", id=key))
    assert (replaced.status, replaced.json) == (200, user("Ben", id=key))
    assert "location" not in replaced.headers
    assert position(replaced) > position(created)
    assert node.request("GET", f"/users/{key}").headers["etag"] == f'"{position(replaced)}"'


def test_put_refuses_another_id_in_the_body_than_in_the_path(node: Serve, key: str) -> None:
    answer = node.request("PUT", f"/users/{key}", user(id="other"))
    document = check_problem(answer, 422, "invalid")
    assert [error["pointer"] for error in document["errors"]] == ["/id"]
    assert node.request("GET", f"/users/{key}").status == 404


@pytest.mark.parametrize("odd", ["a/b", "é 漢", "100%", "a?b#c", "..", "'; --", "a+b", '"'])
def test_an_id_of_any_characters_survives_the_path(node: Serve, key: str, odd: str) -> None:
    name = f"{key}{odd}"
    created = node.request("POST", "/users", user(id=name))
    assert created.headers["location"] == f"/users/{quote(name, safe='')}"
    path = created.headers["location"]
    assert node.request("GET", path).json["id"] == name
    assert node.request("PUT", path, user("Ben")).json == user("Ben", id=name)
    assert node.request("DELETE", path).status == 204


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("bad", ["_x", "%2Dx", "a%00b", "x" * 256])
def test_an_id_that_is_not_acceptable_is_refused(node: Serve, method: str, bad: str) -> None:
    body = user() if method == "PUT" else None
    document = check_problem(node.request(method, f"/users/{bad}", body), 422, "invalid")
    assert [error["pointer"] for error in document["errors"]] == ["/id"]


def test_delete_removes_once(node: Serve, key: str) -> None:
    node.request("PUT", f"/users/{key}", user())
    answer = node.request("DELETE", f"/users/{key}")
    assert (answer.status, answer.body) == (204, b"")
    assert position(node.request("GET", f"/users/{key}")) >= position(answer)
    assert node.request("GET", f"/users/{key}").status == 404
    check_problem(node.request("DELETE", f"/users/{key}"), 404, "not_found")
    assert node.request("POST", "/users", user(id=key)).status == 201
