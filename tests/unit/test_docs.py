"""The documents say what the code does: settings, halts, problem codes, links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clusterlite.config import Settings
from clusterlite.core.event import OPERATIONS
from clusterlite.core.outcome import REJECTIONS
from tests.named import missing, named

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src" / "clusterlite"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def table_rows(path: str) -> list[list[str]]:
    lines = (ROOT / path).read_text().splitlines()
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines
        if line.startswith("|")
    ]


def shown(default: object) -> str:
    if default is None:
        return "empty"
    if isinstance(default, bool):
        default = str(default).lower()
    if isinstance(default, tuple):
        default = ",".join(default)
    return f"`{default}`" if str(default) else "empty"


def test_the_reference_lists_every_setting_with_its_default_and_meaning() -> None:
    rows = [row for row in table_rows("docs/reference/settings.md") if row[0].startswith("`--")]
    documented = {row[2].strip("`"): row for row in rows}
    assert set(documented) == set(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        option, environment, _, default, meaning = documented[name]
        assert option == f"`--{name.replace('_', '-')}`"
        assert environment == f"`CLUSTERLITE_{name.upper()}`"
        assert default == shown(field.default), name
        first_words = (field.description or "").split(",")[0].split(".")[0].split(":")[0]
        assert meaning.replace("`", "").startswith(first_words), name


def test_every_reason_to_halt_has_its_cure_in_the_reference() -> None:
    raised = set[str]()
    for path in SOURCES.rglob("*.py"):
        text = path.read_text()
        raised |= set(re.findall(r'Halt\(\s*"([a-z_]+)"', text))
        raised |= set(re.findall(r'"((?:replica|log)_(?:corrupt|io|gap|rewound|moved))"', text))
    assert len(raised) >= 9
    rows = [row for row in table_rows("docs/reference/halts.md") if len(row) == 3]
    documented = {row[0].strip("`"): row for row in rows}
    assert raised <= set(documented), raised - set(documented)
    assert all(len(documented[reason][2]) > 20 for reason in raised)


def test_every_code_of_a_problem_stands_in_the_reference() -> None:
    documented = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs/reference/http.md").read_text()))
    used = set[str]()
    for path in (SOURCES / "http").rglob("*.py"):
        used |= set(re.findall(r'HttpError\(\s*\d{3},\s*"([a-z_]+)"', path.read_text()))
    assert len(used) >= 15
    from_http = {
        code for code in REJECTIONS if code not in {"unreadable", "incompatible", "not_adoptable"}
    }
    assert used | from_http <= documented, (used | from_http) - documented


def test_every_operation_stands_in_the_reference() -> None:
    text = (ROOT / "docs/reference/events.md").read_text()
    assert {name for name in OPERATIONS if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_that_a_document_names_is_there(document: Path) -> None:
    text = document.read_text()
    links = {link.partition("#")[0] for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text)}
    missing = {link for link in links if link and not (document.parent / link).exists()}
    named = set(re.findall(r"`((?:docs|src|tests|tools|deploy|examples)/[\w./-]+)`", text))
    missing |= {path for path in named if not (ROOT / path).exists()}
    if document.name == "ARCHITECTURE.md":
        modules = set(re.findall(r"`((?:core|log|replica|node|http|cli|ui)/[\w./-]+\.\w+)`", text))
        missing |= {path for path in modules if not (SOURCES / path).exists()}
    assert missing == set()


def test_every_make_command_that_a_document_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", document.read_text(), re.MULTILINE))
        assert named <= targets, document


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_that_a_document_names_is_there(document: Path) -> None:
    assert missing(document.read_text()) == []


def test_each_guarantee_has_its_mechanism_its_proof_and_its_limits() -> None:
    text = (ROOT / "docs/explanation/guarantees.md").read_text()
    sections = text.split("\n## ")[1:]
    promised = {found for section in sections for found in re.findall(r"\((I\d+)\)", section)}
    assert promised == {f"I{number}" for number in range(1, 15)}
    for section in sections:
        title = section.partition("\n")[0]
        parts = re.findall(r"^- \*\*([\w ]+)\.\*\*", section, re.MULTILINE)
        assert [part for part in parts if part != "The window"] == [
            "How",
            "Proved by",
            "Not promised",
        ], title
        proof = section.partition("**Proved by.**")[2].partition("- **Not promised")[0]
        assert named(proof), title
        modules = re.findall(r"`((?:core|log|replica|node|http)/\w+\.py|errors\.py)`", section)
        assert [module for module in modules if not (SOURCES / module).exists()] == [], title
