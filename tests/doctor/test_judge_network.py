"""What the doctor makes of interfaces and of the ways to endpoints."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from headrace.dataplane.pins import PinnedState
from headrace.dataplane.selftest import SAFE_MTU_BYTES
from headrace.doctor import Facts, Finding, Level, judge
from headrace.doctor.facts import Device, Instance, Offloads
from headrace.model import Encapsulation, Target, Unresolved
from headrace.underlay.outer import Outer
from headrace.underlay.snapshot import Leg, Link, NoRoute, Route

from .values import (
    BY_ETH0,
    BY_ETH1,
    ENDPOINT,
    ETH0,
    ETH1,
    LINK,
    MAIN,
    NARROW,
    TARGET,
    VIP,
    WEB,
    WELL,
    bad,
    document,
    only,
)

WARNING, WRONG = Level.WARNING, Level.WRONG
CHECKED: dict[str, Any] = WEB | {"health": {"kind": "tcp"}}


def with_eth0(**changes: Any) -> Facts:
    return replace(WELL, devices=(replace(ETH0, **changes), ETH1))


def with_eth1(link: Link, **changes: Any) -> Facts:
    return replace(WELL, devices=(ETH0, replace(ETH1, link=link, **changes)))


def only_eth0(**changes: Any) -> Facts:
    """A host with one interface, without an instance."""
    target = Target(ENDPOINT, Encapsulation.L2)
    return replace(
        WELL,
        devices=(replace(ETH0, xdp="", **changes),),
        ways={target: Outer(target, ENDPOINT, None, (Leg(2),))},
        instances=(),
    )


def summary(finding: Finding) -> tuple[str, str, Level, str]:
    return finding.check, finding.subject, finding.level, finding.command


# --- interfaces ------------------------------------------------------------------------------


def test_an_interface_that_is_down_is_wrong() -> None:
    asked = document(node={"interfaces": ["eth0"]})

    finding = only(with_eth0(link=replace(LINK, up=False)), asked)

    assert summary(finding) == ("link", "eth0", WRONG, "ip link set dev eth0 up")


def test_an_interface_without_carrier_is_a_warning() -> None:
    finding = only(with_eth0(link=replace(LINK, carrier=False)))

    assert summary(finding) == ("link", "eth0", WARNING, "ethtool eth0")


def test_an_interface_of_the_document_that_is_not_there_is_wrong() -> None:
    finding = only(WELL, document(node={"interfaces": ["eth0", "eth7"]}))

    assert summary(finding)[:3] == ("interface", "eth7", WRONG)
    assert "eth7 does not exist" in finding.found


def test_an_interface_that_carries_no_xdp_is_wrong() -> None:
    bridge = Device(Link(9, "br0", "bridge", LINK.mac, 1500))
    facts = replace(WELL, devices=(*WELL.devices, bridge))

    finding = only(facts, document(node={"interfaces": ["br0", "eth0"]}))

    assert summary(finding)[:3] == ("interface", "br0", WRONG)
    assert "name its ports" in finding.found


def test_an_interface_that_a_running_daemon_has_not_attached_to_is_wrong() -> None:
    instance = replace(MAIN, pins=PinnedState(is_mounted=True, links={"eth1": 3}))

    finding = only(replace(with_eth0(xdp=""), instances=(instance,)))

    assert summary(finding) == ("xdp", "eth0", WRONG, "headrace status --instance main")


@pytest.mark.parametrize(
    ("instances", "command"),
    [
        pytest.param((), "ip link set dev eth0 xdp off", id="of a stranger"),
        pytest.param(
            (Instance("b", runs=True, pins=PinnedState(is_mounted=True, links={"eth0": 2})),),
            "headrace detach --instance b",
            id="of another instance",
        ),
        pytest.param(
            (Instance("b", runs=True, pins=PinnedState(is_mounted=True, links={"eth0": 99})),),
            "ip link set dev eth0 xdp off",
            id="of an instance with an interface of that name elsewhere",
        ),
    ],
)
def test_a_program_of_somebody_else_is_wrong(instances: tuple[Instance, ...], command: str) -> None:
    own = replace(MAIN, pins=PinnedState(is_mounted=True, links={"eth1": 3}))

    finding = only(replace(WELL, instances=(own, *instances)))

    assert summary(finding) == ("xdp", "eth0", WRONG, command)


@pytest.mark.parametrize(
    ("is_near", "told"),
    [
        pytest.param(
            True, (WARNING, "nsenter --target 9 --mount --net headrace doctor"), id="here"
        ),
        pytest.param(False, (WRONG, "ip link set dev eth0 xdp off"), id="in another network"),
    ],
)
def test_a_program_whose_pins_may_be_hidden_is_not_to_be_taken_off(
    told: tuple[Level, str], *, is_near: bool
) -> None:
    pins = PinnedState(is_mounted=False, links={})
    own = replace(MAIN, pins=PinnedState(is_mounted=True, links={"eth1": 3}))
    hidden = Instance("b", runs=True, pins=pins, elsewhere=9, is_near=is_near)

    findings = {each.check: each for each in bad(replace(WELL, instances=(own, hidden)))}

    assert findings["xdp"].level is told[0]
    assert findings["xdp"].command.startswith(told[1])


AGAIN = "headrace detach --instance main && headrace run --instance main"


@pytest.mark.parametrize(
    ("changes", "found", "command"),
    [
        pytest.param({}, "native mode was refused", AGAIN, id="for no reason that shows"),
        pytest.param(
            {"xdp_features": 0}, "mlx5_core has no native mode", "ethtool -i eth0", id="its driver"
        ),
    ],
)
def test_generic_mode_is_a_warning(changes: dict[str, Any], found: str, command: str) -> None:
    finding = only(with_eth0(xdp="generic", **changes))

    assert summary(finding) == ("xdp", "eth0", WARNING, command)
    assert found in finding.found


def test_packets_that_are_merged_before_generic_mode_are_wrong() -> None:
    offloads = Offloads(lro=True, gro_hw=True)

    xdp, offload = bad(with_eth0(xdp="generic", offloads=offloads))

    assert xdp.command == f"ethtool -K eth0 lro off && {AGAIN}"
    assert summary(offload) == (
        "offload",
        "eth0",
        WRONG,
        "ethtool -K eth0 lro off rx-gro-hw off",
    )


def test_native_mode_has_switched_merging_off_already() -> None:
    assert bad(with_eth0(offloads=Offloads(lro=True, gro_hw=True))) == []


@pytest.mark.parametrize(
    ("changes", "loses", "found"),
    [
        pytest.param({"xdp_features": 0}, False, "has no native mode", id="no native mode"),
        pytest.param(
            {"offloads": Offloads(lro=True)}, False, "large receive offload", id="LRO is on"
        ),
        pytest.param(
            {"link": replace(LINK, mtu_bytes=9000)}, True, "loses redirected", id="a bad kernel"
        ),
        pytest.param(
            {"link": replace(LINK, mtu_bytes=9000), "xdp_features": 1},
            False,
            "takes no packets above one page",
            id="a driver without fragments",
        ),
    ],
)
def test_it_says_beforehand_that_an_interface_would_be_generic(
    changes: dict[str, Any],
    loses: bool,  # noqa: FBT001 - pytest's
    found: str,
) -> None:
    facts = only_eth0(**changes)
    facts = replace(facts, kernel=replace(WELL.kernel, loses_big_redirects=loses))

    findings = bad(facts)

    assert findings[0].found.startswith("not attached, and it would be generic: ")
    assert found in findings[0].found


def test_an_interface_with_native_mode_is_well_before_the_first_start() -> None:
    assert bad(only_eth0()) == []
    assert bad(only_eth0(xdp_features=None)) == []


def test_a_device_that_takes_tags_away_is_a_warning_where_there_are_vlans() -> None:
    vlan = Device(link=Link(9, "eth0.7", "vlan", LINK.mac, 1500, parent=2, vlan_id=7))
    facts = with_eth0(offloads=Offloads(vlan=True))

    finding = only(replace(facts, devices=(*facts.devices, vlan)))

    assert bad(facts) == []
    assert summary(finding) == ("vlan", "eth0", WARNING, "ethtool -K eth0 rxvlan off")


# --- MTUs ------------------------------------------------------------------------------------


def test_a_way_narrower_than_what_arrives_is_a_warning() -> None:
    finding = only(with_eth1(NARROW))

    assert summary(finding) == ("mtu", "eth1", WARNING, "ip link set dev eth1 mtu 1520")
    assert finding.found == (
        "packets of up to 1480 bytes reach 56.56.56.1: MTU 1500 less 20; up to 1500 arrive"
    )


@pytest.mark.parametrize(
    ("how", "outer", "overhead"),
    [
        pytest.param(Encapsulation.L2, "56.56.56.1", 0, id="l2"),
        pytest.param(Encapsulation.IPIP, "56.56.56.1", 20, id="ipip over IPv4"),
        pytest.param(Encapsulation.IPIP, "fd56::1", 40, id="ipip over IPv6"),
        pytest.param(Encapsulation.GUE, "56.56.56.1", 28, id="gue over IPv4"),
        pytest.param(Encapsulation.GUE, "fd56::1", 48, id="gue over IPv6"),
    ],
)
def test_a_way_must_take_the_header_as_well(how: Encapsulation, outer: str, overhead: int) -> None:
    target = Target(ENDPOINT, how)
    ways = {target: Outer(target, ip_address(outer), None, (Leg(3),))}
    enough, short = (replace(NARROW, mtu_bytes=1500 + overhead - less) for less in (0, 1))

    assert bad(replace(with_eth1(enough), ways=ways)) == []
    assert only(replace(with_eth1(short), ways=ways)).check == "mtu"


def test_where_packets_leave_as_they_came_only_the_header_counts() -> None:
    assert bad(only_eth0()) == []
    ways = {TARGET: Outer(TARGET, ENDPOINT, None, (Leg(2),))}

    finding = only(replace(only_eth0(), ways=ways))

    assert finding.command == "ip link set dev eth0 mtu 1520"


def test_a_way_that_ipv6_cannot_be_told_of_is_wrong() -> None:
    web6 = WEB | {"vip": "fd20::1", "port": 81}
    narrow = replace(NARROW, mtu_bytes=1299)

    finding = only(with_eth1(narrow), document(WEB, web6))

    assert (finding.check, finding.level) == ("mtu", WRONG)
    assert "1280" in finding.why


def test_a_narrow_route_is_told_apart_from_a_narrow_device() -> None:
    ways = {TARGET: Outer(TARGET, ENDPOINT, None, (Leg(3, mtu_bytes=1400),))}

    finding = only(replace(WELL, ways=ways))

    assert finding.command == "ip route get 56.56.56.1  # raise the mtu of this route"


def test_a_vlan_is_raised_with_what_it_is_on() -> None:
    vlan = Link(9, "eth1.7", "vlan", NARROW.mac, 1500, parent=3, vlan_id=7)
    ways = {TARGET: Outer(TARGET, ENDPOINT, None, (Leg(9),))}
    facts = replace(WELL, devices=(ETH0, replace(ETH1, link=NARROW), Device(vlan)), ways=ways)

    assert only(facts).command == (
        "ip link set dev eth1 mtu 1520 && ip link set dev eth1.7 mtu 1520"
    )


def test_many_endpoints_behind_one_device_are_one_finding() -> None:
    targets = [Target(ip_address("56.56.56.0") + number) for number in range(10)]
    ways = {each: Outer(each, each.endpoint, None, (Leg(3),)) for each in targets}

    finding = only(replace(with_eth1(NARROW), ways=ways))

    assert "reach 56.56.56.0, 56.56.56.1, 56.56.56.2 and 7 more: " in finding.found


def test_endpoints_without_a_way_are_wrong() -> None:
    ways = {
        Target(ip_address("56.56.56.0") + number): Unresolved(f"56.56.56.{number} has no route")
        for number in range(5)
    }

    findings = bad(replace(WELL, ways=ways))

    assert [finding.check for finding in findings] == ["route"] * 4
    assert findings[0].found == "56.56.56.0 has no route"
    assert findings[-1].found == "2 more endpoints cannot be reached"


def test_a_veth_that_packets_leave_by_gets_a_word() -> None:
    veth = replace(ETH1.link, kind="veth")

    findings = judge(with_eth1(veth), document(), "main")

    assert [finding.subject for finding in findings if finding.check == "gro"] == ["eth1"]


# --- the reverse path filter -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "route", "has_address", "command"),
    [
        pytest.param(0, BY_ETH0, True, None, id="off"),
        pytest.param(0, NoRoute("none"), False, None, id="off, without route and address"),
        pytest.param(1, BY_ETH1, True, None, id="strict, by the same interface"),
        pytest.param(
            1, BY_ETH0, True, "sysctl -w net.ipv4.conf.eth1.rp_filter=2", id="strict, by another"
        ),
        pytest.param(2, BY_ETH0, True, None, id="loose, by another"),
        pytest.param(
            2,
            NoRoute("none"),
            True,
            "sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0",
            id="loose, without a route",
        ),
        pytest.param(
            2,
            BY_ETH0,
            False,
            "sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0",
            id="loose, without an address",
        ),
    ],
)
def test_a_filter_that_drops_answers_to_probes_is_wrong(
    mode: int,
    route: Route | NoRoute,
    has_address: bool,  # noqa: FBT001 - pytest's
    command: str | None,
) -> None:
    facts = replace(
        with_eth1(ETH1.link, rp_filter=mode),
        vip_routes={VIP: route},
        addresses=WELL.addresses if has_address else WELL.addresses[:1],
    )

    findings = bad(facts, document(CHECKED))

    assert [finding.command for finding in findings] == ([command] if command else [])


@pytest.mark.parametrize(
    "health", [pytest.param("none", id="not checked"), {"kind": "tcp", "path": "direct"}]
)
def test_a_filter_is_no_matter_where_no_probe_takes_the_tunnel(health: object) -> None:
    assert bad(with_eth1(ETH1.link, rp_filter=1), document(WEB | {"health": health})) == []


def test_a_filter_of_a_vlan_is_named_as_sysctl_wants_it() -> None:
    vlan = Device(Link(9, "eth1.7", "vlan", NARROW.mac, 1540, parent=3, vlan_id=7), rp_filter=1)
    way = Outer(TARGET, ENDPOINT, None, (Leg(9),))
    facts = replace(WELL, devices=(ETH0, ETH1, vlan), ways={TARGET: way})
    facts = replace(
        facts, addresses=(*facts.addresses, replace(facts.addresses[0], device="eth1.7"))
    )

    assert only(facts, document(CHECKED)).command == "sysctl -w net.ipv4.conf.eth1/7.rp_filter=2"


def test_without_a_document_a_strict_filter_is_a_warning() -> None:
    facts = replace(with_eth0(rp_filter=1), ways=None, vip_routes=None)

    (finding,) = (each for each in judge(facts, None, "main") if each.level is not Level.OK)

    assert summary(finding) == (
        "rp_filter",
        "eth0",
        WARNING,
        "sysctl -w net.ipv4.conf.eth0.rp_filter=2",
    )


# --- where a judgement turns -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vip", "mtu_bytes", "level"),
    [("fd20::1", 1300, WARNING), ("fd20::1", 1299, WRONG), ("20.20.20.2", 1299, WARNING)],
)
def test_a_way_is_wrong_where_ipv6_needs_more_of_it(vip: str, mtu_bytes: int, level: Level) -> None:
    asked = document(WEB, WEB | {"vip": vip})

    assert only(with_eth1(replace(NARROW, mtu_bytes=mtu_bytes)), asked).level is level


def test_a_device_that_is_just_wide_enough_is_not_to_be_raised() -> None:
    link = replace(NARROW, mtu_bytes=1520)
    ways = {TARGET: Outer(TARGET, ENDPOINT, None, (Leg(3, mtu_bytes=1500),))}

    finding = only(replace(with_eth1(link), ways=ways))

    assert finding.command == "ip route get 56.56.56.1  # raise the mtu of this route"


def test_what_a_port_of_the_bridge_to_the_endpoints_takes_need_not_fit() -> None:
    bridge = Device(Link(9, "br0", "bridge", NARROW.mac, 1540))
    port = replace(ETH1, link=replace(NARROW, mtu_bytes=3000, master=9))
    ways = {TARGET: Outer(TARGET, ENDPOINT, None, (Leg(9),))}

    assert bad(replace(WELL, devices=(ETH0, port, bridge), ways=ways)) == []


def test_as_many_as_are_named_have_no_others_beside_them() -> None:
    targets = [Target(ip_address("56.56.56.0") + number) for number in range(3)]
    ways = {each: Outer(each, each.endpoint, None, (Leg(3),)) for each in targets}
    lost = {each: Unresolved(f"{each.endpoint} has no route") for each in targets}
    webs = [WEB | {"vip": f"20.20.20.{number}", "unserved": "pass"} for number in range(1, 4)]
    forwards = replace(WELL, forwards={4: True, 6: False})

    narrow = only(replace(with_eth1(NARROW), ways=ways))
    routes = bad(replace(WELL, ways=lost))
    passed = only(forwards, document(*webs))

    assert "reach 56.56.56.0, 56.56.56.1, 56.56.56.2: " in narrow.found
    assert [finding.found for finding in routes] == [
        f"56.56.56.{number} has no route" for number in range(3)
    ]
    assert "of 20.20.20.1, 20.20.20.2, 20.20.20.3 is for" in passed.found


def test_a_filter_is_no_matter_for_ipv6_whose_addresses_do_not_count_for_ipv4() -> None:
    own = replace(WELL.addresses[1], address=ip_address("fd00::1"))
    loose = replace(with_eth1(ETH1.link, rp_filter=2), addresses=(WELL.addresses[0], own))

    lost = only(loose, document(CHECKED))
    none = bad(with_eth1(ETH1.link, rp_filter=1), document(CHECKED | {"vip": "fd20::1"}))

    assert lost.command.startswith("sysctl -w net.ipv4.conf.all.rp_filter=0")
    assert none == []


def test_the_largest_mtu_of_one_page_is_native_everywhere() -> None:
    facts = only_eth0(link=replace(LINK, mtu_bytes=SAFE_MTU_BYTES), xdp_features=1)
    kernel = replace(WELL.kernel, loses_big_redirects=True)

    assert bad(replace(facts, kernel=kernel)) == []


def test_without_root_an_interface_without_a_program_is_still_told_from_one_with() -> None:
    facts = replace(only_eth0(), is_root=False)
    attached = replace(facts, devices=(ETH0,))

    found = [
        each.found
        for seen in (facts, attached)
        for each in judge(seen, document(), "main")
        if each.check == "xdp"
    ]

    assert found == [
        "not attached; native mode is there",
        "native; whose it is, only root can see",
    ]


def test_a_program_whose_owner_is_seen_is_not_taken_for_a_hidden_ones() -> None:
    none = PinnedState(is_mounted=False, links={})
    own = replace(MAIN, pins=PinnedState(is_mounted=True, links={"eth1": 3}))
    owner = Instance("b", runs=True, pins=PinnedState(is_mounted=True, links={"eth0": 2}))
    hidden = Instance("c", runs=True, pins=none, elsewhere=9, is_near=True)

    findings = {each.check: each for each in bad(replace(WELL, instances=(own, owner, hidden)))}

    assert findings["xdp"].command == "headrace detach --instance b"
