"""Where the parts of a cluster are kept that are fetched once, and where those are that ship."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).resolve().parent
_CLONE: Final = _HERE.parents[3]
_IN_CLONE: Final = (_CLONE / "tools" / "setup.py").exists()

CACHE: Final = (
    _CLONE / ".cache"
    if _IN_CLONE
    else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clusterlite"
)
"""In a clone its own; of an installed package the user's."""

NGINX_CONFIG: Final = (_CLONE / "deploy" if _IN_CLONE else _HERE) / "nginx.conf"
"""What `deploy/` has; a wheel carries it beside this file."""
