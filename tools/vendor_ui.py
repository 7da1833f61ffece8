"""Fetches the page's modules from npm by name and version, checks and copies them.

    python -m tools.vendor_ui            copy what the list names, refuse what has another hash
    python -m tools.vendor_ui --update   write the hashes of what was fetched into the list

The list is `src/clusterlite/ui/vendor/vendor.json`. A strict content security policy forbids
import maps, so bare specifiers become relative paths; nothing else is changed.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).resolve().parent.parent / "src" / "clusterlite" / "ui" / "vendor"
LIST = VENDOR / "vendor.json"


def main() -> None:
    """Fetch, check, copy."""
    update = "--update" in sys.argv[1:]
    listed: list[dict[str, Any]] = json.loads(LIST.read_text())
    specifiers = {module["import"]: f"./{module['file']}" for module in listed}
    for module in listed:
        text = fetch(module["name"], module["version"], module["path"])
        for bare, relative in specifiers.items():
            for quote in ("'", '"'):
                text = text.replace(f"from{quote}{bare}{quote}", f"from{quote}{relative}{quote}")
        text = re.sub(r"//# sourceMappingURL=\S+\s*$", "", text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        if update:
            module["sha256"] = digest
        elif module["sha256"] != digest:
            sys.exit(f"{module['file']}: fetched {digest}, the list has {module['sha256']}")
        (VENDOR / module["file"]).write_text(text)
    LIST.write_text(json.dumps(listed, indent=2) + "\n")


def fetch(name: str, version: str, path: str) -> str:
    """A file out of a package, as npm serves it."""
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["npm", "pack", f"{name}@{version}", "--silent", "--pack-destination", folder],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()[-1]
        with tarfile.open(Path(folder) / packed) as archive:
            member = archive.extractfile(f"package/{path}")
            if member is None:
                sys.exit(f"{name}@{version} has no {path}")
            return member.read().decode()


if __name__ == "__main__":
    main()
