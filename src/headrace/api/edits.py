"""Changes of a document that the APIs ask for: pure, and refused with every problem."""

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


def find_service(document: Document, text: str) -> Service | None:
    """The service with this key or name; ConflictError when several bear the name."""
    key = read_key(text)
    if key is not None:
        return next((each for each in document.services if each.key == key), None)
    named = [each for each in document.services if each.name == text]
    if len(named) > 1:
        keys = ", ".join(str(each.key) for each in named)
        raise ConflictError(f"{text} is the name of {len(named)} services; use a key: {keys}")
    return named[0] if named else None


def read_key(text: str) -> ServiceKey | None:
    """The key that reads so; None when the text can only be a name."""
    try:
        return ServiceKey.of_text(text)
    except ValueError:
        return None


def put_service(document: Document, text: str, raw: object) -> Document:
    """The document with this service in the place that its key or name says."""
    key = read_key(text)
    if key is None and isinstance(raw, dict):
        raw = {"name": text, **raw}
    service = build_service(raw)
    if key is not None and service.key != key:
        raise ConfigError.at("", f"the body describes {service.key}; send it to that key instead")
    if key is None and service.name != text:
        raise ConfigError.at("name", f"{service.name} is not the name in the URL, {text}; use one")
    return with_service(document, service, instead_of=find_service(document, text))


def with_service(document: Document, service: Service, *, instead_of: Service | None) -> Document:
    """The document with a service added, or put where another one was."""
    services = list(document.services)
    index = len(services) if instead_of is None else services.index(instead_of)
    services[index : index + 1] = [service]
    changed = document.model_copy(update={"services": tuple(services)})
    try:
        check_document(changed)
    except ConfigError as error:
        raise ConfigError(_inside(error.problems, f"services[{index}]")) from error
    return changed


def without_services(document: Document, keys: Iterable[ServiceKey]) -> Document:
    """The document without the services of these keys."""
    gone = set(keys)
    kept = tuple(each for each in document.services if each.key not in gone)
    return document.model_copy(update={"services": kept})


def _inside(problems: Iterable[Problem], path: str) -> list[Problem]:
    """The problems as one who sent only the part at this path sees them."""
    return [
        Problem(problem.path.removeprefix(path).removeprefix("."), problem.message)
        if problem.path.startswith(path)
        else problem
        for problem in problems
    ]
