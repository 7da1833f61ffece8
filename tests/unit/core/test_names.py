"""Names of tables and fields, and keys of rows and events: what passes, and how they compare."""

from __future__ import annotations

import pytest

from clusterlite.core.names import fold, is_key, is_name


@pytest.mark.parametrize("name", ["a", "users", "User_2", "Z" * 63])
def test_a_letter_and_up_to_62_letters_digits_and_underscores_are_a_name(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "_users", "2users", "us ers", "us-ers", "üser", "a\n", "a.b", 'a"b', "Z" * 64],
)
def test_anything_else_is_no_name(name: str) -> None:
    assert not is_name(name)


@pytest.mark.parametrize("name", ["sqlite_schema", "SQLite_x", "SQLITE_"])
def test_what_sqlite_keeps_for_itself_is_no_name(name: str) -> None:
    assert not is_name(name)


def test_only_ascii_letters_are_folded() -> None:
    assert fold("UsErS_9") == "users_9"
    assert fold("İÜK") == "İÜk"  # neither the Turkish I nor the umlaut, as SQLite compares


@pytest.mark.parametrize("key", ["a", "0", "a-b_c", "é", "a b", "a/b", "x" * 255, "𝄞" * 255])
def test_up_to_255_code_points_are_a_key(key: str) -> None:
    assert is_key(key)


@pytest.mark.parametrize(
    "key",
    ["", "_a", "-a", "a\n", "\x00", "a\x7f", "a\x9f", "x" * 256],
)
def test_control_characters_and_a_leading_underscore_or_hyphen_are_refused(key: str) -> None:
    assert not is_key(key)
