"""Tokens: what is written is read again, and what is none is not taken for one."""

from __future__ import annotations

import pytest

from clusterlite.core.token import Token


@pytest.mark.parametrize("token", [Token("c-1", 0), Token("c-1", -1), Token("a:b", 10**18 - 1)])
def test_a_token_reads_as_it_was_written(token: Token) -> None:
    assert Token.parse(str(token)) == token


def test_its_form_is_the_cluster_a_colon_and_the_position() -> None:
    assert str(Token("0192-aa", 4711)) == "0192-aa:4711"


def test_white_space_around_it_is_no_part_of_it() -> None:
    assert Token.parse(" c:1 ") == Token("c", 1)


@pytest.mark.parametrize(
    "text",
    ["", "c", "c:", ":1", "c:x", "c:1.5", "c:--1", "c:+1", "c:٣", "c: 1", "c:" + "9" * 19],
)
def test_anything_else_is_no_token(text: str) -> None:
    assert Token.parse(text) is None
