"""The rooms: listed in the contracts, named for what they hold, honest about what they offer."""

import configparser
import importlib
import re
from types import ModuleType

import pytest

from tests.house.source import ROOMS, ROOT, python_modules, room_names

JUNK_DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "shared"}


def listed_rooms() -> set[str]:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    return set(re.findall(r"\w+", contracts["importlinter:contract:rooms"]["layers"]))


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
