"""Each case is what its name says; figures stand beside their bounds, void where they are."""

import io
import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether

from headrace.bench import Case, Figure, all_cases, frames, measure, show, write_json
from headrace.bench.report import relations_of
from headrace.bench.worlds import VIP
from headrace.dataplane import detach_all
from headrace.model import UnavailableError
from tests.house.source import ROOT

CASES = all_cases()
SERVE = runpy.run_path(str(ROOT / "bench/serve.py"))
"""The script for harnesses of one's own."""

FIGURE = Figure(CASES[0], (31.0, 29.0, 40.0), overhead_ns=12.0, strange=0)


@pytest.mark.bpf
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_every_case_ends_as_it_says_and_every_packet_leaves_as_it_should(case: Case) -> None:
    figure = measure(case, rounds=1, iterations=2_000)

    assert figure.strange == 0
    assert len(figure.rounds) == 1


@pytest.mark.bpf
def test_a_case_with_the_wrong_verdict_measures_nothing() -> None:
    wrong = replace(CASES[0], verdict="drop_no_path")

    with pytest.raises(UnavailableError, match=r"0 of .* packets were drop_no_path"):
        measure(wrong, rounds=1, iterations=2_000)


@pytest.mark.bpf
def test_packets_that_grow_otherwise_measure_nothing() -> None:
    wrong = replace(CASES[0], head_growth=28)

    with pytest.raises(UnavailableError, match="packets were sent"):
        measure(wrong, rounds=1, iterations=2_000)


@pytest.mark.bpf
@pytest.mark.parametrize("world", SERVE["WORLDS"])
def test_another_harness_finds_the_program_pinned(world: str, tmp_path: Path) -> None:
    folder = tmp_path / "pins"
    try:
        SERVE["main"](folder, world)

        assert (folder / "programs/headrace").exists()
    finally:
        detach_all(folder)


@pytest.mark.parametrize("version", [4, 6])
def test_frames_are_what_they_are_called(version: int) -> None:
    vip, ip = VIP[version], IP if version == 4 else IPv6
    segment = Ether(frames.tcp_frame(vip, flags=frames.SYN).data)

    assert (segment[ip].dst, segment[TCP].dport, str(segment[TCP].flags)) == (str(vip), 80, "S")
    error = Ether(frames.error_frame(vip).data)
    quoted = error[ICMP if version == 4 else ICMPv6PacketTooBig].payload
    assert (quoted.src, quoted.sport) == (str(vip), 80)
    assert len(Ether(frames.tcp_frame(vip, size=1500).data)[ip]) == 1500


def test_fragments_are_of_one_datagram() -> None:
    first, later = (
        Ether(frames.fragment_frame(VIP[4], first=which).data) for which in (True, False)
    )

    assert first[UDP].dport == 80
    assert (first[IP].id, first[IP].frag) == (later[IP].id, 0)
    assert later[IP].frag > 0


def test_a_flow_has_the_address_and_port_that_the_harness_writes() -> None:
    frame = frames.tcp_frame(VIP[4])

    flows = {(p[IP].src, p[TCP].sport) for p in (Ether(frame.of_flow(n)) for n in range(1000))}
    assert len(flows) == 1000
    assert Ether(frame.of_flow(1))[IP].src == "10.55.121.177"


def test_the_table_says_which_bound_held() -> None:
    console = Console(file=io.StringIO(), width=120)

    show([FIGURE, replace(FIGURE, rounds=(99.0,)), replace(FIGURE, strange=3)], console)

    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "held" in text
    assert "missed" in text
    assert "void: 3 packets left otherwise" in text


def test_the_file_has_what_the_figures_depend_on(tmp_path: Path) -> None:
    write_json([FIGURE], tmp_path / "figures.json")

    kept = json.loads((tmp_path / "figures.json").read_text())
    assert kept.keys() > {"machine", "kernel", "compiler", "commit", "when"}
    assert kept["figures"][0]["median"] == 31.0


def test_relations_are_between_the_rows_of_one_run() -> None:
    rows = {case.name: replace(FIGURE, case=case, rounds=(20.0,)) for case in CASES}
    name = "IPv4 TCP, 1,000,000 flows"
    rows[name] = replace(rows[name], rounds=(26.0,))

    found = {relation.name: ratio for relation, ratio in relations_of(list(rows.values()))}

    assert found["IPv4 TCP, dearest to cheapest"] == 1.3
    assert found["IPv6 TCP, dearest to cheapest"] == 1.0
    assert relations_of([FIGURE]) == []
