"""The Python reference: every block runs, and everything public stands in it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import clusterlite
from clusterlite import Entity, Field, Node, errors
from clusterlite.core.entity import _TYPE_NAMES
from clusterlite.core.outcome import Outcome

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "python.md"
TEXT = PAGE.read_text()
BLOCKS = re.findall(r"<!-- (\w+) -->\n```python\n(.*?)```", TEXT, re.DOTALL)
NAMED = set(re.findall(r"(?:`|(?m:^)#+ )(\w+)", TEXT))
IN_CODE = "\n".join(code for _, code in BLOCKS)


def test_every_block_runs_in_the_order_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(BLOCKS) == TEXT.count("```python") == 10
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "reference"}
    for name, code in BLOCKS:
        exec(compile(code, f"{PAGE.name}: {name}", "exec", dont_inherit=True), namespace)


@pytest.mark.parametrize("name", clusterlite.__all__)
def test_every_exported_name_stands_there(name: str) -> None:
    assert name == "__version__" or name in NAMED


@pytest.mark.parametrize("entity", [Node, Entity, Outcome], ids=lambda entity: entity.__name__)
def test_every_public_member_stands_there(entity: type) -> None:
    inner = {"from_stored", "row", "to_json", "fp", "leave_to_parent", "registry", "log"}
    own = {*vars(entity), *getattr(entity, "__annotations__", ())}
    public = {name for name in own if not name.startswith(("_", "model_"))} - inner
    assert public
    assert public <= NAMED, public - NAMED


@pytest.mark.parametrize("function", [Field, Node.__init__], ids=["Field", "Node"])
def test_every_argument_stands_there(function: object) -> None:
    arguments = set(inspect.signature(function).parameters) - {"self"}  # type: ignore[arg-type]
    assert arguments <= NAMED, arguments - NAMED


def test_every_error_that_a_node_raises_stands_there() -> None:
    over_http: set[str] = set()
    of_the_port = {"LogError", "AppendUnknown", "LogClosed"}
    found = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.ClusterLiteError)
    }
    assert found - over_http - of_the_port <= NAMED


def test_every_field_type_stands_there_and_is_shown() -> None:
    table = TEXT.partition("### Field types")[2].partition("### Field options")[0]
    for kind, _ in _TYPE_NAMES:
        shown = {"BaseModel": "a Pydantic model"}.get(kind.__name__, f"{kind.__name__}`")
        assert shown in table, kind
        assert kind.__name__ in IN_CODE, kind


def test_the_signature_is_that_of_the_node() -> None:
    (shown,) = re.findall(r"(?m)^    Node\((.*)\)$", TEXT)
    parameters = list(inspect.signature(Node.__init__).parameters.values())[1:]
    spelled = []
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in spelled:
            spelled.append("*")
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        spelled.append(parameter.name + default.replace("'", '"'))
    assert shown == ", ".join(spelled)
