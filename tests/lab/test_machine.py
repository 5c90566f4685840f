"""A virtual machine's guests can be commanded, and it ends with its lab."""

import pytest

from headrace.lab.machine import Machine
from headrace.lab.namespaces import namespace_inode, processes_in_namespaces
from headrace.lab.topologies import TOPOLOGIES
from headrace.model.errors import UnavailableError
from tests.lab.conftest import MakeLab

pytestmark = pytest.mark.netns


async def test_guests_have_devices_of_their_own_kernel_and_the_machine_ends_with_its_lab(
    make_lab: MakeLab,
) -> None:
    lab = make_lab(TOPOLOGIES["vm-4in4"])
    machine = await Machine.start(lab)
    inode = namespace_inode(lab.namespace("ep1"))
    assert inode is not None
    running = processes_in_namespaces([inode])

    device = await machine.run("ep2", ["ip", "-d", "link", "show", "ipip0"])
    ping = await machine.run("ep2", ["ping", "-c", "1", "32.32.32.254"])
    with pytest.raises(UnavailableError, match="ended with 3"):
        await machine.run("ep2", ["sh", "-c", "exit 3"])
    await machine.close()
    lab.remove()

    assert "link/ipip 32.32.32.1 peer 32.32.32.254" in device
    assert "1 packets received" in ping
    assert len(running) == 1
    assert processes_in_namespaces([inode]) == []
