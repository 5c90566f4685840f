"""Every peer of ExaBGP's hears the set in the end, whatever happens on the way."""

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.bgp.relay.exabgp import ExabgpRelay
from headrace.bgp.relay.messages import Side
from headrace.bgp.relay.wanted import Wanted
from tests.bgp.relay_lines import OURS, R1, R2, announce_line, state_line


def commands_of(relay: ExabgpRelay) -> list[str]:
    return relay.data_to_send(Side.SPEAKER).decode().splitlines()


class Speaker:
    """ExaBGP as the relay sees it: sessions come and go while commands wait to be done.

    A command for a session that is down may be lost or may be kept for the next one.
    """

    def __init__(self) -> None:
        self.heard: dict[str, dict[str, str]] = {}
        self._kept: dict[str, dict[str, str]] = defaultdict(dict)
        self._commands: list[str] = []

    def queue(self, commands: list[str]) -> None:
        self._commands += commands

    def has_work(self) -> bool:
        return bool(self._commands)

    def up(self, peer: str) -> bytes:
        self.heard[peer] = self._kept.pop(peer, {})
        return state_line(peer, "up")

    def down(self, peer: str) -> bytes:
        del self.heard[peer]
        return state_line(peer, "down")

    def refuse(self) -> bytes:
        self._commands.pop(0)
        return b"error\n"

    def work(self, *, keep: bool) -> bytes:
        _, peer, action, *rest = self._commands.pop(0).split()
        attributes, _, prefixes = " ".join(rest).partition(" nlri ")
        heard = self.heard.get(peer, self._kept[peer] if keep else {})
        for prefix in prefixes.split():
            if action == "announce":
                heard[prefix] = attributes
            else:
                heard.pop(prefix, None)
        return b"done\n"


SETS: list[dict[str, int]] = [
    {},
    {"20.0.0.1/32": 1},
    {"20.0.0.1/32": 2, "20.0.0.2/32": 1},
]

STEPS = st.one_of(
    st.tuples(st.just("announce"), st.sampled_from(SETS)),
    st.tuples(st.just("toggle"), st.sampled_from([R1, R2])),
    st.tuples(st.just("work"), st.booleans()),
    st.tuples(st.just("refuse"), st.none()),
    st.tuples(st.just("daemon"), st.none()),
)


@settings(max_examples=300)
@given(st.lists(STEPS, min_size=10, max_size=60))
def test_every_peer_hears_the_set_in_the_end_whatever_happens_on_the_way(
    steps: list[tuple[str, Any]],
) -> None:
    relay = ExabgpRelay(exabgp_pid=42, wanted=Wanted(), beside=dict[str, str]().get)
    speaker, desired = Speaker(), SETS[0]
    relay.connect(0.0)
    for action, value in steps:
        match action:
            case "announce":
                desired = value
                routes = [{"prefix": prefix, "med": med} for prefix, med in value.items()]
                relay.receive(Side.DAEMON, announce_line(1, *routes), 0.0)
            case "toggle" if value in speaker.heard:
                relay.receive(Side.SPEAKER, speaker.down(value), 0.0)
            case "toggle":
                relay.receive(Side.SPEAKER, speaker.up(value), 0.0)
            case "work" if speaker.has_work():
                relay.receive(Side.SPEAKER, speaker.work(keep=value), 0.0)
            case "refuse" if speaker.has_work():
                relay.receive(Side.SPEAKER, speaker.refuse(), 0.0)
            case "daemon":
                relay.disconnect(0.0)
                relay.connect(0.0)
        speaker.queue(commands_of(relay))
    routes = [{"prefix": prefix, "med": med} for prefix, med in desired.items()]
    relay.receive(Side.DAEMON, announce_line(2, *routes), 0.0)
    speaker.queue(commands_of(relay))

    while speaker.has_work():
        relay.receive(Side.SPEAKER, speaker.work(keep=True), 0.0)
        speaker.queue(commands_of(relay))

    assert speaker.heard == {
        peer: {
            prefix: f"attributes next-hop {OURS[peer]} med {med}" for prefix, med in desired.items()
        }
        for peer in speaker.heard
    }
