"""What is asked to be explained, and what is told of it."""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from headrace.api import schemas
from headrace.api.bodies import read_json
from headrace.model import ConfigError, Explanation, Flow, Problem
from headrace.model.problems import problems_of

_flows = TypeAdapter(list[schemas.FlowBody])


def read_explain(text: str) -> schemas.UnreadFlows:
    """A request's body. Raises ConfigError."""
    try:
        return schemas.UnreadFlows.model_validate(read_json(text))
    except ValidationError as error:
        raise ConfigError(problems_of(error)) from error


def read_flows(raw: Sequence[object], start: int) -> list[Flow]:
    """Some of a request's flows, which begin at an index."""
    try:
        return [body.value() for body in _flows.validate_python(raw)]
    except ValidationError as error:
        raise ConfigError(_shifted(problems_of(error), start)) from error


def _shifted(problems: Sequence[Problem], start: int) -> list[Problem]:
    """The problems of `[2].source` as those of `flows[502].source`."""
    shifted = []
    for problem in problems:
        index, _, rest = problem.path.removeprefix("[").partition("]")
        shifted.append(Problem(f"flows[{start + int(index)}]{rest}", problem.message))
    return shifted


def told_explanation(explanation: Explanation, *, steps: bool) -> dict[str, Any]:
    """An explanation as plain values; 10,000 of them are asked for at once."""
    flow, path = explanation.flow, explanation.path
    return {
        "flow": {
            "protocol": str(flow.protocol),
            "source": str(flow.source),
            "source_port": flow.source_port,
            "destination": str(flow.destination),
            "destination_port": flow.destination_port,
        },
        "verdict": explanation.verdict,
        "service": _text(explanation.service),
        "hash": explanation.hash32,
        "slot": explanation.slot,
        "endpoint": _text(explanation.endpoint),
        "encapsulation": _text(path.encapsulation if path else None),
        "outer_source": _text(path.outer_source if path else None),
        "outer_destination": _text(path.outer_destination if path else None),
        "steps": explanation.steps if steps else (),
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)
