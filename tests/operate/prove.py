"""What is promised to an operator, each figure beside its bound: `python -m tests.operate.prove`.

It needs root, and a machine that does nothing else: the figures of scale are by the clock. Names as
arguments (scale, restarts, links, faults) run only those.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.operate import faults, links, restarts, scale

PROOFS = {
    "scale": scale.rows,
    "restarts": restarts.rows,
    "links": links.rows,
    "faults": faults.rows,
}


def main() -> int:
    """Write every figure beside its bound to standard output; 1 if one is broken."""
    # Figures are those of an installation, whose modules are compiled once.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    broken = 0
    for name in sys.argv[1:] or PROOFS:
        with TemporaryDirectory() as folder:
            for row in PROOFS[name](Path(folder)):
                sys.stdout.write(f"{row}\n")
                sys.stdout.flush()
                broken += not row.holds
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
