"""The hashes that tell replicas apart: golden bytes. A change here makes a new apply level.

The payloads are spelled by hand from MessagePack's specification, so that neither the library's
version nor a habit of ours decides them.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import pytest

from clusterlite.core.fields import TYPES
from clusterlite.core.hashing import MARK_EVERY, ZERO, advance, mark_between, record_hash
from clusterlite.core.outcome import Row

# [7, "e-7", "applied", nil, [["t", "k", {"f": …}]]] up to the value of the one field.
HEAD = "95 07 a3652d37 a76170706c696564 c0 91 93 a174 a16b 81 a166"

IMAGES = [
    (
        "text",
        "Grüße",
        "a7 4772c3bcc39f65",
        "5fdbb237d93542c6fb668f01c4b681126859833926ed4a4bd2b174c359d7f99b",
    ),
    (
        "integer",
        -(2**63),
        "d3 8000000000000000",
        "7a51e1f1d4754cdcc0f3434aa561396587c3a9e53c9154e6a76778a2f0121123",
    ),
    (
        "real",
        -0.0,
        "cb 0000000000000000",
        "e28309769613e7a145520a0531cba279094508aebc96ec9fd2165e3c6a220076",
    ),
    (
        "boolean",
        True,
        "01",
        "71fbaeec2e3d93af35e795cde2b33decc0b2b8af3c318f37afd1877f35df0542",
    ),
    (
        "timestamp",
        "2026-11-22T21:00:00.5+01:00",
        "bb 323032362d31312d32325432303a30303a30302e3530303030305a",
        "0d5ceb47eced52e0330cdadd19d6961cca2e19da134119e5ab22c489d8e85785",
    ),
    (
        "date",
        "2026-11-22",
        "aa 323032362d31312d3232",
        "3a8cfa8138eadd22508867e8002756cc9b7461eda7d82c8fb9c3c16e12c84a67",
    ),
    (
        "decimal",
        "-12.3",
        "d1 fb32",
        "017c37e67c95cdff9ccdf7916c744acc03648dc9e3083d5ed3c2cedf0f2d47fd",
    ),
    (
        "uuid",
        "018F3C5E-7B1A-7C3D-9E4F-0123456789AB",
        "d924 30313866336335652d376231612d376333642d396534662d303132333435363738396162",
        "9082566de077a5d4f02cc5042243b9e785929bf62185c9a888fc8bc44641f629",
    ),
    (
        "blob",
        "AP8=",
        "c402 00ff",
        "b74ae3dacd80f684030ede9730100664753dc7040dcfa80a02f12863cef46dc7",
    ),
    (
        "json",
        {"b": [1, 2.5], "a": None},
        "b6 7b2261223a6e756c6c2c2262223a5b312c322e355d7d",
        "9fa50dd064af27c4bc2261d9f3527f41adaab77c707683ff2190a18ffd28f17c",
    ),
    (
        "any",
        [True],
        "c406 5b747275655d",
        "6e24f78cf5eb647e09fd2438aa37bbad9896551d652aa8ee1e11b1e3be2c7b1d",
    ),
]


def blake2(payload: str, previous: bytes = ZERO) -> str:
    return blake2b(previous + bytes.fromhex(payload), digest_size=32).hexdigest()


@pytest.mark.parametrize(("name", "value", "image", "running"), IMAGES, ids=lambda item: item)
def test_the_image_of_every_field_type(name: str, value: Any, image: str, running: str) -> None:
    stored = TYPES[name].stored(value, 2)
    assert blake2(HEAD + image) == running
    row = Row("t", "k", {"f": stored})
    assert advance(ZERO, 7, "e-7", "applied", None, [row]).hex() == running


def test_no_field_type_is_without_golden_bytes() -> None:
    assert {name for name, *_ in IMAGES} == TYPES.keys()


def test_an_absent_value_is_nil() -> None:
    row = Row("t", "k", {"f": None})
    assert advance(ZERO, 7, "e-7", "applied", None, [row]).hex() == blake2(HEAD + "c0")


def test_a_row_that_is_gone_is_nil() -> None:
    spelled = "95 07 a3652d37 a76170706c696564 c0 91 93 a174 a16b c0"
    gone = [Row("t", "k", None)]
    assert advance(ZERO, 7, "e-7", "applied", None, gone).hex() == blake2(spelled)
    assert blake2(spelled) == "39c8610c8a3259dd62d929c0375b9dc4b68c7046b9979fc0f0b619036bab2b4f"


def test_a_rejection_carries_its_code_and_no_image() -> None:
    spelled = "95 07 a3652d37 a872656a6563746564 a6657869737473 90"
    assert advance(ZERO, 7, "e-7", "rejected", "exists", ()).hex() == blake2(spelled)
    assert blake2(spelled) == "69649b08eedf5c64c67f6b283d4f14d7d94cf39b3e99306c4b9ca5cbd630a02b"


def test_each_hash_covers_the_one_before() -> None:
    spelled = "95 07 a3652d37 a872656a6563746564 a6657869737473 90"
    before = bytes(range(32))
    assert advance(before, 7, "e-7", "rejected", "exists", ()).hex() == blake2(spelled, before)


def test_a_record_is_recognised_by_blake2b_256_of_its_bytes() -> None:
    assert record_hash(b"abc").hex() == (
        "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"
    )


@pytest.mark.parametrize(
    ("before", "position", "mark"),
    [
        (-1, 0, 0),
        (0, 1, None),
        (0, MARK_EVERY - 1, None),
        (MARK_EVERY - 1, MARK_EVERY, MARK_EVERY),
        (MARK_EVERY, MARK_EVERY + 1, None),
        (5, 3 * MARK_EVERY + 5, 3 * MARK_EVERY),
    ],
)
def test_marks_are_the_multiples_that_a_step_reaches(
    before: int, position: int, mark: int | None
) -> None:
    assert mark_between(before, position) == mark
