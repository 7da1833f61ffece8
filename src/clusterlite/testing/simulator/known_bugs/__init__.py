"""Known bugs: each changes one line of product behaviour, and each must turn a run red.

    python -m clusterlite.testing.simulator.known_bugs

The checker knows nothing of them. A run that no bug can redden proves nothing.
"""

from __future__ import annotations

from clusterlite.testing.simulator.known_bugs.hunt import KNOWN_BUGS, Sighting, hunt, hunt_all
from clusterlite.testing.simulator.known_bugs.switch import Bug, Switch, Trial

__all__ = ["KNOWN_BUGS", "Bug", "Sighting", "Switch", "Trial", "hunt", "hunt_all"]
