"""One daemon an instance and a state folder."""

from contextlib import AbstractContextManager
from pathlib import Path

from headrace.dataplane import holding


def instance_lock(directory: Path) -> AbstractContextManager[None]:
    """Hold the instance. Raises ConflictError naming the process that has it."""
    return holding(directory, f"instance {directory.name} is run by", "choose another --instance")


def state_lock(directory: Path) -> AbstractContextManager[None]:
    """Hold the folder with the revisions. Raises ConflictError naming the process that has it."""
    return holding(directory, f"{directory} holds the state of", "choose another --state")
