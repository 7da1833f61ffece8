"""The how-to on transactions: its program runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "transactions.md"
BLOCKS = dict(re.findall(r"<!-- (\w+) -->\n```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL))


def test_the_program_moves_the_amount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(BLOCKS) == {"transfer", "request"}  # the request: test_http_transactions.py
    monkeypatch.chdir(tmp_path)
    code = compile(BLOCKS["transfer"], PAGE.name, "exec", dont_inherit=True)
    exec(code, {"__name__": "transfer"})
    assert capsys.readouterr().out == "[70, 30]\n"
