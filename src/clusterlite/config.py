"""Settings: one frozen value, made at the edge and handed down.

Nothing below reads the environment.

Where a setting comes from, first found wins: the command line, `CLUSTERLITE_…` in the
environment, the TOML file (`--config`, else `clusterlite.toml` where it exists), the default.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final

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
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Settings(BaseSettings):
    """What `clusterlite serve` can be told. The reference lists these defaults."""

    model_config = SettingsConfigDict(
        env_prefix="CLUSTERLITE_", extra="forbid", frozen=True, env_ignore_empty=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8082, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data: Path = Field(Path("data"), description="Folder of this node, made where it is absent.")
    log: str = Field(
        "", description="memory:, file:PATH or kafka://host:port[,…]/topic; file:DATA/log if empty."
    )
    node_id: str = Field("", description="Name of this node, for people; the host's if empty.")
    cluster: str = Field("", description="Cluster id that the log must have; any if empty.")
    workers: int = Field(1, ge=1, le=64, description="HTTP worker processes.")
    entities: Annotated[tuple[str, ...], NoDecode] = Field(
        (SAMPLE,), description="Where entities are: module or module:name, several with commas."
    )
    allow_origin: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins whose pages may write, several with commas; * for all."
    )

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
        return self.host not in LOOPBACK


def load_settings(given: dict[str, Any], file: Path | None = None) -> Settings:
    """The settings of this start.

    Args:
        given: on the command line; None stands for not given.
        file: TOML; `clusterlite.toml` by default, if it exists.

    Raises:
        ConfigError: a value or name is not possible; says which.
    """
    values = {name: value for name, value in given.items() if value not in {None, ()}}
    try:
        merged = {**_from_file(file), **Settings(**values).model_dump(exclude_unset=True)}
        return Settings(**merged)
    except pydantic.ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
        )
        raise ConfigError(f"the settings are not possible: {wrong}") from None


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
