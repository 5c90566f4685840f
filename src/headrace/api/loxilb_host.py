"""What LoxiLB's clients read of the node: flows, interfaces, routes, the machine, its log level."""

from collections.abc import Iterable
from datetime import timedelta
from http import HTTPStatus
from ipaddress import ip_interface
from operator import attrgetter
from typing import Any

from fastapi import Request, Response
from pydantic import Field

from headrace.api.answers import author_of
from headrace.api.bodies import Part, RuleError
from headrace.api.host import Filesystem, Host, HostProcess, HostRoute, Interface
from headrace.api.log_levels import set_level
from headrace.api.loxilb_answers import Route, answer, read_part, success
from headrace.control.flows import service_finder
from headrace.control.log_level import Level
from headrace.control.ports import Operator
from headrace.model import Document, PortMode, Protocol, RememberedFlow, Service

LIMIT_FLOWS = 1000
"""Of one answer: some 10 ms, in which nothing else is answered."""

LIMIT_ROUTES = 1000
"""Of one answer: a host may have the whole internet's."""

_LEVELS = {
    "trace": Level.DEBUG,
    "debug": Level.DEBUG,
    "info": Level.INFO,
    "notice": Level.INFO,
    "warning": Level.WARNING,
    "error": Level.ERROR,
    "critical": Level.ERROR,
    "emergency": Level.ERROR,
    "alert": Level.ERROR,
}
"""LoxiLB's levels, and ours that say as much."""

_STATES = {Protocol.TCP: "est", Protocol.UDP: "udp-est", Protocol.SCTP: "est"}
"""With direct server return a flow is established at its first packet, there as here."""

_PROTOCOLS = {0: "unspec", 1: "redirect", 2: "kernel", 3: "boot", 4: "static"}
_PORT_PHYSICAL, _PORT_BOND = 1, 4


class Parameters(Part):
    """What may be set while the daemon runs."""

    log_level: str = Field(alias="logLevel")


def add_host(route: Route, operator: Operator, host: Host) -> None:
    """Add the routes about the node."""
    answers = _HostAnswers(operator, host)
    route("GET", "/config/conntrack/all", answers.get_flows)
    route("GET", "/config/port/all", answers.get_ports)
    route("GET", "/config/route/all", answers.get_routes)
    route("GET", "/config/params", answers.get_parameters)
    route("POST", "/config/params", answers.post_parameters)
    route("GET", "/status/process", answers.get_processes)
    route("GET", "/status/device", answers.get_device)
    route("GET", "/status/filesystem", answers.get_filesystems)


class _HostAnswers:
    def __init__(self, operator: Operator, host: Host) -> None:
        self._operator = operator
        self._host = host

    async def get_flows(self) -> Response:
        """The flows that are remembered one by one, 1,000 at most; the hash knows all others."""
        flows = self._operator.remembered_flows(LIMIT_FLOWS)
        return answer({"ctAttr": listed_flows(self._operator.document, flows)})

    async def get_ports(self) -> Response:
        """The interfaces that VIP packets are taken from."""
        modes = {port.name: port.mode for port in self._operator.status().ports}
        interfaces = await self._host.interfaces(modes)
        return answer({"portAttr": [_listed_port(each, modes[each.name]) for each in interfaces]})

    async def get_routes(self) -> Response:
        """The kernel's routes, which lead to the endpoints; 1,000 of the main table at most."""
        routes = await self._host.routes(LIMIT_ROUTES)
        return answer({"routeAttr": [_listed_route(each) for each in routes]})

    async def get_parameters(self) -> Response:
        """How much is logged."""
        return answer({"logLevel": str(self._operator.log_level.level)})

    async def post_parameters(self, request: Request) -> Response:
        """Log more or less, until the daemon ends."""
        wanted = (await read_part(request, Parameters)).log_level
        if wanted not in _LEVELS:
            text = f"malformed logLevel {wanted[:20]!r}: it is none of {', '.join(_LEVELS)}"
            raise RuleError(HTTPStatus.BAD_REQUEST, text)
        author = author_of(request, "loxilb")
        set_level(self._operator.log_level, _LEVELS[wanted], author=author)
        return success()

    async def get_processes(self) -> Response:
        """The daemon and what it started; other processes are nobody's business here."""
        processes = await self._host.processes()
        return answer({"processAttr": [_listed_process(each) for each in processes]})

    async def get_device(self) -> Response:
        """The machine and its system."""
        device = await self._host.device()
        return answer(
            {
                "hostName": device.host_name,
                "machineID": device.machine_id,
                "bootID": device.boot_id,
                "OS": device.system,
                "kernel": device.kernel,
                "architecture": device.architecture,
                "uptime": str(device.uptime),
            }
        )

    async def get_filesystems(self) -> Response:
        """The file systems on disks."""
        found = await self._host.filesystems()
        return answer({"filesystemAttr": [_listed_filesystem(each) for each in found]})


def listed_flows(document: Document, flows: Iterable[RememberedFlow]) -> list[dict[str, Any]]:
    """Flows as LoxiLB lists connections; packets and bytes are not counted by flow."""
    find = service_finder(document)
    order = attrgetter("flow.destination_port", "flow.source_port")
    return [_listed_flow(each, find(each.flow)) for each in sorted(flows, key=order)]


def _listed_flow(remembered: RememberedFlow, service: Service | None) -> dict[str, Any]:
    flow = remembered.flow
    return {
        "destinationIP": str(flow.destination),
        "sourceIP": str(flow.source),
        "destinationPort": flow.destination_port,
        "sourcePort": flow.source_port,
        "protocol": str(flow.protocol),
        "conntrackState": _STATES[flow.protocol],
        "ident": "0:0",
        "conntrackAct": f"ddsr-{remembered.endpoint}:{flow.destination_port}:w0",
        "servName": service.name if service is not None and service.name else "-",
    }


def _listed_port(interface: Interface, mode: str) -> dict[str, Any]:
    addresses = [ip_interface(each) for each in interface.addresses]
    received, sent = interface.received, interface.sent
    return {
        "portName": interface.name,
        "portNo": interface.index,
        "zone": "root",
        "portSoftwareInformation": {
            "osId": interface.index,
            "portType": _PORT_BOND if interface.is_bond else _PORT_PHYSICAL,
            "portProp": 0,
            "portActive": interface.up,
            "bpfLoaded": mode != PortMode.MISSING,
        },
        "portHardwareInformation": {
            "rawMacAddress": list(interface.mac),
            "macAddress": interface.mac.hex(":"),
            "mtu": interface.mtu_bytes,
            "link": interface.up,
            "state": interface.up,
        },
        "portStatisticInformation": {
            "rxBytes": received[0],
            "rxPackets": received[1],
            "rxErrors": received[2],
            "txBytes": sent[0],
            "txPackets": sent[1],
            "txErrors": sent[2],
        },
        "portL3Information": {
            "routed": False,
            "IPv4Address": [str(each) for each in addresses if each.version == 4],
            "IPv6Address": [str(each) for each in addresses if each.version == 6],
        },
        "portL2Information": {"isPvid": False, "vid": 0},
        "DataplaneSync": 0,
    }


def _listed_route(route: HostRoute) -> dict[str, Any]:
    """A route; of several gateways LoxiLB shows them in one text as well."""
    is_host = route.destination.prefixlen == route.destination.max_prefixlen
    return {
        "destinationIPNet": str(route.destination),
        "gateway": ",".join(map(str, route.gateways)),
        "protocol": _PROTOCOLS.get(route.protocol, str(route.protocol)),
        "flags": ("Ind" if route.gateways else "Self") + " Host" * is_host,
    }


def _listed_process(process: HostProcess) -> dict[str, Any]:
    return {
        "pid": str(process.pid),
        "user": process.user,
        "priority": str(20 + process.nice),
        "nice": str(process.nice),
        "virtMemory": _kibibytes(process.virtual_bytes),
        "residentSize": _kibibytes(process.resident_bytes),
        "sharedMemory": _kibibytes(process.shared_bytes),
        "status": process.status,
        "CPUUsage": f"{process.cpu_percent:.1f}",
        "MemoryUsage": f"{process.memory_percent:.1f}",
        "time": _clock(process.cpu_time),
        "command": process.command,
    }


def _listed_filesystem(filesystem: Filesystem) -> dict[str, Any]:
    whole = filesystem.used_bytes + filesystem.available_bytes
    percent = -(-100 * filesystem.used_bytes // whole) if whole else 0
    return {
        "fileSystem": filesystem.device,
        "type": filesystem.kind,
        "size": _kibibytes(filesystem.size_bytes),
        "used": _kibibytes(filesystem.used_bytes),
        "avail": _kibibytes(filesystem.available_bytes),
        "usePercent": f"{percent}%",
        "mountedOn": filesystem.mounted_on,
    }


def _kibibytes(size_bytes: int) -> str:
    """A size as `top` and `df` show it."""
    return str(size_bytes // 1024)


def _clock(time: timedelta) -> str:
    """CPU time as `top` shows it: minutes, seconds, hundredths."""
    minutes, rest = divmod(time.total_seconds(), 60)
    return f"{int(minutes)}:{rest:05.2f}"
