"""Load the data plane with one VIP and 100 endpoints, pinned for a benchmark: serve.py FOLDER.

Attaches to nothing. `umount FOLDER` removes it all.
"""

import sys
from ipaddress import ip_address
from pathlib import Path as FilePath

from headrace.dataplane import Dataplane
from headrace.maglev import Candidate, FlowHash, build_table
from headrace.model import NextHop, Path, Port, Protocol, Reach, ServiceKey

SEED = 0x5EED
SLOTS = 65_537
LOOPBACK = 1  # BPF_PROG_TEST_RUN says that packets arrive on lo
OWN_MAC = bytes.fromhex("020000000001")  # the destination of the benchmark's frames
HOP = NextHop(LOOPBACK, OWN_MAC, bytes.fromhex("020000000002"))
VIP = ServiceKey(ip_address("198.18.0.1"), Protocol.TCP, 80)


def main(directory: FilePath) -> None:
    """Write the service and leave it to the pins."""
    plane = Dataplane(directory)
    candidates = [Candidate(ip_address(f"56.56.56.{number}")) for number in range(1, 101)]
    table = build_table(SEED, candidates, SLOTS)
    reaches = [
        Reach(each.address, ip_address("31.31.31.253"), ip_address(f"31.31.31.{number}"))
        for number, each in enumerate(table.candidates, 1)
    ]
    for reach in reaches:
        if reach.outer_source is None or reach.outer_destination is None:
            raise AssertionError("every reach above has both addresses")
        plane.put_endpoint(reach, Path(reach.outer_source, reach.outer_destination, HOP, 9000))
    plane.set_hash_keys(FlowHash.of_seed(SEED).keys)
    plane.put_pool("bench", reaches, table.owners, stamp=1)
    plane.put_service(VIP, "bench")
    plane.set_ports([Port("lo", LOOPBACK, (OWN_MAC,))])
    plane.close()


if __name__ == "__main__":
    main(FilePath(sys.argv[1]))
