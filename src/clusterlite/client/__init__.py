"""A client over HTTP that retries by itself: each write has one effect, or none, and says which.

    client = Client(["http://node-1:8082", "http://node-2:8082"])
    ann = client.create("users", {"name": "Ann", "email": "ann@example.com"})
    client.get("users", ann["id"])

1. Every write carries an idempotency key, so it may be sent again, to any node. It is, after a
   lost connection, 503, 504 or 202, until its outcome is known or the call's time is over.
2. "It did not happen" is raised only where no try can have reached the log, or the log says so;
   never for a caller's own key, which an earlier call may have brought there.
   Where one may have, the event is settled or `OutcomeUnknown` raised: see `Client`.
3. Reads carry the newest token that this client was given, so they see its own writes at
   whichever node, and never go back (I7).

It may be used from any thread; its connections are the standard library's.
"""

from clusterlite.client.answers import Changed, Refused, Row
from clusterlite.client.client import TIMEOUT_S, Client

__all__ = ["TIMEOUT_S", "Changed", "Client", "Refused", "Row"]
