"""The rooms: listed in the contracts, named for what they hold, honest about what they offer."""

import configparser
import importlib
import re
from types import ModuleType

import pytest

from tests.house.source import ROOMS, ROOT, python_modules, room_names

ARCHITECTURE = ROOT / "ARCHITECTURE.md"
JUNK_DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "shared"}


def listed_rooms() -> set[str]:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    return set(re.findall(r"\w+", contracts["importlinter:contract:rooms"]["layers"]))


def layers() -> dict[str, int]:
    """The layer of each room that exists, by the contract; 0 is the top one."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    lines = contracts["importlinter:contract:rooms"]["layers"].strip().splitlines()
    found = {room: layer for layer, line in enumerate(lines) for room in re.findall(r"\w+", line)}
    return {room: layer for room, layer in found.items() if room in room_names()}


def pictured_rooms() -> list[str]:
    """The rooms as ARCHITECTURE.md draws them, from the top: left of what they do."""
    _, _, rest = ARCHITECTURE.read_text().partition(".----v")
    box, _, _ = rest.partition("'----")
    rows = re.findall(r"^ +\| (\w+(?: \| \w+)*)  ", box, re.MULTILINE)
    return [room for row in rows for room in row.split(" | ")]


def described_rooms() -> list[str]:
    """The rooms in the table of ARCHITECTURE.md."""
    _, _, rows = ARCHITECTURE.read_text().partition("| room | holds | must not |\n|---|---|---|\n")
    table, _, _ = rows.partition("\n\n")
    return [
        room for row in table.splitlines() for room in row.split(" | ")[0].strip("| ").split(", ")
    ]


def exports(room: ModuleType) -> set[str]:
    return {
        name
        for name, value in vars(room).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }


def test_every_package_is_a_room_of_the_contract() -> None:
    folders = {path.parent.relative_to(ROOMS).parts[0] for path in ROOMS.glob("*/**/*.py")}

    assert folders - listed_rooms() == set()


def test_every_room_is_a_package() -> None:
    folders = {path.parent.relative_to(ROOMS).parts[0] for path in ROOMS.glob("*/**/*.py")}

    assert folders - set(room_names()) == set()


def test_the_picture_of_the_rooms_is_the_contract() -> None:
    rooms, layer_of = pictured_rooms(), layers()

    assert sorted(rooms) == sorted(layer_of)
    assert rooms == sorted(rooms, key=layer_of.__getitem__)


def test_every_room_is_described_once() -> None:
    assert sorted(described_rooms()) == room_names()


def test_nothing_is_called_by_a_name_that_says_nothing() -> None:
    names = {
        module.name: set(module.path.with_suffix("").parts) for module in python_modules("src")
    }

    assert [name for name, parts in names.items() if parts & JUNK_DRAWERS] == []


@pytest.mark.parametrize("name", room_names())
def test_a_room_says_what_it_is_for(name: str) -> None:
    room = importlib.import_module(f"headrace.{name}")

    assert room.__doc__


@pytest.mark.parametrize("name", room_names())
def test_a_room_lists_exactly_what_it_offers(name: str) -> None:
    room = importlib.import_module(f"headrace.{name}")

    assert set(getattr(room, "__all__", ())) == exports(room)
