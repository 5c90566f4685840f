"""The command line against an API that answers on a unix socket."""

import io
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from headrace.cli.main import main
from tests.api.fakes import Api, FakeOperator, running_api


@dataclass(frozen=True)
class Done:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Headrace = Callable[..., Done]


@pytest.fixture
def operator() -> FakeOperator:
    return FakeOperator()


@pytest.fixture
def api(tmp_path: Path, operator: FakeOperator) -> Iterator[Api]:
    with running_api(tmp_path / "api.sock", operator) as running:
        yield running


@pytest.fixture
def headrace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], api: Api
) -> Iterator[Headrace]:
    """Runs `headrace` with arguments, in this process, against the API."""
    monkeypatch.setenv("HEADRACE_SERVER", f"unix:{api.path}")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("HEADRACE_TOKEN_FILE", raising=False)
    # The API logs in this process, too: not into what a command prints.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

    def run(*arguments: str, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "argv", ["headrace", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return Done(code, out, err)

    yield run
    structlog.reset_defaults()  # some commands have it write to this test's stderr
