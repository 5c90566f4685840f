"""A capture sees what happens after it began, and ends by itself."""

import pytest

from headrace.lab.capture import Capture, CapturePoint
from headrace.lab.network import WIRE
from headrace.lab.traffic import ask_names, start_server
from headrace.model.errors import UnavailableError
from tests.lab.conftest import MakeLab
from tests.lab.lines import CLIENT, SERVER, line_topology

pytestmark = pytest.mark.netns


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(CapturePoint(CLIENT, "euserep1"), id="at the client"),
        pytest.param(CapturePoint(SERVER, "eep1user"), id="at the server"),
        pytest.param(CapturePoint(WIRE, "wuserep1"), id="on the wire"),
    ],
)
async def test_the_first_packet_is_seen_and_the_count_ends_it(
    make_lab: MakeLab, point: CapturePoint
) -> None:
    lab = make_lab(line_topology(tapped=True))
    await start_server(lab, SERVER, "server1")

    async with Capture(lab, point, "tcp port 8080", count=3) as capture:
        await ask_names(lab, CLIENT, count=1)
        lines = await capture.lines(timeout_s=10)

    flags = [line.split("Flags ")[1].split(",")[0] for line in lines]
    assert "IP 20.20.20.2.15402 > 20.20.20.1.8080: " in lines[0]
    assert flags == ["[S]", "[S.]", "[.]"]


async def test_what_there_is_comes_when_time_is_over(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())

    async with Capture(lab, CapturePoint(CLIENT, "euserep1"), "tcp port 7") as capture:
        lines = await capture.lines(timeout_s=0.1)

    assert lines == []


async def test_a_filter_that_is_none_is_told_of(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())

    with pytest.raises(UnavailableError, match="syntax error"):
        async with Capture(lab, CapturePoint(CLIENT, "euserep1"), "no such filter"):
            pass
