"""The page where a cluster answers: other nodes' writes show soon, one's own at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Request

from tests.browser.visits import Visit, add, create, open_page, row, users
from tests.conftest import StartNginx
from tests.processes import Serve, freeze, wait_until

SHOWN_WITHIN_S = 2.0
TOKEN_COOKIE = "clusterlite_token"


@pytest.fixture(scope="module")
def nodes(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Serve]]:
    """Three nodes on one embedded log: as many as the Nginx that is shipped has."""
    folder = tmp_path_factory.mktemp("cluster")
    started = [
        Serve(folder / f"node-{number}", log=f"file:{folder / 'log'}").start(ready=False)
        for number in (1, 2, 3)
    ]
    try:
        for node in started:
            node.wait_ready()
        yield started
    finally:
        for node in started:
            node.stop()


def is_list(request: Request) -> bool:
    return request.method == "GET" and request.url.endswith("/users")


def test_a_row_written_at_another_node_shows_within_two_seconds(
    nodes: list[Serve], page: Page
) -> None:
    here, there = nodes[0], nodes[1]
    open_page(page, here.url)
    # Right after the page has read is the worst moment: its whole pause lies ahead.
    page.wait_for_event("response", lambda answer: is_list(answer.request))
    add(there, "from elsewhere")
    written = time.monotonic()
    row(page, "from elsewhere").wait_for(timeout=SHOWN_WITHIN_S * 1_000)
    assert time.monotonic() - written < SHOWN_WITHIN_S


def test_behind_nginx_the_first_list_after_a_write_has_the_row(
    start_nginx: StartNginx, nodes: list[Serve], visit: Visit, page: Page
) -> None:
    nginx = start_nginx([node.port for node in nodes])
    open_page(page, f"http://127.0.0.1:{nginx.port}")
    for number in range(6):
        name = f"own write {number}"
        with page.expect_response(lambda answer: answer.request.method == "POST") as posted:
            create(page, name, "own@example.com")
        row(page, name).wait_for()
        cookie = f"{TOKEN_COOKIE}={posted.value.headers['clusterlite-token']}"
        since = visit.requests[visit.requests.index(posted.value.request) :]
        lists = [request for request in since if is_list(request)]
        # A list may have been asked for on its way to the node, before the write was answered.
        own = next(request for request in lists if cookie in request.all_headers()["cookie"])
        answer = own.response()
        assert answer is not None
        assert name in answer.text()


def test_a_node_that_is_behind_does_not_hide_ones_own_write(
    nodes: list[Serve], visit: Visit, page: Page
) -> None:
    """The token goes with the browser from node to node; a frozen node has not applied it."""
    visit.origins_max = 2
    here, behind = nodes[0], nodes[1]
    wait_until(lambda: users(here) == users(behind))
    open_page(page, here.url)
    (frozen,) = behind.children()["node"]
    freeze(frozen)
    try:
        create(page, "seen everywhere", "own@example.com")
        row(page, "seen everywhere").wait_for()
        with page.expect_response(lambda answer: is_list(answer.request)) as listed:
            with page.expect_request(lambda request: request.url == f"{behind.url}/users"):
                page.goto(f"{behind.url}/-/ui/")
            os.kill(frozen, signal.SIGCONT)
    finally:
        os.kill(frozen, signal.SIGCONT)
    assert "seen everywhere" in listed.value.text()
