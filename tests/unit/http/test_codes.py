"""The table of codes: whole, the same as in the reference, and a page that is safe to show."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path

from clusterlite.core.outcome import REJECTIONS
from clusterlite.http.codes import CODES, page

ROOT = Path(__file__).resolve().parents[3]
NEVER_OVER_HTTP = {"unreadable", "incompatible", "not_adoptable"}
"""Verdicts on events that no route writes."""


def test_the_reference_has_the_same_table() -> None:
    lines = (ROOT / "docs/reference/http.md").read_text().splitlines()
    documented = [line for line in lines if re.match(r"\| \d{3} \| `", line)]
    assert documented == [
        f"| {status} | `{code}` | {meaning} | {cure} |"
        for code, (status, meaning, cure) in CODES.items()
    ]


def test_every_code_that_the_source_raises_is_in_the_table_with_its_status() -> None:
    raised = set[tuple[str, str]]()
    for path in (ROOT / "src/clusterlite/http").glob("*.py"):
        called = r'(?:HttpError|_refuse)\(\s*(\d{3}),\s*"([a-z_]+)"'
        raised |= set(re.findall(called, path.read_text()))
    assert len(raised) >= 20
    assert {(status, code) for status, code in raised if code not in CODES} == set()
    assert {(status, code) for status, code in raised if CODES[code].status != int(status)} == set()
    assert REJECTIONS.keys() - NEVER_OVER_HTTP <= CODES.keys()


def test_the_codes_stand_by_status_and_each_has_words_and_a_cure() -> None:
    statuses = [code.status for code in CODES.values()]
    assert statuses == sorted(statuses)
    for name, (status, meaning, cure) in CODES.items():
        assert HTTPStatus(status).phrase
        assert meaning.endswith("."), name
        assert cure.endswith("."), name


def test_the_page_has_an_anchor_for_each_code_and_no_markup_from_the_table() -> None:
    text = page().decode()
    assert re.findall(r'<tr id="([a-z_]+)">', text) == list(CODES)
    assert 'If-Match: "&lt;version&gt;"' in text
    assert "`" not in text
    assert "<script" not in text
