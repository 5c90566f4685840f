"""Pin the data plane for a harness of one's own: serve.py FOLDER [WORLD [IFINDEX]].

Attaches to nothing. `umount FOLDER` removes it all.
"""

import sys
from pathlib import Path

from headrace.bench import worlds
from headrace.dataplane import Dataplane

WORLDS = {
    "v4": worlds.one_service(4),
    "v6": worlds.one_service(6),
    "many": worlds.many_services(1_000, 100),
    "unstable": worlds.all_unstable(noted_flows=0),
}


def main(directory: Path, world: str = "v4", ifindex: str = str(worlds.LOOPBACK)) -> None:
    """Write the services, for packets of an interface, and leave them to the pins."""
    plane = Dataplane(directory)
    WORLDS[world](plane, int(ifindex))
    plane.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:4])
