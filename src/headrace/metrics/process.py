"""What the operating system says of this process."""

from collections.abc import Mapping

from prometheus_client import ProcessCollector


def read_process() -> Mapping[str, float]:
    """Processor time, memory, start and files of this process, by the usual metrics' names.

    Those that /proc does not tell are not there.
    """
    families = ProcessCollector(registry=None).collect()
    return {sample.name: sample.value for family in families for sample in family.samples}
