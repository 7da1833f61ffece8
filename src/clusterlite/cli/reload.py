"""`serve --reload`: notices changed files of the project, and tries them before they are served.

    python -m clusterlite.cli.reload < SETTINGS_JSON

is one try, in a process of its own: it imports the entities, holds them against the tables that
the replica has, and prints which files they came from. What fails there is told, and the node
goes on with the classes that it has; so a page that was open stays open.

Files are polled. That needs no part of any system, and is enough for the files of one project.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Final, NamedTuple

from clusterlite.cli.children import start_process
from clusterlite.cli.entities import load_entities
from clusterlite.cli.voice import Voice
from clusterlite.config import Settings
from clusterlite.core.names import fold
from clusterlite.core.registry import EntityRegistry
from clusterlite.core.schema import Incompatible, evolve
from clusterlite.errors import ClusterLiteError, SchemaRefused
from clusterlite.replica.folder import DataFolder
from clusterlite.replica.reader import Reader

POLL_S: Final = 0.2
TRY_WAIT_S: Final = 30.0
"""How long entities may take to import."""

NO_BYTECODE: Final = {"PYTHONDONTWRITEBYTECODE": "1"}
"""For every process that imports them: bytecode is recognised by the second and the size, and so
would hide a change within the second of another."""

_FOREIGN: Final = frozenset({"site-packages", "dist-packages", "node_modules"})

Marks = dict[Path, tuple[int, int, int] | None]


class _Try(NamedTuple):
    """One try under way.

    Args:
        process: that tries.
        output: where it writes what it found.
        give_up_at: monotonic, in seconds.
    """

    process: subprocess.Popen[bytes]
    output: IO[bytes]
    give_up_at: float


class Reload:
    """Watches the project of one `serve`.

    Args:
        settings: as the tries read them.
        voice: that says what is wrong.
        entities: modules that were named, as `--entities` names them.
    """

    def __init__(self, settings: str, voice: Voice, entities: Iterable[str]) -> None:
        self._settings = settings
        self._voice = voice
        self._known = marks_of(project_files(entities))
        self._last = self._known
        self._look_at = 0.0
        self._try: _Try | None = None
        self.changed: list[str] = []
        """The files whose change is being tried, or was found good."""

    def step(self, now: float) -> bool:
        """Look at the files, or at the try under way.

        Args:
            now: monotonic, in seconds.

        Returns:
            Whether there is a change that can be served, once for each.
        """
        if self._try is not None:
            return self._tried(self._try, now)
        if now < self._look_at:
            return False
        self._look_at = now + POLL_S
        before, self._last = self._last, marks_of(self._known)
        # Whoever saves several files is given the time between two looks.
        if self._last != self._known and self._last == before:
            changed = [path for path in self._known if self._known[path] != self._last[path]]
            files = [path for path in changed if path.suffix == ".py"]
            self.changed = sorted(map(_shown, files)) or ["a folder"]
            self._known = self._last
            self._begin(now)
        return False

    def close(self) -> None:
        """End a try under way; idempotent."""
        if self._try is not None:
            self._try.process.kill()
            self._try.process.wait()
            self._try.output.close()
            self._try = None

    def _begin(self, now: float) -> None:
        output = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the try has ended
        arguments = ["-B", "-m", "clusterlite.cli.reload"]
        process = start_process(arguments, self._settings, stdout=output)
        self._try = _Try(process, output, now + TRY_WAIT_S)

    def _tried(self, under_way: _Try, now: float) -> bool:
        code = under_way.process.poll()
        if code is None:
            if now > under_way.give_up_at:
                self.close()
                self._wait_for_more(f"it did not import in {TRY_WAIT_S:g} s")
            return False
        under_way.output.seek(0)
        found: dict[str, Any] = {}
        with suppress(ValueError):
            found = json.loads(under_way.output.read())
        self.close()
        error = found.get("error", f"the process that tried it ended with exit code {code}")
        self._watch(set(map(Path, found.get("files", []))), more=error is not None)
        if error is not None:
            self._wait_for_more(error)
        return error is None

    def _watch(self, files: set[Path], *, more: bool) -> None:
        """Watch these files from now on, each as it was before the try where that is known."""
        before = self._known
        if more:
            files |= before.keys()
        self._known = {path: before.get(path, mark) for path, mark in marks_of(files).items()}
        self._last = self._known

    def _wait_for_more(self, error: str) -> None:
        self._voice.say(
            "reload_refused",
            f"{', '.join(self.changed)} changed and cannot be served: {error}\n"
            "clusterlite: the node goes on with what it had, and waits for the next change",
            files=self.changed,
            error=error,
        )


def project_files(entities: Iterable[str]) -> set[Path]:
    """The files of the project that this process has imported.

    Args:
        entities: their own modules count wherever they are, others in the working folder.
    """
    named = {name.partition(":")[0] for name in entities}
    files = set[Path]()
    for name, module in list(sys.modules.items()):
        path = _source(module)
        if path is not None and (name in named or _is_of_project(path)):
            files.add(path)
    return files


def _source(module: ModuleType) -> Path | None:
    name = getattr(module, "__file__", None)
    return Path(name).absolute() if isinstance(name, str) and name.endswith(".py") else None


def _is_of_project(path: Path) -> bool:
    """Whether a file is in the working folder, and not among what was installed there."""
    with suppress(ValueError):
        parts = path.relative_to(Path.cwd()).parts
        return not any(part.startswith(".") or part in _FOREIGN for part in parts)
    return False


def marks_of(files: Iterable[Path]) -> Marks:
    """What tells one state of each file from the next; None for one that is not there."""
    marks: Marks = {}
    for path in files:
        marks[path] = None
        with suppress(OSError):
            found = path.stat()
            marks[path] = found.st_mtime_ns, found.st_size, found.st_ino
    return marks


def _shown(path: Path) -> str:
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def main() -> None:
    """Try once; see the first lines of this file."""
    output = sys.stdout
    sys.stdout = sys.stderr  # what the modules print is no answer
    settings = Settings.model_validate_json(sys.stdin.read())
    error: ClusterLiteError | None = None
    try:
        _check_tables(settings, load_entities(settings.entities))
    except ClusterLiteError as found:
        error = found
    files = project_files(settings.entities)
    if error is not None:
        files |= _suspects(error, files)
    told = {"files": sorted(map(str, files)), "error": None if error is None else str(error)}
    output.write(json.dumps(told))
    output.flush()


def _check_tables(settings: Settings, registry: EntityRegistry) -> None:
    """Refuse what the node would refuse, while the one that runs can still go on.

    Raises:
        SchemaRefused: an entity contradicts the replica's tables.
    """
    replica = DataFolder(settings.data).replica
    if not replica.exists():
        return
    reader = Reader(replica)
    try:
        tables = reader.tables()
    finally:
        reader.close()
    for operations in registry:
        proposed = operations.create_table()
        try:
            evolve(tables.get(fold(proposed.name)), proposed, 0)
        except Incompatible as error:
            raise SchemaRefused(str(error)) from error


def _suspects(error: BaseException, files: Iterable[Path]) -> set[Path]:
    """Where the cure of an error may be: in a file on its way, or beside the project's.

    Folders count too: what is missing may be a file, and changes its folder when it comes.
    """
    found = {path for file in files for path in (file.parent, *file.parent.glob("*.py"))}
    found |= {Path.cwd(), *Path.cwd().glob("*.py")}
    cause: BaseException | None = error
    while cause is not None:
        found |= {Path(frame.filename) for frame in traceback.extract_tb(cause.__traceback__)}
        if isinstance(cause, SyntaxError) and cause.filename:
            found.add(Path(cause.filename))
        cause = cause.__cause__
    return {path for path in map(Path.absolute, found) if _is_of_project(path)}


if __name__ == "__main__":
    main()
