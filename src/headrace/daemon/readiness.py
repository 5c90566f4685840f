"""Tells the service manager how far we are (sd_notify(3)); nothing where there is none."""

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
