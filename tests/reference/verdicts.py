"""The page of verdicts, from the lists in C."""

from headrace.dataplane.verdicts import Action, all_verdicts
from tests.reference.markdown import code, table

_HEAD = """\
# Verdicts

Generated from `verdict.h` and `tailrace_verdict.h`, the lists that the programs are compiled from;
a test compares them.

Every packet that a program sees leaves it with one verdict, and is counted under it.
`headrace status` shows those of a load balancer that have packets, the [metrics](metrics.md) have
all of them, `headrace explain` tells the verdict of one flow, and `headrace capture` those of
packets. [What to do about one](../howto/verdicts.md) is told elsewhere.

| action | what becomes of the packet |
|---|---|
| `send` | it leaves to its endpoint |
| `answer` | it is answered on the spot, out of the interface that it came in by |
| `pass` | the host's kernel gets it, unchanged |
| `drop` | it ends here |

"""


def build_page() -> str:
    """The page in Markdown."""
    page = _HEAD
    for program, title in (("headrace", "Load balancer"), ("tailrace", "Endpoint")):
        rows = [
            (code(each.name), code(each.action), each.meaning)
            for action in (Action.SEND, Action.ANSWER, Action.PASS, Action.DROP)
            for each in all_verdicts(program)
            if each.action is action
        ]
        page += f"## {title}\n\n" + table(("verdict", "action", "when"), rows)
    return page
