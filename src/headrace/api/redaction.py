"""No answer of the API has a secret in it, and no request has to send one back.

Every route asks an operator that shows a mark where BGP passwords are. A document that comes back
with the mark keeps the password that its peer has.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from headrace.control.journal import Journal
from headrace.control.log_level import LogLevel
from headrace.control.ports import Operator
from headrace.control.views import RevisionDocument, RevisionView, Status
from headrace.model import Document, Explanation, Flow, Problem, RememberedFlow
from headrace.model.problems import refusal

MARK = "<secret>"
"""In place of a password; as a password itself it would be a poor one."""


class Redacted:
    """An operator whose documents have no secrets in them. An Operator."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    @property
    def document(self) -> Document:
        """The document in force, as everybody may see it."""
        return hide_secrets(self._operator.document)

    @property
    def revision(self) -> int:
        """The number of the document in force."""
        return self._operator.revision

    @property
    def journal(self) -> Journal:
        """What happened of late; no event has a secret in it."""
        return self._operator.journal

    @property
    def log_level(self) -> LogLevel:
        """How much is logged."""
        return self._operator.log_level

    async def edit(self, change: Callable[[Document], Document], *, author: str) -> int:
        """Change the document as it is shown; secrets that are still marked stay."""
        return await self._operator.edit(
            lambda document: keep_secrets(change(hide_secrets(document)), document), author=author
        )

    async def history(self, limit: int) -> tuple[RevisionView, ...]:
        """The newest revisions, newest first; what changed is told by paths, without values."""
        return await self._operator.history(limit)

    async def at(self, number: int) -> RevisionDocument:
        """One revision, its document as everybody may see it."""
        revision = await self._operator.at(number)
        return replace(revision, document=hide_secrets(revision.document))

    async def rollback(self, number: int, *, author: str, check: Callable[[], None]) -> int:
        """Put an earlier revision's document in force, with the secrets that it had."""
        return await self._operator.rollback(number, author=author, check=check)

    def status(self) -> Status:
        """The node as it stands."""
        return self._operator.status()

    def explain(self, flows: Iterable[Flow]) -> list[Explanation]:
        """Where the data plane sends each flow."""
        return self._operator.explain(flows)

    def remembered_flows(self, limit: int) -> list[RememberedFlow]:
        """Flows that the data plane knows one by one."""
        return self._operator.remembered_flows(limit)


def hide_secrets(document: Document) -> Document:
    """The document with a mark for each secret."""
    return _with_passwords(
        document, [peer.password and MARK for peer in document.bgp.peers] if document.bgp else []
    )


def keep_secrets(document: Document, before: Document) -> Document:
    """The document with the secrets of an earlier one where it has marks.

    Raises ConfigError for a mark that nothing stands behind.
    """
    peers = document.bgp.peers if document.bgp else ()
    known = {peer.address: peer.password for peer in (before.bgp.peers if before.bgp else ())}
    passwords, problems = [], []
    for index, peer in enumerate(peers):
        password = known.get(peer.address) if peer.password == MARK else peer.password
        if peer.password == MARK and password is None:
            problems.append(
                Problem(
                    f"bgp.peers[{index}].password",
                    f"{MARK} stands for a password that is kept, and there is none for "
                    f"{peer.address}; write the password",
                )
            )
        passwords.append(password)
    if problems:
        raise refusal(problems)
    return _with_passwords(document, passwords)


def _with_passwords(document: Document, passwords: list[str | None]) -> Document:
    """The document with these passwords, one a peer; the same object if they are its own."""
    if document.bgp is None or passwords == [peer.password for peer in document.bgp.peers]:
        return document
    peers = tuple(
        peer.model_copy(update={"password": password})
        for peer, password in zip(document.bgp.peers, passwords, strict=True)
    )
    return document.model_copy(update={"bgp": document.bgp.model_copy(update={"peers": peers})})
