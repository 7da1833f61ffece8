"""Sets a clone up: an environment in `.venv`, and the parts of this machine that tests need.

    python tools/setup.py run            pinned run-time requirements and ClusterLite itself
    python tools/setup.py dev PART...    the same, the tools of development, and parts

What always holds:

- Only the standard library is used: this runs before anything is installed.
- `run` changes nothing outside the clone. Parts come from apt, and only for root on Debian;
  elsewhere what is missing is named, with the command that installs it.
- What is installed is what `requirements/*.txt` name, checked by hash.
- Where nothing changed since the last time, nothing is asked of the network and no process is
  started: a stamp in `.venv` says what was installed.
- A missing part is no failure, since the tests that need it say so themselves; with CI=true it
  is one.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CACHE = ROOT / ".cache"
STAMP = VENV / "clusterlite-setup.json"
APT_LOG = CACHE / "apt.log"
JARS_LOG = CACHE / "kafka-jars.log"

REQUIREMENTS = {"run": ("run.txt",), "dev": ("run.txt", "dev.txt")}
"""The files of `requirements/` that each level installs; `dev` holds all of `run`."""

EXTRA_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where Debian keeps servers such as Nginx; not on the path of ordinary users."""


@dataclass(frozen=True)
class Part:
    """Something that tests need and no Python package brings."""

    programs: tuple[str, ...]
    packages: tuple[str, ...]
    """Debian's packages, which hold the programs."""

    def missing(self) -> list[str]:
        """The programs that are not on this machine."""
        path = f"{os.environ.get('PATH', os.defpath)}:{EXTRA_PATH}"
        return [program for program in self.programs if shutil.which(program, path=path) is None]


PARTS = {
    "nginx": Part(("nginx",), ("nginx",)),
    "chromium": Part(("chromium",), ("chromium",)),
    "kafka": Part(("java", "mvn"), ("default-jre-headless", "maven")),
    "wrk": Part(("wrk",), ("wrk",)),
}


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"setup: {text}", flush=True)


def fail(text: str) -> NoReturn:
    """End with a message and exit code 1."""
    sys.exit(f"setup: {text}")


def call(command: Sequence[str | Path], *, what: str, cwd: Path = ROOT) -> None:
    """Run a command that prints only when it has something to say; end where it fails."""
    # A user's own pip settings must not send packages to the home folder instead of `.venv`.
    environment = os.environ | {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment.pop("PYTHONHOME", None)
    result = subprocess.run([str(word) for word in command], cwd=cwd, env=environment, check=False)
    if result.returncode != 0:
        fail(f"{what} failed (exit code {result.returncode}); the lines above say why.")


# --- the environment ---------------------------------------------------------------------------


def digest(level: str) -> str:
    """A hash over everything that decides what an environment of this level holds."""
    files = [ROOT / "requirements" / name for name in REQUIREMENTS[level]]
    content = hashlib.blake2b(digest_size=16)
    for file in [*files, ROOT / "pyproject.toml", Path(__file__)]:
        content.update(file.read_bytes())
    return content.hexdigest()


def read_stamp() -> dict[str, str]:
    """What the last set-up left: `home`, `python`, and a digest for each level; empty if none."""
    try:
        stamp: dict[str, str] = json.loads(STAMP.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return stamp


def usable(stamp: dict[str, str], wanted: str | None) -> bool:
    """Whether `.venv` can be kept: its Python is there, it was not moved, its version is right.

    Args:
        stamp: what `read_stamp` gave.
        wanted: the version that was asked for, as "3.12"; None keeps any.
    """
    if not os.access(VENV / "bin" / "python", os.X_OK) or stamp.get("home") != str(ROOT):
        return False
    return wanted is None or stamp.get("python") == wanted


def make_environment() -> None:
    """Make `.venv` anew with the Python that runs this, pip included."""
    if VENV.is_symlink():
        fail(f"{VENV} is a symlink, and would be made anew where it leads to; remove it first")
    say(f"making .venv with {sys.executable} ({sys.version.split()[0]})")
    try:
        import ensurepip  # noqa: F401, PLC0415  # Debian ships it in a package of its own
    except ImportError:
        pip = fetch_pip()
        call([sys.executable, "-m", "venv", "--clear", "--without-pip", VENV], what="making .venv")
        call(
            [VENV / "bin" / "python", pip / "pip", "install", "--quiet", "--no-index", pip],
            what="putting pip into .venv",
        )
        return
    call([sys.executable, "-m", "venv", "--clear", VENV], what="making .venv")


def fetch_pip() -> Path:
    """Debian's own pip wheel, unpacked inside the clone, for a Python that came without it."""
    needed = f"python{version(sys.version_info)}-venv"
    cure = f"apt-get install {needed} (as root), or name another Python by PYTHON="
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        fail(f"{sys.executable} cannot make environments, since it lacks ensurepip: {cure}")
    say("this Python came without pip: fetching Debian's package of it into .cache")
    folder = CACHE / "pip"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if not apt_knows("python3-pip-whl"):
        refresh_apt()
    quiet = ["-qq", "-o", "APT::Sandbox::User=root"]
    command = ["apt-get", *quiet, "download", "python3-pip-whl"]
    if subprocess.run(command, cwd=folder, check=False).returncode != 0:
        fail(f"apt could not fetch python3-pip-whl either: {cure}")
    for package in folder.glob("*.deb"):
        call(["dpkg-deb", "-x", package, folder], what="unpacking pip")
    return next(folder.rglob("pip-*.whl"))


def install(level: str) -> None:
    """Install the level's pinned requirements and ClusterLite itself, in place."""
    say(f"installing requirements ({', '.join(REQUIREMENTS[level])})")
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
    files = [f"--requirement={ROOT / 'requirements' / name}" for name in REQUIREMENTS[level]]
    call([*pip, "--require-hashes", *files], what="installing the requirements")
    call(
        [*pip, "--no-deps", "--no-build-isolation", "--editable", ROOT],
        what="installing ClusterLite",
    )


def prepare(level: str, wanted: str | None) -> None:
    """Bring `.venv` to the level, doing only what is left to do."""
    stamp = read_stamp()
    if not usable(stamp, wanted):
        make_environment()
        stamp = {"home": str(ROOT), "python": version(sys.version_info)}
    levels = ("run", "dev") if level == "dev" else ("run",)
    if all(stamp.get(each) == digest(each) for each in levels):
        return
    # Until the end there is no stamp: an interrupted set-up is begun again, not believed.
    STAMP.unlink(missing_ok=True)
    install(level)
    STAMP.write_text(json.dumps(stamp | {each: digest(each) for each in levels}))


def version(info: tuple[object, ...]) -> str:
    """The part of a Python version that an environment belongs to, as "3.11"."""
    return f"{info[0]}.{info[1]}"


@contextmanager
def alone() -> Iterator[None]:
    """Let one set-up of this clone run at a time; a second waits for the first."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# --- parts of this machine ---------------------------------------------------------------------


def apt_knows(package: str) -> bool:
    """Whether apt's lists, as they are now, can give a package."""
    shown = subprocess.run(
        ["apt-cache", "policy", package], capture_output=True, text=True, check=False
    )
    return "Candidate:" in shown.stdout and "Candidate: (none)" not in shown.stdout


def refresh_apt() -> None:
    """Fetch apt's lists where this user may; a failure shows when a package is then missing."""
    if os.geteuid() == 0:
        subprocess.run(["apt-get", "-qq", "update"], check=False)


def apt_install(packages: Sequence[str]) -> None:
    """Install Debian packages; the caller looks at what is there afterwards.

    They come without recommended packages: what a part needs to run is a dependency.
    """
    say(f"installing by apt: {' '.join(packages)}")
    refresh_apt()
    with APT_LOG.open("w") as output:
        result = subprocess.run(
            ["apt-get", "-q", "-y", "install", "--no-install-recommends", *packages],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            check=False,
        )
    if result.returncode != 0:
        say(f"apt failed; its output is in {APT_LOG.relative_to(ROOT)}")


def provide(names: Sequence[str]) -> list[str]:
    """Install the parts that are missing, where that is possible.

    Returns:
        One line for each part that is still missing, with what would install it.
    """
    absent = [PARTS[name] for name in names if PARTS[name].missing()]
    can_install = shutil.which("apt-get") is not None and os.geteuid() == 0
    if absent and can_install:
        apt_install([package for part in absent for package in part.packages])
    lines = []
    for name in names:
        part = PARTS[name]
        if programs := part.missing():
            cure = f"apt-get install {' '.join(part.packages)}"
            lines.append(f"{name}: no {' and no '.join(programs)} here ({cure}, as root on Debian)")
        elif name == "kafka" and not fetch_jars():
            lines.append(f"kafka: Maven could not fetch its jars; see {JARS_LOG.relative_to(ROOT)}")
    return lines


def fetch_jars() -> bool:
    """Fetch Kafka's jars into `.cache` where they are not yet."""
    command = [str(VENV / "bin" / "python"), "-m", "clusterlite.testing.cluster.kafka", "jars"]
    with JARS_LOG.open("w") as output:
        done = subprocess.run(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    return done.returncode == 0


# --- the command line --------------------------------------------------------------------------


def main() -> None:
    """See the first lines of this file."""
    parser = argparse.ArgumentParser(description="Set this clone of ClusterLite up.")
    parser.add_argument("level", choices=sorted(REQUIREMENTS))
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.parts if name not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}")
    wanted = version(sys.version_info) if os.environ.get("PYTHON") else None
    with alone():
        prepare(arguments.level, wanted)
        missing = provide(arguments.parts)
    for line in missing:
        say(f"not here, so left out: {line}")
    if missing and os.environ.get("CI") == "true":
        fail("with CI=true nothing may be left out.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nsetup: stopped; the next start begins again where this one left off.")
