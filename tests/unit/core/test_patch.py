"""JSON merge patch: the examples of RFC 7396, appendix A, and that nothing given is changed."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from clusterlite.core.patch import merge

APPENDIX_A = [
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('["a","b"]', '["c","d"]', '["c","d"]'),
    ('{"a":"b"}', '["c"]', '["c"]'),
    ('{"a":"foo"}', "null", "null"),
    ('{"a":"foo"}', '"bar"', '"bar"'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]


@pytest.mark.parametrize(("target", "patch", "result"), APPENDIX_A)
def test_the_examples_of_the_rfc(target: str, patch: str, result: str) -> None:
    assert merge(json.loads(target), json.loads(patch)) == json.loads(result)


@pytest.mark.parametrize(("target", "patch", "_result"), APPENDIX_A)
def test_neither_side_is_changed(target: str, patch: str, _result: str) -> None:
    given: list[Any] = [json.loads(target), json.loads(patch)]
    before = copy.deepcopy(given)
    merge(*given)
    assert given == before


def test_it_merges_in_depth() -> None:
    target = {"a": {"b": {"c": 1, "d": 2}}, "e": [1]}
    assert merge(target, {"a": {"b": {"c": None, "f": 3}}}) == {
        "a": {"b": {"d": 2, "f": 3}},
        "e": [1],
    }
