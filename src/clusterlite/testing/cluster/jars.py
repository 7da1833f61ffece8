"""Kafka's jars, fetched once by Maven into a folder of the cache (18 s, 43 MB)."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from clusterlite.testing.cluster.place import CACHE

POM = Path(__file__).with_name("kafka.pom.xml")
JARS = CACHE / "kafka"


class KafkaMissing(Exception):
    """What a real Kafka needs is not on this machine; the message names it and the cure."""


def fetch_jars(timeout_s: float = 600.0) -> Path:
    """The folder of Kafka's jars, filled by Maven where it is not yet (18 s, 43 MB).

    Raises:
        KafkaMissing: without Java or Maven, or where Maven could not get the jars.
    """
    if shutil.which("java") is None:
        raise KafkaMissing("no java on the path: install a Java 17 runtime or newer")
    libs = JARS / f"libs-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    if libs.exists():
        return libs
    if shutil.which("mvn") is None:
        raise KafkaMissing("no mvn on the path: install Maven, which fetches Kafka's jars")
    JARS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=JARS) as scratch:
        fresh = Path(scratch) / "libs"
        _maven(fresh, timeout_s)
        # Another process may have been as quick; its copy is as good.
        if not libs.exists():
            fresh.rename(libs)
    return libs


def _maven(libs: Path, timeout_s: float) -> None:
    command = ["mvn", "-B", "-q", "-f", str(POM), "dependency:copy-dependencies"]
    command.append(f"-DoutputDirectory={libs}")
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise KafkaMissing(f"mvn did not fetch Kafka's jars within {timeout_s:.0f} s") from error
    if done.returncode != 0:
        raise KafkaMissing(f"mvn could not fetch Kafka's jars: {done.stdout[-800:]}")
