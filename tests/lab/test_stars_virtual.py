"""The stars with a virtual machine, apart from the others: so they are run beside each other.

An emulator takes a minute of a busy processor. Each way of wrapping, each family and SCTP by both
ways is here; `make prove-stars` has every pairing.
"""

import pytest

from headrace.lab.stars import STARS
from tests.lab.star_claims import all_claims_hold

AT_LENGTH = {"sctp-l2dsr-v6", "sctp-4in4", "vm-6in6", "vm-gue-4in4"}
WITH_GUESTS = [star.name for star in STARS if star.guests and star.name not in AT_LENGTH]


@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.timeout(240)  # it is emulated, beside whatever else runs here
@pytest.mark.parametrize("name", WITH_GUESTS)
def test_every_claim_about_a_star_of_another_kernel_holds(name: str) -> None:
    all_claims_hold(name)
