"""The objects load on Debian's kernel as well and do the same there.

`make prove-kernels` is the long form: every case, two compilers.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from .budget import BUDGET, beyond
from .cases import few_cases
from .compilers import ROOT
from .guest import LIMIT_GUEST_S, run_both
from .sctp import AS_PROMISED
from .trial import Trial, try_here
from .verifier import Verified

pytestmark = pytest.mark.bpf


@pytest.mark.timeout(LIMIT_GUEST_S + 60)  # 15 s on an idle machine, most of it to boot and import
def test_every_program_loads_on_debians_kernel_and_does_there_as_here(tmp_path: Path) -> None:
    here, guest = run_both(ROOT, few_cases(), tmp_path)

    assert (here.failures, guest.failures) == ([], [])
    assert guest.kernel != here.kernel
    assert guest.cases == here.cases > 0
    assert BUDGET.keys() <= {program.name for program in guest.programs}
    assert beyond(guest.programs) == []
    assert guest.sctp == AS_PROMISED


def test_a_packet_that_fares_otherwise_is_a_failure() -> None:
    cargo = few_cases()
    sent = cargo.balancer[0]
    unwrapped = cargo.endpoint[0]
    wrong = replace(
        cargo,
        balancer=[sent, replace(sent, expected=sent.expected + b"x")],
        endpoint=[replace(unwrapped, verdict="drop_internal")],
    )

    trial = try_here(wrong)

    assert trial.cases == 3
    assert [failure.partition(": (")[0] for failure in trial.failures] == [
        sent.sentence,
        unwrapped.sentence,
    ]


def test_a_trial_comes_back_as_it_was_written() -> None:
    trial = Trial("6.1", [Verified("headrace", 1, 2)], 3, ["a"], ["up: connected"], ["b"])

    assert Trial.from_json(trial.to_json()) == trial
