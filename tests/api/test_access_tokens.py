"""Tokens: shown once, kept as digests, by one process or by several."""

import errno
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headrace.api import Role, TokenFile
from headrace.api import tokens as tokens_module
from headrace.model import ConfigError, ConflictError, NotFoundError, UnavailableError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_a_token_is_found_by_itself_alone(folder: Path) -> None:
    tokens = TokenFile(folder)
    secrets = {
        name: tokens.create(name, role, NOW) for name, role in (("a", Role.READ), ("b", Role.WRITE))
    }

    found = tokens.find(secrets["b"], NOW)

    assert found is not None
    assert (found.name, found.role, found.created) == ("b", Role.WRITE, NOW)
    assert [tokens.find(text, NOW) for text in ("", "b", secrets["a"] + "x")] == [None] * 3


def test_the_file_has_no_token_and_one_reader(folder: Path) -> None:
    secret = TokenFile(folder).create("ci", Role.WRITE, NOW)

    path = folder / "tokens.json"
    assert secret.removeprefix("headrace_") not in path.read_text()
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, folder)] == [0o600, 0o700]


def test_a_token_has_256_random_bits(folder: Path) -> None:
    secrets = {TokenFile(folder).create(f"t{n}", Role.READ, NOW) for n in range(9)}

    assert {len(secret) for secret in secrets} == {len("headrace_") + 43}
    assert len(secrets) == 9


def test_another_process_makes_and_revokes(folder: Path) -> None:
    daemon, command = TokenFile(folder), TokenFile(folder)
    before = daemon.tokens()
    secret = command.create("ci", Role.READ, NOW)
    during = daemon.find(secret, NOW)
    command.revoke("ci")

    assert before == []
    assert during is not None
    assert daemon.find(secret, NOW) is None


def test_two_at_once_lose_nothing(folder: Path) -> None:
    def make(first: int) -> None:
        for number in range(first, first + 20):
            TokenFile(folder).create(f"t{number}", Role.READ, NOW)

    threads = [threading.Thread(target=make, args=[first]) for first in (0, 20, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(TokenFile(folder).tokens()) == 60


def test_a_disk_that_fails_leaves_the_file_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = TokenFile(folder).create("ci", Role.READ, NOW)
    before = (folder / "tokens.json").read_bytes()

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("headrace.api.tokens.os.fsync", fail)
    with pytest.raises(UnavailableError, match="Input/output error"):
        TokenFile(folder).create("other", Role.WRITE, NOW)

    assert (folder / "tokens.json").read_bytes() == before
    assert TokenFile(folder).find(secret, NOW) is not None


@pytest.mark.parametrize("name", ["", "a b", "-x", "a\n", "x" * 65, "ä"])
def test_a_name_that_is_no_name_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="is not a name of 1 to 64"):
        TokenFile(folder).create(name, Role.READ, NOW)


def test_a_name_is_taken_once(folder: Path) -> None:
    tokens = TokenFile(folder)
    secret = tokens.create("ci", Role.READ, NOW)

    with pytest.raises(ConflictError, match="there is a token ci; revoke it"):
        tokens.create("ci", Role.WRITE, NOW)

    assert tokens.find(secret, NOW) is not None


def test_tokens_end_at_their_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "LIMIT_TOKENS", 2)
    tokens = TokenFile(folder)
    for name in ("a", "b"):
        tokens.create(name, Role.READ, NOW)

    with pytest.raises(ConflictError, match="there are 2 tokens, the limit; revoke some"):
        tokens.create("c", Role.READ, NOW)


def test_a_token_opens_nothing_from_its_end_on(folder: Path) -> None:
    end = NOW + timedelta(hours=1)
    secret = TokenFile(folder).create("ci", Role.READ, NOW, expires=end)

    tokens = TokenFile(folder)
    found = [tokens.find(secret, end - timedelta(microseconds=1)), tokens.find(secret, end)]

    assert [each and each.name for each in found] == ["ci", None]


def test_what_is_not_there_is_not_revoked(folder: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no token ci"):
        TokenFile(folder).revoke("ci")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tokens": [{}]}', '{"tokens": [1]}'])
def test_a_damaged_file_is_told_and_kept(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "tokens.json").write_text(text)

    for use in (TokenFile(folder).tokens, lambda: TokenFile(folder).create("a", Role.READ, NOW)):
        with pytest.raises(UnavailableError, match="is damaged; move it away"):
            use()

    assert (folder / "tokens.json").read_text() == text
