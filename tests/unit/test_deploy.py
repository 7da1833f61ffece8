"""What `deploy/` says is what the program has: settings, options, ports, paths, and the rules that
its guarantees rest on.
"""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from clusterlite.cli.child import EXIT_REFUSED
from clusterlite.cli.children import STOP_WAIT_S
from clusterlite.cli.commands import EXIT_USAGE, app
from clusterlite.config import Settings
from clusterlite.log.kafka import KafkaLog
from clusterlite.log.open import make_log
from clusterlite.testing.cluster.nginx import Nginx, NginxMissing
from tests.processes import leave_out

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NODES = ["node-1", "node-2", "node-3"]
PORT = Settings.model_fields["port"].default
ENVIRONMENT = {f"CLUSTERLITE_{name.upper()}" for name in Settings.model_fields}


def instructions(name: str) -> list[str]:
    """The arguments of each instruction of the Dockerfile with this name."""
    lines = re.sub(r"(?m)^ *#.*\n", "", DOCKERFILE).replace("\\\n", " ")
    return [line.partition(" ")[2].strip() for line in lines.splitlines() if line.startswith(name)]


def image_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in instructions("ENV ") for pair in line.split())


def from_clone() -> list[str]:
    """What the Dockerfile copies out of the clone."""
    copied = [line.split()[:-1] for line in instructions("COPY ") if "--from=" not in line]
    return [source for sources in copied for source in sources]


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "clusterlite.service")
    return parser


def options_of(command: str) -> set[str]:
    """The options that a command of `clusterlite` has."""
    group = typer.main.get_command(app)
    return {name for param in group.commands[command].params for name in param.opts}  # type: ignore[attr-defined]


# The image.


@pytest.mark.parametrize("source", from_clone())
def test_what_the_image_is_built_of_is_there_and_not_ignored(source: str) -> None:
    assert (ROOT / source).exists()
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert source in allowed


def test_nothing_is_let_into_the_image_that_is_not_there() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert allowed == set(from_clone())


def test_the_image_installs_what_is_pinned_by_hash_and_nothing_else() -> None:
    installs = [line for line in instructions("RUN ") if " install " in line and "pip" in line]
    first, second = installs
    assert "--require-hashes" in first
    assert first.endswith("-r requirements/run.txt")
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(second.split())


def test_the_images_python_is_one_that_the_package_takes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tags = re.findall(r"(?m)^FROM python:3\.(\d+)-slim", DOCKERFILE)
    assert len(tags) == 2
    assert len(set(tags)) == 1
    assert f"Programming Language :: Python :: 3.{tags[0]}" in project["classifiers"]


def test_the_image_runs_as_a_user_of_its_own() -> None:
    (user,) = instructions("USER ")
    number = user.partition(":")[0]
    assert number.isdigit()
    assert number != "0"
    assert f"--uid {number}" in DOCKERFILE
    assert DOCKERFILE.index("\nUSER ") < DOCKERFILE.index("\nENTRYPOINT ")


def test_the_images_settings_exist_and_its_ports_agree() -> None:
    environment = image_environment()
    ours = {name for name in environment if name.startswith("CLUSTERLITE_")}
    assert ours
    assert ours <= ENVIRONMENT
    assert instructions("EXPOSE ") == [str(PORT)]
    assert environment["CLUSTERLITE_PORT"] == str(PORT)
    assert instructions("VOLUME ") == [environment["CLUSTERLITE_DATA"]]
    (start,) = instructions("CMD ")
    assert start == '["serve"]'
    assert instructions("ENTRYPOINT ") == ['["clusterlite"]']


# Compose.


def test_each_node_has_a_name_and_a_volume_of_its_own() -> None:
    data = image_environment()["CLUSTERLITE_DATA"]
    for name in NODES:
        service = SERVICES[name]
        assert service["environment"]["CLUSTERLITE_NODE_ID"] == name
        assert service["volumes"] == [f"{name}:{data}"]
        assert service["read_only"] is True
    assert set(COMPOSE["volumes"]) == {*NODES, "redpanda"}


def test_every_setting_that_compose_gives_exists_and_is_taken() -> None:
    given = SERVICES["node-1"]["environment"]
    assert given.keys() <= ENVIRONMENT
    log = make_log(given["CLUSTERLITE_LOG"])
    assert isinstance(log, KafkaLog)
    for name, value in given.items():
        defaults = re.findall(r"\$\{(\w+):-([^}]*)\}", value)
        for variable, default in defaults:
            assert variable == name
            field = Settings.model_fields[name.removeprefix("CLUSTERLITE_").lower()]
            assert default == ",".join(field.default)


def test_compose_starts_everything_in_order_and_again() -> None:
    assert set(SERVICES) == {"redpanda", *NODES, "nginx"}
    for service in SERVICES.values():
        assert service["restart"] == "unless-stopped"
    for name in NODES:
        assert SERVICES[name]["depends_on"] == {"redpanda": {"condition": "service_healthy"}}
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > STOP_WAIT_S
    healthy = {"condition": "service_healthy", "restart": True}
    assert SERVICES["nginx"]["depends_on"] == dict.fromkeys(NODES, healthy)
    assert {"healthcheck"} <= SERVICES["redpanda"].keys() & SERVICES["nginx"].keys()


def test_compose_builds_from_the_clone() -> None:
    build = SERVICES["node-1"]["build"]
    context = (DEPLOY / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")


def test_redpanda_keeps_what_it_acknowledged_and_makes_no_topic_by_itself() -> None:
    command = SERVICES["redpanda"]["command"]
    assert "--unsafe-bypass-fsync=false" in command
    assert not any(word.startswith("--mode") for word in command)
    # rpk reads this option by hand, in two words only.
    given = {command[at + 1] for at, word in enumerate(command) if word == "--set"}
    assert given == {
        "redpanda.write_caching_default=false",
        "redpanda.auto_create_topics_enabled=false",
    }
    assert not any(word.startswith("--set=") for word in command)


def test_the_nodes_find_redpanda_where_it_says_it_is() -> None:
    brokers = SERVICES["node-1"]["environment"]["CLUSTERLITE_LOG"].split("/")[2]
    assert f"--advertise-kafka-addr=internal://{brokers}" in SERVICES["redpanda"]["command"]
    assert brokers.partition(":")[0] in SERVICES


def test_nginx_listens_where_compose_publishes_and_only_on_this_machine() -> None:
    (published,) = SERVICES["nginx"]["ports"]
    address, outer, inner = published.split(":")
    assert address == "127.0.0.1"
    assert outer == str(PORT)
    assert f"listen {inner};" in (DEPLOY / "nginx.conf").read_text()
    (mounted,) = SERVICES["nginx"]["volumes"]
    source, target, mode = mounted.split(":")
    assert (DEPLOY / source).samefile(DEPLOY / "nginx.conf")
    assert target.startswith("/etc/nginx/conf.d/")
    assert mode == "ro"


# Nginx.


def test_nginx_knows_the_nodes_by_the_names_and_the_port_that_compose_gives_them() -> None:
    servers = re.findall(r"server (\S+?):(\d+) ", (DEPLOY / "nginx.conf").read_text())
    assert servers == 2 * [(name, str(PORT)) for name in NODES]  # one list for each of its groups


def test_a_real_nginx_takes_the_file(tmp_path: Path) -> None:
    try:
        nginx = Nginx(tmp_path / "nginx", 1, [2, 3, 4])
    except NginxMissing as error:
        leave_out(f"no real Nginx: {error}")
    assert nginx.check() == ""


# systemd.


def test_the_units_command_is_one_that_the_program_takes() -> None:
    program, command, *arguments = shlex.split(unit()["Service"]["ExecStart"])
    assert program.endswith("/bin/clusterlite")
    options = [argument for argument in arguments if argument.startswith("-")]
    assert options
    assert set(options) <= options_of(command)
    folder = Path("/var/lib") / unit()["Service"]["StateDirectory"]
    assert arguments[arguments.index("--data") + 1] == str(folder)


def test_the_unit_leaves_the_order_of_the_end_to_the_supervisor() -> None:
    service = unit()["Service"]
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > STOP_WAIT_S
    assert "KillSignal" not in service


def test_the_unit_starts_nothing_again_that_can_never_start() -> None:
    service = unit()["Service"]
    assert service["Restart"] == "on-failure"
    prevented = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert prevented == {EXIT_USAGE, EXIT_REFUSED}


def test_the_unit_may_write_its_data_folder_only() -> None:
    service = unit()["Service"]
    assert service["DynamicUser"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert "ReadWritePaths" not in service
    assert int(service["LimitNOFILE"]) >= 65_536


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        leave_out("no systemd-analyze to check the unit with; Debian: apt-get install systemd")
    text = (DEPLOY / "clusterlite.service").read_text()
    there = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={shutil.which('true')}", text)
    assert there != text
    file = tmp_path / "clusterlite.service"
    file.write_text(there)
    done = subprocess.run(
        ["systemd-analyze", "verify", file], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
