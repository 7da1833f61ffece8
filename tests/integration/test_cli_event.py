"""`clusterlite event` beside a running node, found by its folder or by its address."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.cli import cli
from tests.http_node import position, user
from tests.processes import Serve


@pytest.mark.parametrize("by_url", [False, True])
def test_what_became_of_a_write_is_told_by_the_node_of_the_folder_or_the_address(
    node: Serve, by_url: bool
) -> None:
    where = ("--url", node.url) if by_url else ("--data", node.data)
    made = node.request("POST", "/users", user())
    event, row = made.headers["clusterlite-event"], made.json["id"]
    assert cli("event", event, *where) == (
        0,
        f"applied at position {position(made)}\n  INSERT users/{row}: created\n",
        "",
    )
    gone = node.request("DELETE", f"/users/{row}").headers["clusterlite-event"]
    assert f"DELETE users/{row}: removed" in cli("event", gone, *where).out
    refused = node.request("DELETE", f"/users/{row}")
    event = refused.headers["clusterlite-event"]
    assert cli("event", event, *where).out == (
        f"rejected at position {position(refused)}: not_found; no effect\n"
    )
    shown = cli("event", event, "--json", *where)
    assert json.loads(shown.out) == node.request("GET", f"/-/events/{event}").json


def test_an_event_that_nobody_saw_is_settled_and_never_happens(node: Serve) -> None:
    event = str(uuid.uuid4())
    unseen = cli("event", event, "--data", node.data)
    assert unseen.code == 1
    assert unseen.out.startswith("unseen: no event has this id up to position ")
    closed = cli("event", event, "--data", node.data, "--settle")
    assert closed.code == 0
    assert closed.out.startswith("never: the id was closed at position ")
    assert cli("event", event, "--data", node.data).out == closed.out


def test_an_id_that_is_none_is_refused_in_a_line(node: Serve) -> None:
    done = cli("event", "_x", "--data", node.data)
    assert (done.code, done.out) == (2, "")
    assert "bad_event_id" in done.err
