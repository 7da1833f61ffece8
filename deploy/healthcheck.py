"""Whether this machine's node is ready: exit code 0 or 1, and the node's own words.

The image's health check. It needs the standard library only, and starts in a moment.
"""

import http.client
import os
import sys

TIMEOUT_S = 4.0


def main() -> int:
    """Ask the node that listens where the environment says."""
    port = int(os.environ.get("CLUSTERLITE_PORT") or 8082)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/-/health/ready")
        answer = connection.getresponse()
        print(answer.read().decode())
    except (OSError, http.client.HTTPException) as error:
        print(f"the node does not answer on port {port}: {error}")
        return 1
    return 0 if answer.status == http.HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())
