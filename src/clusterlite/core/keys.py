"""Ids and fingerprints that any node computes alike from the same request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

from clusterlite.core.fields import Json, canonical_json
from clusterlite.errors import InputError, Problem

KEY_CHARACTERS_MAX: Final = 255


def check_idempotency_key(key: str) -> str:
    """The key, if the header `Idempotency-Key` can carry it as it is.

    Raises:
        InputError: it cannot.
    """
    fits = 0 < len(key) <= KEY_CHARACTERS_MAX and key == key.strip()
    if not fits or any(not " " <= character <= "~" for character in key):
        why = f"must have 1 to {KEY_CHARACTERS_MAX} ASCII characters, and no space at its ends"
        raise InputError([Problem("", "idempotency_key", f"the key {key[:50]!r} {why}")])
    return key


def keyed_event_id(cluster: str, principal: str, key: str) -> str:
    """The event id of a request with an idempotency key: UUIDv8 (RFC 9562) of its hash.

    Args:
        cluster: the cluster id.
        principal: the authenticated name, else empty; never an address or a cookie.
        key: as the client sent it.
    """
    return _uuid8("key", cluster, principal, key)


def attempt_event_id(event_id: str, attempt: int) -> str:
    """The event id of a later attempt at a keyed request, the same at every node.

    Args:
        event_id: of the first.
        attempt: from 1.
    """
    return _uuid8("attempt", event_id, str(attempt))


def _uuid8(*parts: str) -> str:
    digest = blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    value = bytearray(digest.digest())
    value[6] = value[6] & 0x0F | 0x80
    value[8] = value[8] & 0x3F | 0x80
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def fingerprint(
    method: str,
    path: str,
    query: Sequence[tuple[str, str]],
    conditions: Mapping[str, str],
    body: Json,
) -> str:
    """BLAKE2b-128 of a request as the client sent it, before ids, defaults and models.

    Args:
        method: of the request; in process the operation.
        path: percent-decoded.
        query: pairs, in any order.
        conditions: the `If-*` headers, names in lower case.
        body: decoded; None where there is none.
    """
    spelled = canonical_json(
        [method, path, sorted(map(list, query)), sorted(map(list, conditions.items())), body]
    )
    return blake2b(spelled.encode(), digest_size=16).hexdigest()


def try_fingerprint(fp: str, code: str, number: int = 0) -> str:
    """The fingerprint of a request's try that another may follow (`core.tries`).

    Args:
        fp: of the request; empty without a key.
        code: of the rejection after which another follows; empty for none.
        number: of the try, from 0.
    """
    if not fp or not code:
        return fp
    return f"{fp}+{code}+{number}" if number else f"{fp}+{code}"


def lost_by(fp: str) -> str:
    """The code that `try_fingerprint` was given."""
    return fp.partition("+")[2].partition("+")[0]


def is_later(fp: str) -> bool:
    """Whether it is of a try after the first."""
    return fp.count("+") > 1


def same_request(fp: str, other: str) -> bool:
    """Whether two fingerprints are of one request, whichever of its tries they belong to."""
    return fp.partition("+")[0] == other.partition("+")[0]
