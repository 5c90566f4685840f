"""The stars with a virtual machine, apart from the others: so they are run beside each other."""

import pytest

from headrace.lab.stars import STARS
from tests.lab.star_claims import all_claims_hold

WITH_GUESTS = [star.name for star in STARS if star.guests]


@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.timeout(240)  # it is emulated, beside whatever else runs here
@pytest.mark.parametrize("name", WITH_GUESTS)
def test_every_claim_about_a_star_of_another_kernel_holds(name: str) -> None:
    all_claims_hold(name)
