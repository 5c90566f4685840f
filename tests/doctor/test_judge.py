"""What the doctor makes of facts about the host: each is spoilt alone."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from headrace.dataplane.pins import PinnedState
from headrace.doctor import Level, judge
from headrace.doctor.facts import Instance, KernelFacts, OwnAddress, Programs

from .values import BGP, MAIN, VIP, WEB, WELL, bad, document, only

WARNING, WRONG = Level.WARNING, Level.WRONG


def kernel(**changes: Any) -> KernelFacts:
    return replace(WELL.kernel, **changes)


def test_a_host_where_all_is_well_has_no_complaint() -> None:
    findings = judge(WELL, document(bgp=BGP), "main")

    assert {finding.level for finding in findings} == {Level.OK}
    assert {finding.why + finding.command for finding in findings} == {""}
    assert {finding.check for finding in findings} >= {
        *("kernel", "bpf", "btf", "bpffs", "memlock", "instance", "link", "xdp", "offload", "mtu"),
        *("vip", "forwarding", "speaker", "clock", "jit"),
    }


@pytest.mark.parametrize(
    ("facts", "check", "level", "command"),
    [
        pytest.param(
            kernel(release="5.10.0-28-amd64"), "kernel", WRONG, "apt-get install", id="too old"
        ),
        pytest.param(
            kernel(release="5.19.0"), "kernel", WARNING, "apt-get install", id="never tried"
        ),
        pytest.param(kernel(release="strange"), "kernel", WRONG, "", id="a version unheard of"),
        pytest.param(kernel(has_btf=False), "btf", WARNING, "apt-get install", id="no BTF"),
        pytest.param(kernel(has_bpf_fs=False), "bpffs", WRONG, "apt-get install", id="no bpffs"),
        pytest.param(kernel(refusal="not permitted"), "bpf", WRONG, "capsh", id="no programs"),
        pytest.param(
            kernel(jit=0), "jit", WARNING, "sysctl -w net.core.bpf_jit_enable=1", id="no JIT"
        ),
    ],
)
def test_a_kernel_that_falls_short_is_told(
    facts: KernelFacts, check: str, level: Level, command: str
) -> None:
    finding = only(replace(WELL, kernel=facts))

    assert (finding.check, finding.level) == (check, level)
    assert finding.why
    assert finding.command.startswith(command or "a")


@pytest.mark.parametrize(
    ("release", "limit", "is_told"),
    [
        pytest.param("5.10.0", 8 << 20, True, id="an old kernel with a low limit"),
        pytest.param("5.10.0", None, False, id="an old kernel without one"),
        pytest.param("6.1.0", 64 << 10, False, id="a kernel that does not ask"),
    ],
)
def test_a_memory_lock_matters_to_old_kernels_only(
    release: str,
    limit: int | None,
    is_told: bool,  # noqa: FBT001 - pytest's
) -> None:
    findings = bad(replace(WELL, kernel=kernel(release=release, memlock_bytes=limit)))

    assert ("memlock" in {finding.check for finding in findings}) == is_told


def test_without_root_it_says_what_was_not_seen() -> None:
    finding = only(replace(WELL, is_root=False, instances=()))

    assert (finding.check, finding.command) == ("bpf", "sudo headrace doctor")


@pytest.mark.parametrize(
    ("instance", "check", "level", "command"),
    [
        pytest.param(
            replace(MAIN, runs=False),
            "instance",
            WARNING,
            "headrace run --instance main",
            id="dead",
        ),
        pytest.param(
            Instance("old", runs=False, pins=PinnedState(is_mounted=True, links={})),
            "instance",
            WARNING,
            "headrace detach --instance old",
            id="maps for nothing",
        ),
        pytest.param(
            replace(MAIN, pins=replace(MAIN.pins, links={"eth0": 2, "eth1": 3, "eth2": 0})),
            "pins",
            WARNING,
            "ip link",
            id="a device that is gone",
        ),
        pytest.param(
            Instance(
                "old",
                runs=False,
                pins=PinnedState(is_mounted=True, links={"eth9": 9}, leftovers=("maps/notes-new",)),
            ),
            "pins",
            WARNING,
            "headrace run --instance old",
            id="half made",
        ),
        pytest.param(
            replace(MAIN, sample_one_in=10),
            "capture",
            WARNING,
            "timeout 1 headrace capture --instance main",
            id="sampled for nobody",
        ),
        pytest.param(
            Instance("old", runs=True, pins=PinnedState(is_mounted=False, links={})),
            "instance",
            WRONG,
            "headrace detach --instance old && headrace run --instance old",
            id="pins lost",
        ),
        pytest.param(
            Instance(
                "old", runs=True, pins=PinnedState(is_mounted=False, links={}), elsewhere=4711
            ),
            "instance",
            WARNING,
            "nsenter --target 4711 --mount --net headrace doctor --instance old",
            id="with mounts of its own",
        ),
    ],
)
def test_what_an_instance_left_is_told(
    instance: Instance, check: str, level: Level, command: str
) -> None:
    others = () if instance.name == "main" else (MAIN,)

    findings = bad(replace(WELL, instances=(*others, instance)))

    told = {finding.check: finding for finding in findings}[check]
    assert (told.subject, told.level, told.command) == (instance.name, level, command)


def test_a_capture_that_runs_is_no_trouble() -> None:
    captured = replace(MAIN, sample_one_in=10, is_captured=True)

    assert bad(replace(WELL, instances=(captured,))) == []


def test_what_a_stopped_instance_left_on_disk_only_is_no_trouble() -> None:
    stopped = Instance("old", runs=False, pins=PinnedState(is_mounted=False, links={}))

    assert bad(replace(WELL, instances=(MAIN, stopped))) == []


@pytest.mark.parametrize(
    ("programs", "bgp", "subject", "command"),
    [
        pytest.param(
            Programs(None, None), BGP, "exabgp", "pip install 'exabgp>=5.0.15,<6'", id="no ExaBGP"
        ),
        pytest.param(
            Programs("4.2.21", None), BGP, "exabgp", "pip install", id="an ExaBGP of another time"
        ),
        pytest.param(
            Programs("5.0.15", None),
            BGP | {"speaker": "bird"},
            "bird",
            "apt-get install bird2",
            id="no BIRD",
        ),
        pytest.param(
            Programs("5.0.15", None), BGP | {"bfd": {}}, "bird", "apt-get", id="no BIRD for BFD"
        ),
        pytest.param(
            Programs(None, "1.6.8"), BGP | {"speaker": "bird"}, "bird", "apt-get", id="BIRD 1"
        ),
    ],
)
def test_a_speaker_that_is_needed_must_be_there(
    programs: Programs, bgp: dict[str, Any], subject: str, command: str
) -> None:
    finding = only(replace(WELL, programs=programs), document(bgp=bgp))

    assert (finding.check, finding.subject, finding.level) == ("speaker", subject, WRONG)
    assert finding.command.startswith(command)


def test_a_speaker_that_nobody_needs_may_be_absent() -> None:
    assert bad(replace(WELL, programs=Programs(None, None))) == []


@pytest.mark.parametrize(
    ("is_synchronised", "levels"), [(False, [WARNING]), (None, []), (True, [])]
)
def test_a_clock_is_told_where_it_can_be_read(
    is_synchronised: bool | None,  # noqa: FBT001 - pytest's
    levels: list[Level],
) -> None:
    findings = bad(replace(WELL, is_synchronised=is_synchronised))

    assert [finding.level for finding in findings] == levels


@pytest.mark.parametrize(
    ("own", "found", "command"),
    [
        pytest.param(
            OwnAddress(ip_address("20.20.20.1"), 32, "lo"),
            "is an address of lo",
            "ip address delete 20.20.20.1/32 dev lo",
            id="on lo",
        ),
        pytest.param(
            OwnAddress(ip_address("20.20.20.1"), 24, "eth0"),
            "is an address of eth0",
            "ip address delete 20.20.20.1/24 dev eth0",
            id="on an interface",
        ),
    ],
)
def test_a_vip_of_the_hosts_own_is_wrong(own: OwnAddress, found: str, command: str) -> None:
    finding = only(replace(WELL, addresses=(*WELL.addresses, own)))

    assert (finding.check, finding.subject, finding.level) == ("vip", "20.20.20.1", WRONG)
    assert (finding.found, finding.command) == (found, command)


def test_an_address_inside_a_vip_prefix_is_wrong() -> None:
    own = OwnAddress(ip_address("20.20.20.7"), 32, "lo")

    finding = only(
        replace(WELL, addresses=(*WELL.addresses, own)), document(WEB | {"vip": "20.20.20.0/24"})
    )

    assert (finding.subject, finding.command) == (
        "20.20.20.0/24",
        "ip address delete 20.20.20.7/32 dev lo",
    )


def test_a_vip_with_a_local_route_is_wrong() -> None:
    finding = only(replace(WELL, local_vips=frozenset({VIP})))

    assert (finding.found, finding.command) == (
        "has a local route",
        "ip route delete local 20.20.20.1/32",
    )


@pytest.mark.parametrize(
    ("forwards", "unserved", "count"),
    [(True, "pass", 1), (True, "drop", 0), (False, "pass", 0), (None, "pass", 0)],
)
def test_forwarding_is_bad_where_packets_to_vips_are_passed(
    forwards: bool | None,  # noqa: FBT001 - pytest's
    unserved: str,
    count: int,
) -> None:
    facts = replace(WELL, forwards={4: forwards, 6: True})

    findings = bad(facts, document(WEB | {"unserved": unserved}))

    assert [finding.command for finding in findings] == ["sysctl -w net.ipv4.ip_forward=0"] * count


def test_without_a_document_nothing_is_said_of_what_needs_one() -> None:
    facts = replace(WELL, ways=None, vip_routes=None)

    findings = judge(facts, None, "main")

    assert {finding.level for finding in findings} == {Level.OK}
    assert {"mtu", "vip"}.isdisjoint(finding.check for finding in findings)


@pytest.mark.parametrize(
    ("release", "level"),
    [("5.17.15", WRONG), ("5.18.0", WARNING), ("6.0.19", WARNING), ("6.1.0", Level.OK)],
)
def test_a_kernel_is_judged_by_its_version(release: str, level: Level) -> None:
    findings = judge(replace(WELL, kernel=kernel(release=release)), document(), "main")

    assert [each.level for each in findings if each.check == "kernel"] == [level]


@pytest.mark.parametrize(
    ("release", "limit", "is_told"),
    [("5.10.0", (256 << 20) - 1, True), ("5.10.0", 256 << 20, False), ("5.11.0", 1, False)],
)
def test_a_memory_lock_is_enough_from_there_on(
    release: str,
    limit: int,
    is_told: bool,  # noqa: FBT001 - pytest's
) -> None:
    findings = bad(replace(WELL, kernel=kernel(release=release, memlock_bytes=limit)))

    assert ("memlock" in {finding.check for finding in findings}) == is_told


def test_a_setting_that_is_not_there_is_not_judged() -> None:
    findings = judge(replace(WELL, kernel=kernel(jit=None)), document(), "main")

    assert "jit" not in {finding.check for finding in findings}


def test_bird_3_speaks_and_without_bird_it_is_bfd_alone_that_is_missed() -> None:
    by_bird = document(bgp=BGP | {"speaker": "bird"})
    assert bad(replace(WELL, programs=Programs(None, "3.0.1")), by_bird) == []

    finding = only(
        replace(WELL, programs=Programs("5.0.15", None)), document(bgp=BGP | {"bfd": {}})
    )

    assert finding.why.startswith("BGP runs without BFD then")


def test_a_daemon_that_starts_may_have_things_half_made() -> None:
    starting = replace(MAIN, pins=replace(MAIN.pins, leftovers=("maps/notes-new",)))

    assert bad(replace(WELL, instances=(starting,))) == []


def test_an_instance_whose_devices_are_all_gone_forwards_nowhere() -> None:
    pins = PinnedState(is_mounted=True, links={"eth9": 0})
    gone = Instance("old", runs=False, pins=pins)

    found = {each.check: each.found for each in bad(replace(WELL, instances=(MAIN, gone)))}

    assert found == {
        "instance": "has maps pinned, but neither a daemon nor an interface",
        "pins": "the device of eth9 is gone",
    }


def test_without_root_nothing_is_said_of_instances_that_are_not_seen() -> None:
    findings = judge(replace(WELL, is_root=False, instances=()), document(), "main")

    assert "instance" not in {finding.check for finding in findings}
