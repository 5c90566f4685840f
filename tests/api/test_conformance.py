"""What the OpenAPI document says of `/v1` is so: the short form of `tests.api.prove`."""

import json
import warnings
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from headrace.api import build_app
from headrace.api.examples import EXAMPLES
from tests.api.fakes import FakeHost, FakeOperator
from tests.api.prove import SEED, prove

DESCRIBED = build_app(FakeOperator(), FakeHost()).openapi()


@pytest.mark.filterwarnings("ignore")
def test_random_requests_find_nothing_that_the_description_does_not_say(
    tmp_path: Path, free_port: int
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prover = prove(tmp_path, free_port, examples=4, seed_number=SEED)

    assert prover.findings == []
    assert len(prover.asked) > 30
    assert prover.answered[200] > 20


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_what_its_schema_says(name: str) -> None:
    schema: dict[str, Any] = {
        "$ref": f"#/components/schemas/{name}",
        "components": json.loads(json.dumps(DESCRIBED["components"])),
    }

    assert [e.message for e in jsonschema_rs.iter_errors(schema, EXAMPLES[name])] == []


def test_every_field_of_every_body_says_what_it_is() -> None:
    silent = [
        f"{name}.{key}"
        for name, schema in DESCRIBED["components"]["schemas"].items()
        for key, told in schema.get("properties", {}).items()
        if not told.get("description")
    ]

    assert silent == []
