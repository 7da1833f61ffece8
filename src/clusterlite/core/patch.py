"""JSON merge patch (RFC 7396), as a PATCH is applied to a stored row.

null is NULL for a field and removal inside JSON, objects merge in depth, lists are replaced.
"""

from __future__ import annotations

from clusterlite.core.fields import Json


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
