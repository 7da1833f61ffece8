"""The page without a mouse, by names that a screen reader says, in both schemes, on a phone."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.visits import add, open_page, row, users
from tests.processes import Serve

PHONE = {"width": 390, "height": 800}
TABS_MAX = 20
NOT_EMPTY = re.compile(r"\S")
CONTRAST_MIN = 4.5
"""Of text of normal size: WCAG 2.2, success criterion 1.4.3."""

CONTRAST = """element => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    let behind = element;
    const back = () => numbers(getComputedStyle(behind).backgroundColor);
    while (back().length === 4 && back()[3] === 0) behind = behind.parentElement;
    const luminance = (colour) => colour.slice(0, 3)
        .map((value) => value / 255)
        .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
    const [a, b] = [luminance(numbers(getComputedStyle(element).color)), luminance(back())];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""

TOO_WIDE = """() => [...document.querySelectorAll("html, body, .scroll, dialog")]
    .filter((element) => element.scrollWidth > element.clientWidth)
    .map((element) => `${element.tagName}: ${element.scrollWidth} > ${element.clientWidth}`)"""


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the control of a name has the focus."""
    wanted = page.get_by_role("button", name=name)
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"Tab does not reach {name}")


def test_the_keyboard_alone_creates_a_row(node: Serve, page: Page) -> None:
    open_page(page, node.url)
    tab_to(page, "New User")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("Ann")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Email")).to_be_focused()
    page.keyboard.type("ann@example.com")
    page.keyboard.press("Enter")
    expect(row(page, "Ann")).to_be_visible()
    (held,) = users(node)
    assert (held["name"], held["email"]) == ("Ann", "ann@example.com")
    expect(page.get_by_role("button", name="New User")).to_be_focused()


def test_the_keyboard_alone_deletes_a_row(node: Serve, page: Page) -> None:
    add(node, "Ann")
    open_page(page, node.url)
    tab_to(page, "Delete Ann")
    page.keyboard.press("Enter")
    confirm = page.get_by_role("dialog", name="Delete this row?")
    expect(confirm.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(row(page, "Ann")).to_have_count(0)
    assert users(node) == []


def test_escape_leaves_the_form_without_a_write(node: Serve, page: Page) -> None:
    open_page(page, node.url)
    page.get_by_role("button", name="New User").click()
    page.get_by_label("Name").fill("Ann")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert users(node) == []
    page.get_by_role("button", name="New User").click()
    expect(page.get_by_label("Name")).to_have_value("")


def test_everything_that_takes_input_has_a_name(node: Serve, page: Page) -> None:
    add(node, "Ann")
    open_page(page, node.url)
    page.get_by_role("button", name="Edit Ann").click()
    expect(page.get_by_role("dialog", name="Edit User")).to_be_visible()
    expect(page.get_by_role("textbox", name="Name")).to_have_value("Ann")
    expect(page.get_by_role("textbox", name="Email")).to_be_visible()
    for control in page.locator(":is(button, input, a, [tabindex]):visible").all():
        expect(control).to_have_accessible_name(NOT_EMPTY)
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_dark_and_light_are_different_and_readable(node: Serve, page: Page) -> None:
    add(node, "Ann")
    open_page(page, node.url)
    page.get_by_role("button", name="New User").click()
    backgrounds = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for selector in ("body", "th", "td.id", "button.primary", "dialog label"):
            assert page.locator(selector).first.evaluate(CONTRAST) >= CONTRAST_MIN, (
                scheme,
                selector,
            )
        backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(backgrounds) == 2


def test_on_a_phone_nothing_scrolls_sideways(node: Serve, page: Page) -> None:
    add(node, "a" * 200, "a-rather-long-address@subdomain.example.com")
    add(node, "Ann", "ann@example.com")
    page.set_viewport_size(PHONE)
    open_page(page, node.url)
    expect(row(page, "Ann")).to_be_visible()
    assert page.evaluate(TOO_WIDE) == []
    page.get_by_role("button", name="Edit Ann").click()
    expect(page.get_by_label("Name")).to_be_visible()
    assert page.evaluate(TOO_WIDE) == []
