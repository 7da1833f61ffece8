"""What `serve` itself says: sentences for a person, events for a program that reads its lines.

The last words of a command that ends with an error are a sentence in either case.
"""

from __future__ import annotations

import sys
from typing import Any

from clusterlite.telemetry import as_text, get_logger

_log = get_logger("clusterlite.serve")


class Voice:
    """The supervisor's.

    Args:
        log_format: `auto`, `text` or `json`, as for all log output.
    """

    def __init__(self, log_format: str) -> None:
        self.text = as_text(log_format, sys.stderr)

    def say(self, event: str, sentence: str, **fields: Any) -> None:
        """Say one thing.

        Args:
            event: its stable name.
            sentence: for a person.
            fields: the same for a program.
        """
        if self.text:
            sys.stderr.write(f"clusterlite: {sentence}\n")
            sys.stderr.flush()
        else:
            _log.info(event, **fields)
