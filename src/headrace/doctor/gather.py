"""Gathers the facts. Reads only; blocks, a second at most but for thousands of endpoints."""

import ctypes
import os
import platform
import resource
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import closing, suppress
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from itertools import islice
from pathlib import Path

from pyroute2 import IPRoute

from headrace.dataplane import LOCK_NAME, libbpf, lock_holder
from headrace.dataplane.pins import PinnedState, Pins, read_pinned_state
from headrace.dataplane.selftest import loses_big_redirects
from headrace.doctor.ethtool import Ethtool
from headrace.doctor.facts import (
    Device,
    Facts,
    Instance,
    KernelFacts,
    Offloads,
    OwnAddress,
    Programs,
)
from headrace.doctor.xdp_features import read_xdp_features
from headrace.model import Document, IPNetwork, KernelError, LbError, Target, Tunnel, Unresolved
from headrace.underlay import ProbeHindrances
from headrace.underlay.kernel import Kernel
from headrace.underlay.outer import Outer, outer_header
from headrace.underlay.snapshot import Link, NoRoute, Route

LIMIT_ENDPOINTS = 4096
"""Endpoints whose way is looked at: each takes the kernel 0.1 ms, and most share theirs."""

_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not on every user's PATH
_ANSWER_S = 5.0
_TIME_ERROR = 5  # adjtimex: the clock is not synchronised
_XDP_PASS = bytes.fromhex("b700000002000000 9500000000000000")  # r0 = XDP_PASS; exit
_MODES = {0: "", **libbpf.XDP_MODES}


class _Timex(ctypes.Structure):
    """struct timex, of which only `modes` is written: 0 to read."""

    _fields_ = [("modes", ctypes.c_uint), ("rest", ctypes.c_long * 26)]


def gather(document: Document | None, runtime_root: Path) -> Facts:
    """The facts about this host, in the network namespace of the caller."""
    is_root = os.geteuid() == 0
    with closing(Kernel()) as kernel:
        links = kernel.links()
        ways = None if document is None else _ways(document, kernel, links)
        vip_routes = None if document is None else _vip_routes(document, kernel)
    return Facts(
        kernel=_kernel(is_root=is_root),
        is_root=is_root,
        devices=_devices(links.values()),
        addresses=_addresses(),
        local_vips=frozenset() if document is None else _local_vips(document),
        ways=ways,
        vip_routes=vip_routes,
        forwards={4: _switch("net/ipv4/ip_forward"), 6: _switch("net/ipv6/conf/all/forwarding")},
        instances=_instances(runtime_root) if is_root else (),
        programs=Programs(_exabgp(), _bird()),
        is_synchronised=_is_synchronised(),
    )


# --- the kernel ----------------------------------------------------------------------------------


def _kernel(*, is_root: bool) -> KernelFacts:
    refusal = _refusal() if is_root else ""
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return KernelFacts(
        release=platform.release(),
        has_btf=Path("/sys/kernel/btf/vmlinux").exists(),
        has_bpf_fs="bpf" in Path("/proc/filesystems").read_text().split(),
        refusal=refusal,
        loses_big_redirects=is_root and not refusal and loses_big_redirects(),
        jit=_number("net/core/bpf_jit_enable"),
        memlock_bytes=None if limit == resource.RLIM_INFINITY else limit,
    )


def _refusal() -> str:
    try:
        os.close(libbpf.load_xdp_instructions(_XDP_PASS))
    except LbError as error:
        return str(error)
    return ""


def _number(setting: str) -> int | None:
    """A setting under /proc/sys; None where it is not to be seen."""
    try:
        return int(Path("/proc/sys", setting).read_text())
    except (OSError, ValueError):
        return None


def _switch(setting: str) -> bool | None:
    number = _number(setting)
    return None if number is None else number != 0


def _is_synchronised() -> bool | None:
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(_Timex(modes=0)))
    return None if state < 0 else state != _TIME_ERROR


# --- devices and addresses -------------------------------------------------------------------


def _devices(links: Iterable[Link]) -> tuple[Device, ...]:
    features = read_xdp_features()
    with closing(Ethtool()) as ethtool:
        return tuple(_device(link, features.get(link.index), ethtool) for link in links)


def _device(link: Link, xdp_features: int | None, ethtool: Ethtool) -> Device:
    offloads = ethtool.features(link.name)
    own, every = (_number(f"net/ipv4/conf/{name}/rp_filter") for name in (link.name, "all"))
    return Device(
        link=link,
        xdp=_xdp(link.index),
        xdp_features=xdp_features,
        offloads=Offloads(
            lro=offloads.get("rx-lro"),
            gro_hw=offloads.get("rx-gro-hw"),
            vlan=offloads.get("rx-vlan-hw-parse"),
        ),
        rp_filter=None if own is None or every is None else max(own, every),
        driver=ethtool.driver(link.name),
    )


def _xdp(ifindex: int) -> str:
    try:
        return _MODES.get(libbpf.xdp_mode(ifindex), "other")
    except LbError:  # the device has gone, or there is no libbpf, which loading a program tells
        return ""


def _addresses() -> tuple[OwnAddress, ...]:
    with IPRoute() as netlink:
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in netlink.get_links()}
        return tuple(
            OwnAddress(
                # of a point-to-point device IFA_ADDRESS is the other end's
                ip_address(message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")),
                int(message["prefixlen"]),
                str(names.get(message["index"], message["index"])),
            )
            for message in netlink.get_addr()
        )


# --- where packets go ------------------------------------------------------------------------


def _ways(
    document: Document, kernel: Kernel, links: dict[int, Link]
) -> dict[Target, Outer | Unresolved]:
    tunnels = {each.endpoint: each for each in document.node.tunnels}
    targets = dict.fromkeys(
        Target(endpoint.address, pool.encapsulation)
        for pool in document.all_pools().values()
        for endpoint in pool.endpoints
    )
    routes, ways = kernel.routes(), {}
    for target in islice(targets, LIMIT_ENDPOINTS):
        entry = tunnels.get(target.endpoint)
        tunnel = None if entry is None else Tunnel(entry.endpoint, entry.local, entry.remote)
        try:
            ways[target] = outer_header(target, tunnel, document.node.sources, links, routes)
        except KernelError as error:
            ways[target] = Unresolved(f"{target.endpoint}: {error}")
    return ways


def _vip_routes(document: Document, kernel: Kernel) -> dict[IPNetwork, Route | NoRoute]:
    routes, found = kernel.routes(), {}
    for prefix in _vips(document):
        try:
            found[prefix] = routes(prefix.network_address, None)
        except KernelError as error:
            found[prefix] = NoRoute(str(error))
    return found


def _local_vips(document: Document) -> frozenset[IPNetwork]:
    with closing(ProbeHindrances()) as asked:
        return frozenset(vip for vip in _vips(document) if asked.is_local(vip.network_address))


def _vips(document: Document) -> dict[IPNetwork, None]:
    return dict.fromkeys(service.prefix for service in document.services)


# --- instances and programs ------------------------------------------------------------------


def _instances(runtime_root: Path) -> tuple[Instance, ...]:
    return tuple(_instance(folder) for folder in sorted(runtime_root.glob("*")) if folder.is_dir())


def _instance(folder: Path) -> Instance:
    pins = PinnedState(is_mounted=False, links={})
    sample_one_in = 0
    with suppress(LbError):
        pins = read_pinned_state(folder / "bpf")
        with closing(Pins(folder / "bpf")) as opened:
            sample_one_in = opened.sample_one_in
    daemon = _holder(folder / LOCK_NAME)
    return Instance(
        name=folder.name,
        runs=daemon is not None,
        pins=pins,
        elsewhere=None if daemon is None or _shares("mnt", daemon) else daemon,
        is_near=daemon is None or _shares("net", daemon),
        sample_one_in=sample_one_in,
        is_captured=_holder(folder / "capture.lock") is not None,
    )


def _holder(lock: Path) -> int | None:
    """The process that holds a lock, 0 where that is not to be seen; None: nobody."""
    try:
        return lock_holder(lock)
    except OSError:  # no such file: nobody ever did
        return None


def _shares(kind: str, pid: int) -> bool:
    """Whether a process is in a namespace of ours; `ip netns exec` gives one mounts of its own."""
    try:
        return os.path.samestat(*(Path(f"/proc/{each}/ns/{kind}").stat() for each in ("self", pid)))
    except OSError:
        return True  # not to be seen


def _exabgp() -> str | None:
    try:
        return version("exabgp")
    except PackageNotFoundError:
        return None


def _bird() -> str | None:
    """The version of BIRD; `BIRD version 2.0.12` is what it says, on stderr."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS))
    found = shutil.which("bird", path=path)
    if found is None:
        return None
    try:
        done = subprocess.run(
            [found, "--version"], capture_output=True, text=True, timeout=_ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (done.stdout + done.stderr).strip().rpartition(" ")[2]
