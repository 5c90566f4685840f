"""The services of a set of cases, put on a data plane."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path as FilePath
from typing import Any

from headrace.dataplane import Dataplane, Decapsulation, Decapsulator, detach_all, libbpf
from headrace.maglev import Candidate, FlowHash, build_table
from headrace.model import (
    Affinity,
    Encapsulation,
    IPAddress,
    IPNetwork,
    NextHop,
    Path,
    Port,
    Protocol,
    Reach,
    ServiceEntry,
    ServiceKey,
    Tuning,
    Unserved,
)

LOOPBACK = 1  # BPF_PROG_TEST_RUN says that packets arrive on lo
EGRESS = 77
OWN_MAC = bytes.fromhex("020000000000")  # the destination of the cases' frames
ROUTER_MAC = bytes.fromhex("0200000000fe")
SEED = 7
SLOTS = 65_537
MTU = 1500
CIDR_LENGTH = 96  # of the VIP prefixes, which the cases name by their first address
NO_PATH = ip_address("10.255.255.255")  # where a VIP without endpoints leads

_SOURCES = {4: ip_address("10.0.13.37"), 6: ip_address("fc00:2307::1337")}
_ENCAPSULATIONS = {"ipip": Encapsulation.IPIP, "gue1": Encapsulation.GUE}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out: the XDP code's name and the frame."""

    code: str
    frame: bytes


@dataclass
class Balancer:
    """A data plane with the services of one profile."""

    directory: FilePath
    encapsulation: Encapsulation
    gue_port: int
    server_ids: Mapping[int, IPAddress]
    plane: Dataplane = field(init=False)

    def __post_init__(self) -> None:
        self.plane = Dataplane(self.directory)
        self.plane.set_hash_keys(FlowHash.of_seed(SEED).keys)
        self.plane.set_tuning(Tuning(gue_port=self.gue_port))
        self.plane.set_ports([Port("lo", LOOPBACK, (OWN_MAC,))])

    def serve(self, vip: Mapping[str, Any], *, is_prefix: bool) -> None:
        """Make one VIP of a profile a service; again, with other endpoints, to change it."""
        address: IPAddress | IPNetwork = ip_address(vip["address"])
        if is_prefix:
            address = ip_network(f"{vip['address']}/{CIDR_LENGTH}")
        port = 0 if vip["port"] == "any" else int(vip["port"])
        key = ServiceKey(address, Protocol(vip["proto"]), port)
        name = f"pool {key}"
        down = {ip_address(endpoint) for endpoint in vip.get("down", ())}
        endpoints = [ip_address(e["address"]) for e in vip["endpoints"]]
        self._put_pool(name, endpoints, down, is_quic="quic" in vip["flags"])
        self.plane.put_service(key, _entry(name, vip["flags"]))

    def run(self, frame: bytes) -> Verdict:
        """What becomes of a frame."""
        return run_program(self.plane.program_fd, frame)

    def close(self) -> None:
        """Remove it all from the kernel."""
        self.plane.close()
        detach_all(self.directory)

    def _put_pool(
        self, name: str, endpoints: list[IPAddress], down: set[IPAddress], *, is_quic: bool
    ) -> None:
        # A server id may name an endpoint that gets no flows by hash: one of weight 0.
        others = [a for a in self.server_ids.values() if a not in endpoints] if is_quic else []
        candidates = [
            *(Candidate(address, down=address in down) for address in endpoints or [NO_PATH]),
            *(Candidate(address, weight=0) for address in dict.fromkeys(others)),
        ]
        table = build_table(SEED, candidates, SLOTS)
        reaches = [self._put_endpoint(candidate.address) for candidate in table.candidates]
        self.plane.put_pool(name, reaches, table.owners, stamp=table.digest)
        by_address = {reach.endpoint: reach for reach in reaches}
        self.plane.set_server_ids(
            name, {i: by_address[a] for i, a in self.server_ids.items() if a in by_address}
        )

    def _put_endpoint(self, address: IPAddress) -> Reach:
        hop = NextHop(EGRESS, OWN_MAC, ROUTER_MAC)
        source = _SOURCES[address.version]
        reach = Reach(address, source, address, self.encapsulation)
        path = Path(source, address, hop, MTU, self.encapsulation)
        self.plane.put_endpoint(reach, None if address == NO_PATH else path)
        return reach


@dataclass
class Endpoint:
    """An endpoint's decapsulation, as strict as the cases say their host is."""

    directory: FilePath
    gue_port: int
    own: Iterable[str]
    decapsulator: Decapsulator = field(init=False)

    def __post_init__(self) -> None:
        self.decapsulator = Decapsulator(self.directory)
        everybody = frozenset(ip_network(text) for text in ("0.0.0.0/0", "::/0"))
        own = frozenset(map(ip_address, self.own))
        self.decapsulator.configure(Decapsulation(everybody, own, everybody, self.gue_port))

    def run(self, frame: bytes) -> Verdict:
        """What becomes of a frame."""
        return run_program(self.decapsulator.program_fd, frame)

    def close(self) -> None:
        """Remove it all from the kernel."""
        self.decapsulator.close()
        detach_all(self.directory)


def run_program(program_fd: int, frame: bytes) -> Verdict:
    """Run a program on a frame; an answer or a redirect counts as sent."""
    code, after = libbpf.run_program(program_fd, frame, ifindex=LOOPBACK)
    names = {0: "XDP_ABORTED", 1: "XDP_DROP", 2: "XDP_PASS", 3: "XDP_TX", 4: "XDP_REDIRECT"}
    return Verdict(names[code], after)


def _entry(pool: str, flags: Iterable[str]) -> ServiceEntry:
    return ServiceEntry(
        pool,
        affinity=Affinity.DESTINATION_PORT if "dport_hash" in flags else Affinity.FLOW,
        unserved=Unserved.PASS,  # as the cases' balancer does; ours drops by default
        quic="quic" in flags,
    )


def encapsulation_of(name: str) -> Encapsulation:
    """The encapsulation of a set; `ipip` or `gue1`."""
    return _ENCAPSULATIONS[name]
