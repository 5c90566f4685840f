"""Prints each case that is not simply accepted, then the totals; exit code 1 if one is rejected."""

import sys
from collections import Counter
from pathlib import Path

from .better import BETTER
from .judge import judge_all


def main(folder: Path) -> int:
    """Judge the cases of a folder."""
    if not (folder / "vectors.json").exists():
        print(f"{folder} holds no vectors.json; name the folder: make peer-vectors VECTORS=...")
        return 2
    totals: Counter[str] = Counter()
    for outcome in judge_all(folder):
        totals[outcome.kind] += 1
        if outcome.kind == "better":
            print(f"better    {outcome.id}: {BETTER[outcome.id]}")
        elif outcome.kind == "rejected":
            print(f"rejected  {outcome.id}: {'; '.join(outcome.failures)}")
            print(f"          {outcome.sentence}")
    kinds = ("accepted", "better", "rejected")
    words = ("accepted", "better-by-design", "rejected")
    print(", ".join(f"{totals[k]} {w}" for k, w in zip(kinds, words, strict=True)))
    return 1 if totals["rejected"] else 0


sys.exit(main(Path(sys.argv[1])))
