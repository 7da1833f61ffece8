"""JSON merge patch (RFC 7396), as a PATCH is applied to a stored row.

null is NULL for a field and removal inside JSON, objects merge in depth, lists are replaced.
"""

from __future__ import annotations

from clusterlite.core.fields import Json, canonical_json


def merge(target: Json, patch: Json) -> Json:
    """RFC 7396, section 2: `MergePatch(target, patch)`, without changing either."""
    if type(patch) is not dict:
        return patch
    merged = dict(target) if type(target) is dict else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def difference(target: Json, wanted: Json) -> Json:
    """A patch that makes `wanted` of `target`.

    A patch cannot put null into an object: a member that is null in `wanted` alone is left out.
    """
    if type(target) is not dict or type(wanted) is not dict:
        return wanted
    patch: dict[str, Json] = {key: None for key in target if key not in wanted}
    for key, value in wanted.items():
        if key not in target:
            patch[key] = value
        elif canonical_json(target[key]) != canonical_json(value):  # 1 == True in Python
            patch[key] = difference(target[key], value)
    return patch
