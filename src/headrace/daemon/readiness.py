"""Tells the service manager how far we are (sd_notify(3)); nothing where there is none."""

import asyncio
import os
import socket


def tell_manager(state: str) -> None:
    """Send `READY=1` or `STOPPING=1`."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(state.encode(), address)


async def tell_manager_that_it_turns() -> None:
    """Say for ever that the event loop turns, twice as often as is asked for; return if it is not.

    A daemon that hangs keeps announcing what may be dead: the manager exchanges it.
    """
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return  # it is asked of another process (sd_watchdog_enabled(3))
    timeout_s = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
    while timeout_s:
        tell_manager("WATCHDOG=1")
        await asyncio.sleep(timeout_s / 2)
