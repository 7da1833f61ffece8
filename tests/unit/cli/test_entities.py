"""`--entities` that names nothing to serve says what is wrong, where, and what would be right."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterlite.cli.entities import load_entities
from clusterlite.errors import ConfigError

SHOP = """
from decimal import Decimal
from pydantic import BaseModel
from clusterlite import Entity, Field

class Product(Entity, table="products"):
    name: str

class Base(Entity):
    note: str

class Size(BaseModel):
    width: int
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a user stands who starts `serve`; what is imported there is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "stock.py").write_text(SHOP)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def refusal(name: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load_entities([name])
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "tables"),
    [("shop", ["products"]), ("shop:Product", ["products"]), ("models.stock", ["products"])],
)
def test_what_is_named_right_is_found(name: str, tables: list[str]) -> None:
    assert [operations.table_name for operations in load_entities([name])] == tables


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "shop.py",
            "--entities takes a module's name and no file's: for shop.py say --entities shop",
        ),
        (
            "./shop.py",
            "--entities takes a module's name and no file's: for ./shop.py say --entities shop",
        ),
        (
            "models/stock.py",
            (
                "--entities takes a module's name and no file's: for models/stock.py say "
                "--entities models.stock"
            ),
        ),
        (
            "/srv/shop.py",
            (
                "--entities takes a module's name and no file's: for /srv/shop.py stand in the "
                "folder /srv and say --entities shop"
            ),
        ),
        (
            "shpo",
            (
                "the entities' module 'shpo' does not import: no module shpo is in {folder}, and "
                "none is installed; did you mean shop?"
            ),
        ),
        (
            "warehouse",
            (
                "the entities' module 'warehouse' does not import: no module warehouse is in "
                "{folder}, and none is installed; there are models, shop"
            ),
        ),
        ("shop:Produkt", "the module shop has no entity Produkt; did you mean Product?"),
        ("shop:Zebra", "the module shop has no entity Zebra; it has Product"),
        (
            "shop:Base",
            (
                "shop:Base is no entity: its class Base has no table; declare it as "
                'class Base(Entity, table="bases")'
            ),
        ),
        (
            "shop:Size",
            (
                "shop:Size is no entity: its class Size is a plain Pydantic model; declare it as "
                'class Size(Entity, table="sizes")'
            ),
        ),
        ("shop:Decimal", "shop:Decimal is no entity"),
    ],
)
def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(
    folder: Path, name: str, message: str
) -> None:
    assert refusal(name) == message.format(folder=folder)


def test_in_a_folder_without_modules_it_says_where_to_start(folder: Path) -> None:
    (folder / "shop.py").unlink()
    (folder / "models" / "stock.py").unlink()
    assert refusal("shop").endswith("and none is installed; start it in the folder of shop.py")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import math\n1 / 0\n", "ZeroDivisionError: division by zero (own.py, line 2)"),
        (
            "import json\njson.loads('{')\n",
            (
                "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column "
                "2 (char 1) (own.py, line 2)"
            ),
        ),
        ("class User(\n", "SyntaxError: '(' was never closed (own.py, line 1)"),
        ("raise SystemExit('set KEY first')\n", "SystemExit: set KEY first (own.py, line 1)"),
        (
            "\nimport stripes\n",
            (
                "ModuleNotFoundError: No module named 'stripes' (own.py, line 2); install it in "
                "the environment that runs clusterlite"
            ),
        ),
        (
            (
                "from decimal import Decimal\nfrom clusterlite import Entity\n"
                "class Product(Entity, table='products'):\n    price: Decimal\n"
            ),
            (
                "DeclarationError: Product.price: a Decimal needs Field(decimal_places=…): it is "
                "stored as a scaled integer (own.py, line 3)"
            ),
        ),
        (
            "from clusterlite import Entity\nclass User(Entity, tabel='users'):\n    name: str\n",
            (
                "DeclarationError: User: no class argument is named tabel; an entity takes table "
                'and revision, as in class User(Entity, table="users") (own.py, line 2)'
            ),
        ),
    ],
    ids=["raises", "raises below", "syntax", "exits", "dependency", "declaration", "tabel"],
)
def test_a_module_that_fails_is_named_with_file_and_line(
    folder: Path, source: str, found: str
) -> None:
    (folder / "own.py").write_text(source)
    assert refusal("own") == f"the entities' module 'own' does not import: {found}"


@pytest.mark.parametrize(
    ("source", "cure"),
    [
        ("", ': declare one, as class User(Entity, table="users")'),
        (
            "from clusterlite import Entity\nclass User(Entity):\n    name: str\n",
            ': its class User has no table; declare it as class User(Entity, table="users")',
        ),
        (
            "from pydantic import BaseModel\nclass User(BaseModel):\n    name: str\n",
            (
                ": its class User is a plain Pydantic model; declare it as "
                'class User(Entity, table="users")'
            ),
        ),
    ],
    ids=["empty", "no table", "pydantic"],
)
def test_a_module_without_an_entity_says_how_to_declare_one(
    folder: Path, source: str, cure: str
) -> None:
    (folder / "own.py").write_text(source)
    assert refusal("own") == f"the module own defines no entity{cure}"
