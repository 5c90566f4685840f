"""Fuzz for as many packets as asked: prints where the two disagree and what was reached.

Two processes share the work. Exit code 1 after the first differences.
"""

import argparse
import sys
import textwrap
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from .compare import bases, comparison
from .generate import Generator

DIFFERENCES_MAX = 5  # the first few tell enough
PROCESSES = 2
SHOWN = 600


def run(seed: int, packets: int) -> tuple[list[str], dict[str, int]]:
    """Send packets made from a seed; the differences and how often each verdict was reached."""
    generator = Generator(seed, bases())
    differences: list[str] = []
    with comparison() as compared:
        for _ in range(packets):
            difference = compared.send(generator.packet())
            if difference is not None:
                differences.append(f"{difference.what}: {difference.packet.hex()}")
                if len(differences) == DIFFERENCES_MAX:
                    break
        return differences, compared.verdicts


def main() -> int:
    """Fuzz as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packets", type=int)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    started = time.monotonic()
    share = -(-wanted.packets // PROCESSES)
    with ProcessPoolExecutor(PROCESSES) as pool:
        seeds = range(wanted.seed, wanted.seed + PROCESSES)
        results = list(pool.map(run, seeds, [share] * PROCESSES))
    verdicts: Counter[str] = Counter()
    for _, reached in results:
        verdicts.update(reached)
    for name, count in verdicts.most_common():
        print(f"{count:12,}  {name}")
    differences = [difference for found, _ in results for difference in found]
    for difference in differences:
        print(textwrap.shorten(difference, SHOWN))
    seconds = time.monotonic() - started
    print(f"{sum(verdicts.values()):,} packets, {len(differences)} differences, {seconds:.0f} s")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
