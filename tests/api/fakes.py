"""An operator that keeps a real document and forwards nothing, and ways to reach its API."""

import asyncio
import http.client
import json
import os
import pwd
import socket
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from headrace.api import NOWHERE, Listening, build_app, listening, serve
from headrace.api.host import Device, Filesystem, HostProcess, HostRoute, Interface
from headrace.control.history import read_revision, view_history
from headrace.control.journal import DocumentChanged, Journal
from headrace.control.log_level import LogLevel
from headrace.control.views import (
    EndpointView,
    PeerView,
    PortView,
    RevisionDocument,
    RevisionView,
    ServiceView,
    Status,
    pools_of,
)
from headrace.model import (
    BfdState,
    Count,
    Document,
    Explanation,
    Flow,
    Health,
    NextHop,
    NotFoundError,
    PortMode,
    RememberedFlow,
    Service,
    ServiceKey,
    SessionState,
    VerdictCount,
    check_document,
    dump_document,
)
from headrace.model import Path as ReachPath
from headrace.model.values import prefix_rank
from headrace.store import Revision

TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

OWN_USER = f"uid:{os.getuid()} ({pwd.getpwuid(os.getuid()).pw_name})"
"""How the history names who runs these tests."""


@dataclass
class FakeOperator:
    """Keeps revisions as the controller does; the data plane behind it is made up."""

    document: Document = field(default_factory=Document)
    revision: int = 0
    authors: list[str] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    failure: Exception | None = None
    unreachable: set[str] = field(default_factory=set)
    health: dict[str, Health] = field(default_factory=dict)
    flows: list[RememberedFlow] = field(default_factory=list)
    journal: Journal = field(default_factory=Journal)
    log_level: LogLevel = field(default_factory=LogLevel)
    bfd: BfdState = BfdState.UP

    async def edit(self, change: Callable[[Document], Document], *, author: str) -> int:
        """Change the document as one revision."""
        await asyncio.sleep(0)
        document = change(self.document)
        if self.failure is not None:
            raise self.failure
        if document != self.document:
            check_document(document)
            self.document = document
            self.revision += 1
            self.authors.append(author)
            self.documents.append(document)
            self.journal.note(DocumentChanged(self.revision, author))
        return self.revision

    async def history(self, limit: int) -> tuple[RevisionView, ...]:
        """The newest revisions, newest first."""
        kept = [self._kept(number) for number in range(self.revision, 0, -1)]
        return view_history(kept[: limit + 1], limit)

    async def at(self, number: int) -> RevisionDocument:
        """One revision."""
        return read_revision(self._kept(number))

    async def rollback(self, number: int, *, author: str, check: Callable[[], None]) -> int:
        """Put an earlier revision's document in force."""
        earlier = (await self.at(number)).document

        def change(_document: Document) -> Document:
            check()
            return earlier

        return await self.edit(change, author=author)

    def _kept(self, number: int) -> Revision:
        if not 0 < number <= self.revision:
            raise NotFoundError(f"revision {number} is not kept; history lists those that are")
        text = dump_document(self.documents[number - 1])
        return Revision(number, TIME, self.authors[number - 1], text)

    def status(self) -> Status:
        """The node, with every service forwarding and announced if it is to be."""
        services = tuple(self._service(each) for each in self.document.services)
        prefixes = tuple(
            sorted({s.prefix for s in self.document.services if s.announce}, key=prefix_rank)
        )
        peer = PeerView(
            IPv4Address("11.11.11.254"), 65001, SessionState.UP, 93784.5, self.bfd, prefixes
        )
        return Status(
            node="llb1",
            version="0.0",
            revision=self.revision,
            hash_seed_is_default=self.document.cluster.hash_seed == 0,
            ports=(PortView("eth0", PortMode.NATIVE),),
            peers=(peer,),
            services=services,
            pools=pools_of(services),
            verdicts=(
                VerdictCount("SENT", "send", "encapsulated and sent", Count(7, 700)),
                VerdictCount("DROP_SHORT", "drop", "too short", Count(0, 0)),
            ),
            drain=self._drain,
            drain_left_s=self.document.node.drain_wait_s if self.document.node.drain else None,
            problems=tuple(f"endpoint {address} cannot be reached" for address in self.unreachable),
        )

    def explain(self, flows: Iterable[Flow]) -> list[Explanation]:
        """A choice that depends on nothing but the flow and the document."""
        return [self._explain(flow) for flow in flows]

    def remembered_flows(self, limit: int) -> list[RememberedFlow]:
        """Those that a test has put here."""
        return self.flows[:limit]

    @property
    def _drain(self) -> str:
        if not self.document.node.drain:
            return "active"
        return "draining" if self.document.node.drain_wait_s else "drained"

    def _service(self, service: Service) -> ServiceView:
        pool = self.document.pool_of(service)
        endpoints = tuple(
            EndpointView(
                address=each.address,
                weight=each.weight,
                state=each.state,
                health=self.health.get(str(each.address)),
                why="timeout" if self.health.get(str(each.address)) is Health.DOWN else "",
                share=1 / len(pool.endpoints),
                server_id=each.server_id,
                path=f"{pool.encapsulation} 31.31.31.254 > 31.31.31.1 by 02:00:00:00:00:01",
                reachable=str(each.address) not in self.unreachable,
                sent=Count(3, 300),
                packets_per_s=2.5 if each.drained else None,
                flows_seen=7 if each.drained else None,
                drain_left_s=each.drain_timeout_s,
            )
            for each in pool.endpoints
        )
        return ServiceView(
            name=service.name or "",
            key=service.label,
            pool=service.pool_name,
            affinity=service.affinity,
            flow_table=service.flow_table,
            sources=service.sources,
            denied_sources=service.denied_sources,
            quic=service.quic,
            unserved=service.unserved,
            forwarding=True,
            announced=service.announce,
            why_not="",
            healthy=len(pool.endpoints),
            received=Count(9, 900),
            endpoints=endpoints,
        )

    def _explain(self, flow: Flow) -> Explanation:
        for service in self.document.services:
            key = ServiceKey(flow.destination, flow.protocol, flow.destination_port)
            if key in service.keys:
                pool = self.document.pool_of(service)
                slot = int(flow.source) ^ flow.source_port
                chosen = sorted(each.address for each in pool.endpoints)[slot % len(pool.endpoints)]
                hop = NextHop(7, b"\x02" * 6, b"\x04" * 6)
                path = ReachPath(IPv4Address("31.31.31.254"), chosen, hop, 9000)
                steps = ("the service takes it", f"slot {slot}")
                return Explanation(flow, "SENT", key, slot, slot, chosen, path, steps)
        return Explanation(flow, "PASS_NO_SERVICE", steps=("no service listens there",))


class FakeHost:
    """A host of one interface."""

    async def interfaces(self, names: Collection[str]) -> list[Interface]:
        """Its interface, if it is asked for."""
        addresses = ("10.0.0.1/24", "2001:db8::1/64")
        mac = bytes.fromhex("020000000001")
        found = Interface(
            name="eth0",
            index=2,
            mac=mac,
            mtu_bytes=1500,
            up=True,
            is_bond=False,
            addresses=addresses,
            received=(100, 2, 0),
            sent=(50, 1, 0),
        )
        return [found] if "eth0" in names else []

    async def routes(self, limit: int) -> list[HostRoute]:
        """One by a gateway, one without, one of several."""
        gateways = IPv4Address("10.0.0.254"), IPv4Address("10.0.0.253")
        found = [
            HostRoute(IPv4Network("0.0.0.0/0"), gateways[:1], 4),
            HostRoute(IPv4Network("10.0.0.0/24"), (), 2),
            HostRoute(IPv4Network("56.56.56.1/32"), gateways, 186),
        ]
        return found[:limit]

    async def processes(self) -> list[HostProcess]:
        """One that has run for 61.5 s."""
        time = timedelta(seconds=61.5)
        return [HostProcess(7, "root", 0, 2048, 1024, 512, "sleeping", 1.25, 0.5, time, "headrace")]

    async def device(self) -> Device:
        """A machine up for a day."""
        return Device("llb1", "m", "b", "Linux", "6.18", "x86_64", timedelta(days=1))

    async def filesystems(self) -> list[Filesystem]:
        """A root that is half full."""
        return [Filesystem("/dev/vda", "ext4", "/", 10240, 4096, 4096)]


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class UnixHttp(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


class Api:
    """Asks an API over its unix socket, a connection a request."""

    def __init__(self, path: Path, operator: FakeOperator) -> None:
        self.path = path
        self.operator = operator

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a body as it is, or plain values as JSON."""
        data = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        connection = UnixHttp(self.path)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, data, {"Content-Type": "application/json"} | named)
            answer = connection.getresponse()
            text = answer.read().decode()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, text)
        finally:
            connection.close()


def serving(app: Any, path: Path, listen: str = NOWHERE) -> AbstractAsyncContextManager[None]:
    """An application that answers while the block runs."""
    return serving_at(app, Listening(path, path.parent, (listen,)))


@asynccontextmanager
async def serving_at(app: Any, wanted: Listening) -> AsyncIterator[None]:
    """An application that answers there while the block runs."""
    ready = asyncio.Event()
    with listening(wanted) as listeners:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(serve(app, listeners, ready=ready.set))
            await ready.wait()
            try:
                yield
            finally:
                task.cancel()


@contextmanager
def running_api(
    path: Path, operator: FakeOperator, wanted: Listening | None = None
) -> Iterator[Api]:
    """The API of an operator, in a thread with an event loop of its own."""
    wanted = wanted or Listening(path, path.parent, (NOWHERE,))
    started = threading.Event()
    stop: list[Callable[[], object]] = []

    async def main() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(stopping.set))
        async with serving_at(build_app(operator, FakeHost()), wanted):
            started.set()
            await stopping.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert started.wait(20)
    try:
        yield Api(path, operator)
    finally:
        stop[0]()
        thread.join(20)
