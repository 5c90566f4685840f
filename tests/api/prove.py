"""Schemathesis over every route of `/v1`, by the OpenAPI document: a figure a check.

`python -m tests.api.prove [EXAMPLES] [SEED]`; exit code 1 where it finds something.
"""

import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis
import structlog
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from headrace.api import Listening
from tests.api.conftest import find_free_port
from tests.api.fakes import FakeOperator, running_api

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
EXAMPLES = 200  # an operation
SEED = 20260101


class Prover:
    """Asks an API what its own description allows and forbids, and judges the answers."""

    def __init__(self, url: str, *, examples: int, seed_number: int) -> None:
        self._schema = schemathesis.openapi.from_url(f"{url}/v1/openapi.json")
        self._examples = examples
        self._seed = seed_number
        self.asked: Counter[str] = Counter()  # by operation
        self.found: Counter[str] = Counter()  # by check
        self.findings: list[str] = []
        self.answered: Counter[int] = Counter()  # by status

    def run(self) -> None:
        """Ask every operation."""
        for result in self._schema.get_all_operations():
            operation = result.ok()  # type: ignore[union-attr]  # raises where our document is wrong
            strategy = operation.as_strategy(
                generation_mode=schemathesis.GenerationMode.POSITIVE
            ) | operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
            self._ask(operation.label, strategy)

    def _ask(self, label: str, strategy: Any) -> None:
        @seed(self._seed)
        @settings(
            max_examples=self._examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def ask(case: Any) -> None:
            if label.endswith("/v1/events"):
                case.query = {**(case.query or {}), "follow": "false"}  # else it has no end
            self.asked[label] += 1
            answer = case.call(timeout=20)
            self.answered[answer.status_code] += 1
            for check in CHECKS:
                self._judge(label, case, answer, check)

        ask()

    def _judge(self, label: str, case: Any, answer: Any, check: Any) -> None:
        try:
            case.validate_response(answer, checks=[check])
        except (FailureGroup, Failure) as error:
            self.found[check.__name__] += 1
            if self.found[check.__name__] <= 5:
                self.findings.append(f"{label}: {check.__name__}: {_texts(error)}")


def _texts(error: Any) -> str:
    failures = error.exceptions if isinstance(error, FailureGroup) else [error]
    return "; ".join(str(each) for each in failures)[:1500]


def prove(folder: Path, port: int, *, examples: int, seed_number: int) -> Prover:
    """What was asked and found, of an API that listens on this port of loopback."""
    address = f"127.0.0.1:{port}"
    socket_path = folder / "api.sock"
    wanted = Listening(socket_path, folder, (address,))
    with running_api(socket_path, FakeOperator(), wanted):
        prover = Prover(f"http://{address}", examples=examples, seed_number=seed_number)
        prover.run()
    return prover


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> None:
    """Run the long form."""
    # A thousand changes are a thousand log lines: only what goes wrong is worth one here.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    examples = int(sys.argv[1]) if len(sys.argv) > 1 else EXAMPLES
    seed_number = int(sys.argv[2]) if len(sys.argv) > 2 else SEED
    with tempfile.TemporaryDirectory() as folder:
        prover = prove(Path(folder), find_free_port(), examples=examples, seed_number=seed_number)
    requests = sum(prover.asked.values())
    _say(f"{len(prover.asked)} operations, {requests} requests, seed {seed_number}")
    _say("answered " + ", ".join(f"{s}: {n}" for s, n in sorted(prover.answered.items())))
    for check in CHECKS:
        count = prover.found[check.__name__]
        _say(f"{check.__name__:30} {count:6} findings   bound 0   {'missed' if count else 'kept'}")
    for finding in prover.findings:
        _say(finding)
    sys.exit(1 if prover.findings or not requests else 0)


if __name__ == "__main__":
    main()
