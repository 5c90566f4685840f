"""`kind: Loadbalancer` and the like: the objects that `loxicmd apply -f` takes."""

import json
import re
from collections.abc import Mapping
from typing import Any

from headrace.cli.client import Client, Failure
from headrace.cli.rules import BFD, CONFIG, HOSTS, RULE_EXISTS, RULES

_PATHS = {
    "loadbalancer": RULES,
    "lb": RULES,
    "endpoint": HOSTS,
    "endpoints": HOSTS,
    "ep": HOSTS,
    "bfd": BFD,
    "firewall": f"{CONFIG}/firewall",
    "firewalls": f"{CONFIG}/firewall",
    "fw": f"{CONFIG}/firewall",
}
_KIND = re.compile(r"^kind\s*:", re.MULTILINE)


def is_object(text: str) -> bool:
    """Whether a text is such an object: a document has no key `kind`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _KIND.search(text) is not None
    return isinstance(value, Mapping) and "kind" in value


def apply_object(client: Client, file: str, text: str) -> str:
    """Send an object to its path; what has come of it, in a word."""
    from headrace.model import ConfigError, parse_values

    try:
        value = parse_values(text)
    except ConfigError as error:
        raise Failure(f"{file}: {error}") from error
    if not isinstance(value, Mapping):
        value = {}
    kind = str(value.get("kind", ""))
    path = _PATHS.get(kind.lower())
    if path is None:
        kinds = "Loadbalancer, Endpoint, BFD or Firewall"
        raise Failure(f"{file}: kind {kind!r} is not served by headrace; use {kinds}")
    spec = value.get("spec")
    if not isinstance(spec, Mapping):
        raise Failure(f"{file}: spec is no mapping of keys to values; write it as one")
    try:
        return str(client.send("POST", path, json.dumps(_body(spec), default=str))["result"])
    except Failure as failure:
        if str(failure) == RULE_EXISTS:
            return "Success, as it was already"
        raise Failure(f"{file}: {failure}") from failure


def _body(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a request: there the host of a rule is not called `path`."""
    arguments = spec.get("serviceArguments")
    if not isinstance(arguments, Mapping):
        return dict(spec)
    renamed = {("host" if key == "path" else key): value for key, value in arguments.items()}
    return {**spec, "serviceArguments": renamed}
