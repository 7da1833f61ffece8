"""A table whose fields need other inputs than text, and whose rows are refused for more reasons."""

from __future__ import annotations

import datetime as dt
from typing import Literal, Self

import pydantic

from clusterlite import Entity, Field


class Account(Entity, table="accounts"):
    owner: str = Field(title="Owner", unique=True)
    plan: Literal["small", "large"] = Field("small", title="Plan")
    seats: int = Field(1, title="Seats", description="How many may sign in.")
    active: bool = Field(True, title="Active")
    until: dt.date | None = Field(None, title="Until")
    tags: list[str] = Field(default_factory=list, title="Tags")

    @pydantic.model_validator(mode="after")
    def _small_is_small(self) -> Self:
        if self.plan == "small" and self.seats > 5:
            raise ValueError("a small plan has at most 5 seats")
        return self
