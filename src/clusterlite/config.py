"""Settings: one frozen value, made at the edge and handed down.

Nothing below reads the environment.

Where a setting comes from, first found wins: the command line, `CLUSTERLITE_…` in the
environment, the TOML file (`--config`, else `clusterlite.toml` where it exists), the default.
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pydantic
from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from clusterlite.errors import ConfigError

SAMPLE: Final = "clusterlite.examples.users"
CONFIG_FILE: Final = Path("clusterlite.toml")
PREFIX: Final = "CLUSTERLITE_"
_HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.(?!-)[A-Za-z0-9-]{1,63})*\.?")


class Settings(BaseSettings):
    """What `clusterlite serve` can be told. The reference lists these defaults."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8082, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data: Path = Field(Path("data"), description="Folder of this node, made where it is absent.")
    log: str = Field(
        "", description="memory:, file:PATH or kafka://host:port[,…]/topic; file:DATA/log if empty."
    )
    node_id: str = Field(
        "", description="Name of this node, for people; the host's and its port if empty."
    )
    cluster: str = Field("", description="Cluster id that the log must have; any if empty.")
    workers: int = Field(1, ge=1, le=64, description="HTTP worker processes.")
    entities: Annotated[tuple[str, ...], NoDecode] = Field(
        (SAMPLE,), description="Where entities are: module or module:name, several with commas."
    )
    allow_origin: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins whose pages may write, several with commas; * for all."
    )
    reload: bool = Field(
        False, description="Serve changed entities at once, while they are being developed."
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="Log lines as text or json; auto: text on a terminal, else json."
    )
    access_log: bool | None = Field(
        None, description="A line for each request; on at a terminal only, if not told."
    )

    @pydantic.field_validator("host")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            return str(ipaddress.ip_address(value.strip("[]")))
        except ValueError:
            # Digits and dots alone are no name: a resolver would be asked in vain.
            if _HOST_NAME.fullmatch(value) and not re.fullmatch(r"[0-9.]+", value):
                return value
        port = value.rpartition("://")[2].rstrip("/").partition(":")[2]
        cure = f"; the port is a setting of its own: --port {port}" if port.isdigit() else ""
        cure = f"; give the address alone{cure}" if "://" in value else cure
        raise ValueError(
            f"{value!r} is no address of this machine, as 127.0.0.1, 0.0.0.0 (everywhere) or ::1"
            f"{cure}"
        )

    @pydantic.field_validator("cluster")
    @classmethod
    def _plain_cluster(cls, value: str) -> str:
        # It stands in headers and cookies, as a part of every token.
        if value and not re.fullmatch(r"[A-Za-z0-9._~-]{1,64}", value):
            raise ValueError(
                f"{value!r} is no cluster id: 1 to 64 letters without accents, digits, '.', '_', "
                "'~' and '-'"
            )
        return value

    @pydantic.field_validator("port", mode="before")
    @classmethod
    def _port(cls, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("tcp://"):
            raise ValueError(
                f"{value!r} is what Kubernetes sets for a service named clusterlite: give the "
                "service another name, or its pods enableServiceLinks: false"
            )
        return value

    @pydantic.field_validator("entities", "allow_origin", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @classmethod
    def settings_customise_sources(  # pydantic-settings gives all of them by name
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The command line, then the environment; `load_settings` adds the file beneath."""
        return (init_settings, env_settings)

    @property
    def log_url(self) -> str:
        """The log, with its default."""
        return self.log or f"file:{self.data / 'log'}"

    @property
    def listens_wide(self) -> bool:
        """Whether others than this machine can reach it."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"


def load_settings(given: dict[str, Any], file: Path | None = None) -> Settings:
    """The settings of this start.

    Args:
        given: on the command line; None stands for not given.
        file: TOML; `clusterlite.toml` by default, if it exists.

    Raises:
        ConfigError: a value or name is not possible; says which.
    """
    for warning in unknown_variables(os.environ):
        sys.stderr.write(f"clusterlite: warning: {warning}\n")
    values = {name: value for name, value in given.items() if value not in {None, ()}}
    try:
        merged = {**_from_file(file), **Settings(**values).model_dump(exclude_unset=True)}
        return Settings(**merged)
    except pydantic.ValidationError as error:
        wrong = "; ".join(_wrong(item["loc"], item["type"], item["msg"]) for item in error.errors())
        raise ConfigError(f"the settings are not possible: {wrong}") from None


def _wrong(place: tuple[int | str, ...], kind: str, message: str) -> str:
    name = ".".join(map(str, place))
    if kind == "extra_forbidden":
        return f"{name}: there is no such setting{_nearest(name)}"
    return f"{name}: {message.removeprefix('Value error, ')}"


def unknown_variables(names: Iterable[str]) -> list[str]:
    """What to warn of in the environment: variables that look like settings and are none.

    Not refused: a later version may know them. What Kubernetes sets for a service named
    clusterlite is passed over.
    """
    ours = {name: name.upper().removeprefix(PREFIX).lower() for name in sorted(names)}
    return [
        f"the environment variable {name} is no setting{_nearest(setting, PREFIX)}"
        for name, setting in ours.items()
        if name.upper().startswith(PREFIX)
        and setting not in Settings.model_fields
        and not setting.startswith(("service_", "port_"))
    ]


def _nearest(name: str, prefix: str = "") -> str:
    close = get_close_matches(name, Settings.model_fields, 1, 0.7)
    shown = prefix + close[0].upper() if close and prefix else "".join(close)
    return f"; did you mean {shown}?" if shown else ""


def _from_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        if not CONFIG_FILE.exists():
            return {}
        file = CONFIG_FILE
    try:
        return {
            name.replace("-", "_"): value for name, value in tomllib.loads(file.read_text()).items()
        }
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is no TOML: {error}") from error
