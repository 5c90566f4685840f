"""A guest is set up by the seed's own commands."""

from headrace.lab.guest_script import render_guest
from headrace.lab.topologies import DEMO, TOPOLOGIES

SEED = """\
ip addr add 31.31.31.1/24 dev vlan31
ip link add name ipip11 type ipip local 31.31.31.1 remote 31.31.31.253
ip link set dev ipip11 up
ip addr add 45.45.1.1/24 dev ipip11
ip addr add 56.56.56.1/32 dev lo
ip addr add 20.20.20.1/32 dev lo
sysctl -w net.ipv4.conf.all.arp_ignore=3
sysctl -w net.ipv4.conf.all.arp_announce=2
sysctl -w net.ipv4.conf.all.rp_filter=2
sysctl -w net.ipv4.conf.ipip11.rp_filter=0
"""
"""The blog's commands for ep1; it names the veth where the network itself has a bridge."""


def rendered(star: str) -> list[str]:
    topology = TOPOLOGIES[star]
    return render_guest(topology, topology.node("ep1"))


def test_the_demos_endpoint_is_made_by_the_seeds_commands_word_for_word() -> None:
    commands = render_guest(DEMO, DEMO.node("ep1"))

    assert [line for line in commands if line in SEED] == SEED.splitlines()


def test_each_pair_of_families_has_its_kind_of_tunnel() -> None:
    kinds = {
        star: next(line for line in rendered(star) if "link add" in line)
        for star in ("vm-4in4", "vm-4in6", "vm-6in4", "vm-6in6")
    }

    any_mode = "type ip6tnl local fd00:31::1 remote fd00:31::254 mode any encaplimit none"
    assert kinds == {
        "vm-4in4": "ip link add name ipip0 type ipip local 31.31.31.1 remote 31.31.31.254",
        "vm-6in4": "ip link add name ipip0 type sit local 31.31.31.1 remote 31.31.31.254",
        "vm-4in6": f"ip link add name ipip0 {any_mode}",
        "vm-6in6": f"ip link add name ipip0 {any_mode}",
    }


def test_gue_is_taken_away_by_the_kernel_in_the_family_of_the_tunnel() -> None:
    assert "ip -4 fou add port 6080 gue" in rendered("vm-gue-4in4")
    assert "ip -6 fou add port 6080 gue" in rendered("vm-gue-6in6")
    assert not any("fou" in line for line in rendered("vm-4in4"))


def test_a_setting_with_spaces_is_one_word_for_the_shell() -> None:
    assert "sysctl -w 'net.ipv4.ip_local_port_range=16384 65535'" in rendered("vm-4in4")
