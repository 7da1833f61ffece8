"""A real Nginx over nodes on loopback, with the configuration that `deploy/` ships."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from clusterlite.testing.cluster.place import NGINX_CONFIG

_MAIN = """
daemon off;
{user}
error_log {folder}/error.log warn;
pid {folder}/nginx.pid;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


class NginxMissing(Exception):
    """There is no Nginx on this machine; says how to get one."""


def find_nginx() -> str:
    """The binary.

    Raises:
        NginxMissing: there is none.
    """
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise NginxMissing("no nginx on the path; Debian: apt-get install nginx-light")
    return found


class Nginx:
    """One Nginx in the foreground, with a folder of its own.

    Args:
        folder: for its configuration and logs.
        port: to listen on, on loopback.
        nodes: ports of the nodes.
    """

    def __init__(self, folder: Path, port: int, nodes: list[int]) -> None:
        self.port = port
        self._folder = folder
        self._binary = find_nginx()
        folder.mkdir(parents=True, exist_ok=True)
        site = NGINX_CONFIG.read_text()
        site = re.sub(
            r"server node-(\d):8082", lambda m: f"server 127.0.0.1:{nodes[int(m[1]) - 1]}", site
        )
        site = site.replace("listen 8082;", f"listen 127.0.0.1:{port};")
        (folder / "site.conf").write_text(site)
        # Where root starts it, its workers are nobody, who may not enter a folder of root's.
        user = "user root;" if os.getuid() == 0 else ""
        (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=user))
        self._process: subprocess.Popen[bytes] | None = None

    def check(self) -> str:
        """What Nginx says of the configuration; empty where it is sound."""
        done = subprocess.run(self._command("-t"), capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stderr

    def start(self) -> None:
        """Start it; it listens when this returns, or a moment later."""
        wrong = self.check()
        if wrong:
            raise RuntimeError(wrong)
        with (self._folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(self._command(), stdout=output, stderr=output)

    def stop(self) -> None:
        """End it, with its workers."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def _command(self, *more: str) -> list[str]:
        config = str(self._folder / "nginx.conf")
        return [self._binary, "-p", str(self._folder), "-c", config, *more]
