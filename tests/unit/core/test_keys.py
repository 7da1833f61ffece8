"""Ids of keyed requests and fingerprints: fixed bytes, which every node computes alike."""

from __future__ import annotations

from uuid import RFC_4122, UUID

import pytest

from clusterlite.core.keys import (
    attempt_event_id,
    fingerprint,
    is_later,
    keyed_event_id,
    lost_by,
    same_request,
    try_fingerprint,
)

REQUEST = ("POST", "/users", [("a", "1"), ("b", "2")], {"if-match": '"7"'}, {"name": "Ann"})


def test_the_id_of_a_keyed_request_never_changes() -> None:
    assert keyed_event_id("c-1", "", "order-1") == "1f216dd1-292e-8d10-9c56-1f135fb58bd0"
    assert keyed_event_id("c-1", "ann", "Grüße") == "3e6e15c6-ac07-8bb3-8b1a-4990de5a81c4"


def test_it_is_a_uuid_of_version_8() -> None:
    made = UUID(keyed_event_id("c-1", "", "order-1"))
    assert (made.version, made.variant) == (8, RFC_4122)


def test_it_is_another_one_for_another_cluster_principal_or_key() -> None:
    parts = [("c", "p", "k"), ("d", "p", "k"), ("c", "q", "k"), ("c", "p", "l"), ("c", "", "pk")]
    assert len({keyed_event_id(*part) for part in parts}) == len(parts)


def test_a_border_between_the_parts_cannot_be_forged() -> None:
    assert keyed_event_id("c", "ab", "c") != keyed_event_id("c", "a", "bc")
    assert keyed_event_id("ca", "b", "c") != keyed_event_id("c", "ab", "c")


def test_the_fingerprint_of_a_request_never_changes() -> None:
    assert fingerprint(*REQUEST) == "8c02408cf98cc507903271389b547567"
    assert fingerprint("DELETE", "/users/1", [], {}, None) == "019c3f3a855a9621e812e6e97c20b577"


def test_the_order_of_query_conditions_and_keys_does_not_matter() -> None:
    body = {"name": "Ann", "email": "x"}
    turned = {"email": "x", "name": "Ann"}
    conditions = {"if-match": '"7"', "if-none-match": "*"}
    back = dict(reversed(conditions.items()))
    query = [("a", "1"), ("b", "2")]
    assert fingerprint("PUT", "/u/1", query, conditions, body) == fingerprint(
        "PUT", "/u/1", query[::-1], back, turned
    )


@pytest.mark.parametrize(
    ("index", "other"),
    [
        (0, "PUT"),
        (1, "/user"),
        (2, [("a", "2"), ("b", "1")]),
        (3, {"if-none-match": '"7"'}),
        (4, {"name": "Ben"}),
        (4, None),
    ],
)
def test_any_other_part_makes_another_fingerprint(index: int, other: object) -> None:
    changed = [*REQUEST]
    changed[index] = other  # type: ignore[call-overload]
    assert fingerprint(*changed) != fingerprint(*REQUEST)  # type: ignore[arg-type]


def test_the_ids_of_later_attempts_never_change_and_differ() -> None:
    first = keyed_event_id("c-1", "", "order-1")
    made = [attempt_event_id(first, number) for number in (1, 2, 3, 4)]
    assert made[0] == "304141a4-bc46-8ec4-b0fa-b06cb3f52be4"
    assert len({first, *made}) == 5
    assert {UUID(one).version for one in made} == {8}


def test_a_trys_fingerprint_tells_its_request_its_place_and_by_what_it_is_lost() -> None:
    fp = fingerprint(*REQUEST)  # type: ignore[arg-type]
    first, later = (try_fingerprint(fp, "exists", number) for number in (0, 3))
    assert (first, later) == (f"{fp}+exists", f"{fp}+exists+3")
    assert (lost_by(fp), lost_by(first), lost_by(later)) == ("", "exists", "exists")
    assert [is_later(one) for one in (fp, first, later)] == [False, False, True]
    assert all(same_request(fp, one) for one in (fp, first, later))
    assert not same_request(first, "0" * 32)
    assert try_fingerprint("", "exists") == ""
    assert try_fingerprint(fp, "", 3) == fp
