"""A tab in Chromium that notes complaints and requests, and the page's controls by their names."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    ConsoleMessage,
    Dialog,
    Error,
    Locator,
    Page,
    Request,
    ViewportSize,
)

from tests.processes import Serve

INSECURE_HOST = "node.test"
"""A name of loopback in our Chromium which, unlike localhost, counts as no secure context."""

DESKTOP: ViewportSize = {"width": 1200, "height": 800}
REFUSED = "error: Failed to load resource: the server responded with a status of"


class Visit:
    """What happens in a tab between `begin` and `end`.

    Args:
        page: the tab, closed by who made it.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self._forget()
        page.on("console", self._on_console)
        page.on("pageerror", self._on_error)
        page.on("dialog", self._on_dialog)
        page.on("request", self._on_request)

    def begin(self) -> None:
        """The tab as new: nothing open, no cookie, desktop, light."""
        self.page.context.set_offline(False)
        self.page.context.clear_cookies()
        self.page.set_viewport_size(DESKTOP)
        self.page.emulate_media(color_scheme="light")
        self._forget()

    def end(self) -> None:
        """Leave the page. Nothing complained, nothing opened a dialog or called elsewhere."""
        self.page.goto("about:blank")
        for status in self._refused:
            start = f"{REFUSED} {status}"
            found = next((line for line in self.complaints if line.startswith(start)), None)
            assert found, f"nothing was refused with {status}"
            self.complaints.remove(found)
        assert self.complaints == []
        assert self.dialogs == []
        assert len(self.origins()) <= self.origins_max, f"requests went to {self.origins()}"

    def expect_refused(self, *statuses: int) -> None:
        """Chromium reports each refused request on the console; these are meant."""
        self._refused += statuses

    def origins(self) -> set[str]:
        """Where requests over the network went."""
        parts = [urlsplit(request.url) for request in self.requests]
        return {part.netloc for part in parts if part.scheme not in {"file", "data", "about"}}

    def _forget(self) -> None:
        self.complaints: list[str] = []
        self.dialogs: list[str] = []
        self.requests: list[Request] = []
        self.origins_max = 1
        self._refused: list[int] = []

    def _on_request(self, request: Request) -> None:
        self.requests.append(request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    def _on_error(self, error: Error) -> None:
        self.complaints.append(f"uncaught: {error}")

    def _on_dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()


def open_page(page: Page, url: str, table: str = "users") -> None:
    """Open the page of a node, and return once it shows the table."""
    page.goto(f"{url}/-/ui/#{table}")
    page.get_by_role("heading", name=table).wait_for()


def row(page: Page, text: str) -> Locator:
    """The row of the table that shows a text."""
    return page.locator("tbody tr").filter(has=page.get_by_text(text, exact=True))


def fill_in(page: Page, name: str, email: str) -> None:
    """Fill in the form that is open, and save."""
    page.get_by_label("Name").fill(name)
    page.get_by_label("Email").fill(email)
    page.get_by_role("button", name="Save").click()


def create(page: Page, name: str, email: str) -> None:
    """Create a user by the page."""
    page.get_by_role("button", name="New User").click()
    fill_in(page, name, email)


def users(node: Serve) -> list[dict[str, Any]]:
    """What the node holds, by its ids."""
    answer = node.request("GET", "/users")
    assert answer.status == 200, answer
    rows: list[dict[str, Any]] = answer.json
    return rows


def remove_rows(node: Serve) -> None:
    """Delete every user of the node."""
    for user in users(node):
        assert node.request("DELETE", f"/users/{user['id']}").status == 204
    assert users(node) == []


def add(node: Serve, name: str, email: str = "somebody@example.com") -> dict[str, Any]:
    """Create a user over HTTP; the row."""
    answer = node.request("POST", "/users", {"name": name, "email": email})
    assert answer.status == 201, answer
    created: dict[str, Any] = answer.json
    return created
