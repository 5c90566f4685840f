"""Changes of a document that the APIs ask for: pure, and refused with every problem."""

import re
from collections.abc import Iterable

from headrace.model import (
    ConfigError,
    ConflictError,
    Document,
    Problem,
    Service,
    ServiceKey,
    build_service,
    check_document,
)

_RANGE = re.compile(r":(\d+)-\d+/")


def find_service(document: Document, text: str) -> Service | None:
    """The service with this key or name; ConflictError when several bear the name."""
    if is_label(text):
        return next((each for each in document.services if each.label == text), None)
    named = [each for each in document.services if each.name == text]
    if len(named) > 1:
        keys = ", ".join(each.label for each in named)
        raise ConflictError(f"{text} is the name of {len(named)} services; use a key: {keys}")
    return named[0] if named else None


def is_label(text: str) -> bool:
    """Whether the text is a key, as 192.0.2.1:80/tcp or :80-89/tcp; else it can only be a name."""
    try:
        ServiceKey.of_text(_RANGE.sub(r":\1/", text))
    except ValueError:
        return False
    return True


def put_service(document: Document, text: str, raw: object) -> Document:
    """The document with this service in the place that its key or name says."""
    by_name = not is_label(text)
    if by_name and isinstance(raw, dict):
        raw = {"name": text, **raw}
    service = build_service(raw)
    if not by_name and service.label != text:
        raise ConfigError.at("", f"the body describes {service.label}; send it to that key instead")
    if by_name and service.name != text:
        raise ConfigError.at("name", f"{service.name} is not the name in the URL, {text}; use one")
    return with_service(document, service, instead_of=find_service(document, text))


def with_service(document: Document, service: Service, *, instead_of: Service | None) -> Document:
    """The document with a service added, or put where another one was."""
    services = list(document.services)
    places = (n for n, each in enumerate(services) if each is instead_of)
    index = next(places, len(services))
    services[index : index + 1] = [service]
    changed = document.model_copy(update={"services": tuple(services)})
    try:
        check_document(changed, checked=document)
    except ConfigError as error:
        raise ConfigError(inside(error.problems, f"services[{index}]")) from error
    return changed


def without_services(document: Document, labels: Iterable[str]) -> Document:
    """The document without the services of these labels."""
    gone = set(labels)
    kept = tuple(each for each in document.services if each.label not in gone)
    return document.model_copy(update={"services": kept})


def inside(problems: Iterable[Problem], path: str) -> list[Problem]:
    """The problems as one who sent only the part at this path sees them."""
    return [
        Problem(
            problem.path.removeprefix(path).removeprefix("."),
            problem.message.replace(f"{path}.", ""),
        )
        if problem.path.startswith(path)
        else problem
        for problem in problems
    ]
