"""The kernel, and what of the host is not the network. Pure."""

from collections.abc import Iterator

from headrace.doctor.facts import Facts, KernelFacts
from headrace.doctor.finding import Finding, Level, ok
from headrace.model import Bgp, Document, SpeakerKind

_LEAST = (5, 18)
"""XDP programs take packets of several buffers (xdp.frags)."""
_TRIED = (6, 1)
"""Debian 12's: the oldest that the data plane was tried on."""
_FREE_MEMLOCK = (5, 11)
"""From here on maps count as memory of the control group."""
_MEMLOCK_BYTES = 256 << 20
"""What the maps take with all limits used."""
_EXABGP = "5."
_BIRD = ("2.", "3.")

_SPEAKER_WHY = "without it nothing is announced, and no router sends packets for the VIPs here"
_FOR_BFD = "bgp.bfd needs it"
_BFD_WHY = "BGP runs without BFD then: routers miss a silent node by the hold time alone"
_UPGRADE = "apt-get install linux-image-amd64 && reboot"


def judge_kernel(facts: Facts) -> Iterator[Finding]:
    """The kernel itself."""
    kernel = facts.kernel
    yield _version(kernel)
    yield _program(facts)
    if kernel.has_btf:
        yield ok("btf", "", "the kernel has its own types")
    else:
        yield Finding(
            "btf",
            "",
            Level.WARNING,
            "/sys/kernel/btf/vmlinux is missing",
            "tools such as bpftool cannot show what the maps hold, and tailrace cannot tell whose "
            "a half-open connection is",
            _UPGRADE,
        )
    yield _file_system(kernel)
    yield _memlock(kernel)
    if kernel.jit == 0:
        yield Finding(
            "jit",
            "",
            Level.WARNING,
            "BPF programs are interpreted",
            "every packet takes several times as long",
            "sysctl -w net.core.bpf_jit_enable=1",
        )
    elif kernel.jit is not None:
        yield ok("jit", "", "BPF programs are compiled")


def judge_clock(facts: Facts) -> Iterator[Finding]:
    """Whether the clock is right; nothing where that is not to be seen."""
    if facts.is_synchronised:
        yield ok("clock", "", "synchronised")
    elif facts.is_synchronised is False:
        yield Finding(
            "clock",
            "",
            Level.WARNING,
            "not synchronised",
            "logs and captures of several nodes cannot be laid side by side, and certificates may "
            "look expired",
            "timedatectl set-ntp true",
        )


def judge_speakers(facts: Facts, document: Document | None) -> Iterator[Finding]:
    """The programs that speak BGP, as far as the document needs them."""
    bgp = None if document is None else document.bgp
    programs = facts.programs
    for name, found in (("exabgp", programs.exabgp), ("bird", programs.bird)):
        reason = None if bgp is None else _needed(name, bgp)
        if reason is not None:
            yield _speaker(name, found, reason)
        elif found is not None:
            yield ok("speaker", name, f"version {found}; not needed here")
        else:
            yield ok("speaker", name, "absent; not needed here")


def _version(kernel: KernelFacts) -> Finding:
    if kernel.version < _LEAST:
        level, why = Level.WRONG, "XDP cannot take packets above one page here: the data plane "
        why += "needs Linux 5.18"
    elif kernel.version < _TRIED:
        level, why = Level.WARNING, "the data plane was never tried on a kernel before 6.1"
    else:
        return ok("kernel", "", f"Linux {kernel.release}")
    return Finding("kernel", "", level, f"Linux {kernel.release}", why, _UPGRADE)


def _program(facts: Facts) -> Finding:
    if not facts.is_root:
        return Finding(
            "bpf",
            "",
            Level.WARNING,
            "not tried, for want of root",
            "whether the kernel loads programs, and what is pinned, only root can see",
            "sudo headrace doctor",
        )
    if facts.kernel.refusal:
        return Finding(
            "bpf",
            "",
            Level.WRONG,
            f"the kernel loads no XDP program: {facts.kernel.refusal}",
            "without its program nothing is forwarded; a container needs CAP_BPF, CAP_NET_ADMIN "
            "and CAP_PERFMON, a host that is locked down its lockdown off",
            "capsh --print; cat /sys/kernel/security/lockdown; apt-get install libbpf1",
        )
    return ok("bpf", "", "the kernel loads XDP programs")


def _file_system(kernel: KernelFacts) -> Finding:
    if kernel.has_bpf_fs:
        return ok("bpffs", "", "the kernel has the file system for pins")
    return Finding(
        "bpffs",
        "",
        Level.WRONG,
        "the kernel has no file system of type bpf",
        "without pins the data plane would end with the daemon",
        _UPGRADE,
    )


def _memlock(kernel: KernelFacts) -> Finding:
    limit = kernel.memlock_bytes
    if kernel.version >= _FREE_MEMLOCK or limit is None or limit >= _MEMLOCK_BYTES:
        return ok("memlock", "", "maps may have the memory they need")
    return Finding(
        "memlock",
        "",
        Level.WRONG,
        f"at most {limit >> 10:,} KiB may be locked",
        "before Linux 5.11 the maps count as locked memory, and do not fit",
        f"ulimit -l {_MEMLOCK_BYTES >> 10}",
    )


def _needed(name: str, bgp: Bgp) -> str | None:
    """What the document needs a speaker for; None: it does not."""
    if bgp.speaker == name:
        return "bgp.speaker names it"
    watched = any(bgp.is_watched(peer) for peer in bgp.peers)
    return _FOR_BFD if name == SpeakerKind.BIRD and watched else None


def _speaker(name: str, found: str | None, reason: str) -> Finding:
    packages = {"exabgp": "pip install 'exabgp>=5.0.15,<6'", "bird": "apt-get install bird2"}
    if found is None:
        return Finding(
            "speaker",
            name,
            Level.WRONG,
            f"absent; {reason}",
            _BFD_WHY if reason == _FOR_BFD else _SPEAKER_WHY,
            packages[name],
        )
    if found.startswith({"exabgp": (_EXABGP,), "bird": _BIRD}[name]):
        return ok("speaker", name, f"version {found}; {reason}")
    return Finding(
        "speaker",
        name,
        Level.WRONG,
        f"version {found}; {reason}",
        "its configuration is written for other versions",
        packages[name],
    )
