"""The sample: users with a name and an address, as in the program's first version.

clusterlite serve --entities examples.users
"""

from clusterlite import Entity, Field


class User(Entity, table="users"):
    """Somebody."""

    name: str = Field(min_length=1, max_length=200, title="Name")
    email: str = Field(min_length=1, max_length=200, title="Email")
