"""Who else is here: on the port that a `serve` wants, or in its data folder.

A serving node leaves its address in its data folder (`serve.url`). It is believed only while the
process that holds the folder's lock answers there, so one that a killed node left misleads nobody.
"""

from __future__ import annotations

import contextlib
import json
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from clusterlite.cli import direct
from clusterlite.errors import FolderInUse
from clusterlite.replica.folder import DataFolder

ASK_WAIT_S: Final = 1.0
_ANSWER_BYTES_MAX: Final = 1_000_000
_URL_FILE: Final = "serve.url"
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


def url_of(host: str, port: int) -> str:
    """Where a browser on this machine finds a node that listens there."""
    name = _EVERYWHERE.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def status_of(url: str, wait_s: float = ASK_WAIT_S) -> dict[str, Any] | None:
    """What the ClusterLite node at an address says of itself; None where none answers.

    Args:
        url: without a path.
        wait_s: for the answer, in seconds.
    """
    try:
        with direct.get(f"{url}/-/cluster", wait_s) as answer:
            status = json.loads(answer.read(_ANSWER_BYTES_MAX))
    except (OSError, ValueError, RecursionError, HTTPException):
        return None
    known = isinstance(status, dict) and {"node", "cluster", "state", "position"} <= status.keys()
    return status if known else None


def holds(data: Path, status: dict[str, Any]) -> bool:
    """Whether the node of this status is the one that holds a data folder."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        noted = (data / "lock").read_text() == str(status.get("pid"))
        return noted and DataFolder(data).is_held
    return False


def describe(status: dict[str, Any], data: Path) -> str:
    """A node in a few words, for a message to whoever stumbled upon it.

    Args:
        status: of the node.
        data: the folder that this start would use.
    """
    if holds(data, status):
        return f"with this data folder ({data.absolute()})"
    log = status.get("log")
    where = f", log {log['url']}" if isinstance(log, dict) and "url" in log else ""
    return f"with another data folder (node {status['node']}{where})"


def served_url(data: Path) -> str | None:
    """Where the node that holds this folder serves; None where none does."""
    try:
        url = (data / _URL_FILE).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    # One that a killed node left may be this start's own, where nobody answers yet.
    if not DataFolder(data).is_held:
        return None
    status = status_of(url) if url.startswith("http://") else None
    return url if status is not None and holds(data, status) else None


def refuse_if_served(data: Path) -> None:
    """Refuse a data folder that a serving node holds.

    Raises:
        FolderInUse: names where that node serves.
    """
    url = served_url(data)
    status = None if url is None else status_of(url)
    if status is not None:
        raise FolderInUse(
            f"the data folder {data} belongs to a running node (process {status['pid']}): open "
            f"{url}/-/ui/, or stop it; to run this node beside it give it a folder of its own "
            "with --data"
        )


def leave_url(data: Path, url: str) -> None:
    """Note where this folder's node serves; a convenience, so a disk that is full is no error."""
    with contextlib.suppress(OSError):
        (data / _URL_FILE).write_text(url + "\n")


def remove_url(data: Path) -> None:
    """This folder's node serves no more."""
    with contextlib.suppress(OSError):
        (data / _URL_FILE).unlink()
