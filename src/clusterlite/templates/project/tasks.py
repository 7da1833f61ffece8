"""What is stored: each class is a table, its REST routes and its part of the page."""

from datetime import date

from clusterlite import Entity, Field


class Task(Entity, table="tasks"):
    """Something to do."""

    title: str = Field(min_length=1, max_length=200, unique=True)
    done: bool = False
    due: date | None = None
