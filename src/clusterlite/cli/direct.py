"""How commands ask nodes over HTTP: directly.

A proxy that the environment names has no business between a machine and its nodes: it does not
reach those on this machine, and its error pages would be taken for a node's answers.
"""

from __future__ import annotations

import urllib.request
from http.client import HTTPResponse
from typing import cast


def get(url: str, wait_s: float) -> HTTPResponse:
    """The answer to a GET; the caller closes it.

    Args:
        url: with its path; http or https.
        wait_s: for the connection, and for each part of the answer, in seconds.

    Raises:
        urllib.error.HTTPError: the answer is an error.
        OSError, ValueError, HTTPException: there is none.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return cast("HTTPResponse", opener.open(url, timeout=wait_s))
