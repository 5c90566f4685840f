"""What is known of a host, as plain values: gathered by one module, judged by others."""

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.dataplane.pins import PinnedState
from headrace.model import IPAddress, IPNetwork, Target, Unresolved
from headrace.underlay.outer import Outer
from headrace.underlay.snapshot import Link, NoRoute, Route


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """The kernel and what it lets us do."""

    release: str  # as `uname -r` has it
    has_btf: bool = True
    has_bpf_fs: bool = True
    refusal: str = ""  # why it loads no XDP program; empty: it does
    loses_big_redirects: bool = False  # in native mode, those above one buffer
    jit: int | None = None  # net.core.bpf_jit_enable; None: not to be seen from here
    memlock_bytes: int | None = None  # RLIMIT_MEMLOCK; None: no limit

    @property
    def version(self) -> tuple[int, int]:
        """Its first two numbers; (0, 0) where there are none."""
        numbers = self.release.replace("-", ".").split(".")[:2]
        if len(numbers) < 2 or not all(number.isdigit() for number in numbers):
            return 0, 0
        return int(numbers[0]), int(numbers[1])


@dataclass(frozen=True, slots=True)
class Offloads:
    """What a device does to packets before XDP sees them; None: it does not say."""

    lro: bool | None = None  # large receive offload: merges packets
    gro_hw: bool | None = None  # the same, undone on the way out
    vlan: bool | None = None  # takes VLAN tags out


@dataclass(frozen=True, slots=True)
class Device:
    """An interface with all that is asked of it alone."""

    link: Link
    xdp: str = ""  # a PortMode, or other; empty: no program
    xdp_features: int | None = None  # XdpFeature, of its driver; None: the kernel does not tell
    offloads: Offloads = Offloads()
    rp_filter: int | None = None  # in force: 0 off, 1 strict, 2 loose
    driver: str = ""


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """An address of this node."""

    address: IPAddress
    prefix_length: int
    device: str


@dataclass(frozen=True, slots=True)
class Instance:
    """What one instance has on this host."""

    name: str
    runs: bool  # its daemon
    pins: PinnedState
    elsewhere: int | None = None  # its daemon's pid, if that has other mounts than we
    is_near: bool = True  # its daemon is in our network namespace, as far as we know
    sample_one_in: int = 0
    is_captured: bool = False

    @property
    def is_hidden(self) -> bool:
        """Whether it may have pins that are not seen from here."""
        return self.elsewhere is not None and not self.pins.is_mounted


@dataclass(frozen=True, slots=True)
class Programs:
    """The BGP speakers that can be started; None: absent."""

    exabgp: str | None = None  # its version
    bird: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known of a host."""

    kernel: KernelFacts
    is_root: bool = True
    devices: tuple[Device, ...] = ()
    addresses: tuple[OwnAddress, ...] = ()
    local_vips: frozenset[IPNetwork] = frozenset()  # of the document, that the host takes itself
    ways: Mapping[Target, Outer | Unresolved] | None = None  # None: no document
    vip_routes: Mapping[IPNetwork, Route | NoRoute] | None = None
    forwards: Mapping[int, bool | None] | None = None  # by IP version; None: not to be seen
    instances: tuple[Instance, ...] = ()
    programs: Programs = Programs()
    is_synchronised: bool | None = None  # the clock; None: not to be seen

    @property
    def links(self) -> dict[int, Link]:
        """The links by index."""
        return {device.link.index: device.link for device in self.devices}
