"""What every test stands on: the lab's tools on PATH, and no privileged test lost in silence."""

import functools
import gc
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent
PRIVILEGED_MARKERS = ("bpf", "netns")
PROBE_TIMEOUT_S = 30.0

RERUNS = 1
"""Of a test in network namespaces that failed: it shares a kernel and its clock with whatever else
runs. The summary lists each as RERUN, and one that comes back is a test to mend. One that hands
packets to the data plane itself has no such excuse: a race there must not pass the second time."""


LONGEST_FIRST = (
    "tests/lab/test_prove_announce.py",
    "tests/lab/test_stars_virtual.py",
    "tests/lab/test_demo.py",
    "tests/kernels/",
    "tests/lab/test_stars.py",
    "tests/operate/",
    "tests/house/test_wheel.py",
    "tests/dataplane/test_reference_agreement.py",
    "tests/fuzz/",
    "tests/packets/",
    "tests/control/test_announce.py",
)
"""They begin before all others, so that no worker is still at one when the others have ended."""

SHARING_NOTHING = LONGEST_FIRST[:3]
"""Their tests have no fixture in common but the machine, and may be run by several workers."""


def pytest_configure() -> None:
    """Let the tests find BIRD where set-up unpacked it, and hypothesis look at no clock.

    Programs that tests start by the hundred are compiled once, as they are for a user. Nothing
    that is collected becomes garbage: looking for some takes a quarter of the collection.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    gc.disable()
    hypothesis.settings.register_profile(
        "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("busy")
    os.environ["PATH"] = f"{ROOT / '.tools/root/usr/sbin'}{os.pathsep}{os.environ['PATH']}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """Files stay whole, as `--dist loadfile` says, but for those whose tests share nothing."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


class Scheduling(LoadFileScheduling):  # type: ignore[misc]
    """A worker takes a whole file, or one test of a file that is long."""

    def _split_scope(self, nodeid: str) -> str:
        is_alone = nodeid.startswith(SHARING_NOTHING)
        return nodeid if is_alone else str(super()._split_scope(nodeid))


def pytest_collection_finish() -> None:
    """Have garbage looked for again, but never among what was collected."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest first, and let a test of a network fail once, but by `--reruns 0` none."""
    items.sort(key=lambda item: _place(item.nodeid))
    for item in items:
        if item.get_closest_marker("netns") and config.getoption("reruns") != 0:
            item.add_marker(pytest.mark.flaky(reruns=RERUNS))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a privileged test where this machine cannot run it."""
    if is_privileged(item) and (reason := missing_privilege()):
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where privileged tests are required, one that was skipped for any reason has failed."""
    report = yield
    if report.skipped and is_privileged(item) and is_required() and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"a privileged test must not be skipped here: {report.longrepr}"
    return report


def _place(nodeid: str) -> int:
    places = (index for index, path in enumerate(LONGEST_FIRST) if nodeid.startswith(path))
    return next(places, len(LONGEST_FIRST))


def is_privileged(item: pytest.Item) -> bool:
    """Whether a test needs root and a kernel with BPF or network namespaces."""
    return any(item.get_closest_marker(name) for name in PRIVILEGED_MARKERS)


def is_required() -> bool:
    """Whether this run must not leave a privileged test out: in CI, or when asked."""
    return os.environ.get("CI") == "true" or bool(os.environ.get("HEADRACE_REQUIRE_PRIVILEGED"))


@functools.cache
def missing_privilege() -> str:
    """What keeps privileged tests from running here, in a sentence; empty when nothing does."""
    if os.geteuid() != 0:
        return "needs root"
    probe = subprocess.run(
        [sys.executable, ROOT / "setup/kernel_probe.py"],
        capture_output=True,
        text=True,
        timeout=PROBE_TIMEOUT_S,
        check=False,
    )
    return (probe.stdout + probe.stderr).strip() if probe.returncode else ""
