"""What a driver says of its device, as `ethtool` shows it (linux/ethtool.h). Changes nothing."""

import array
import fcntl
import socket
import struct

_SIOCETHTOOL = 0x8946
_GET_DRIVER, _GET_STRINGS, _GET_SET_INFO, _GET_FEATURES = 0x03, 0x1B, 0x37, 0x3A
_SET_OF_FEATURES = 4  # ETH_SS_FEATURES
_STRING_BYTES = 32
_DRIVER_BYTES = 196  # struct ethtool_drvinfo
_BLOCK = struct.Struct("=IIII")  # available, requested, active, never changed: 32 features

LIMIT_FEATURES = 1024
"""Linux has 64; a count beyond this is no count."""


class Ethtool:
    """Asks the network namespace in which this object is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def driver(self, device: str) -> str:
        """The name of a device's driver; empty where it has none."""
        answer = self._ask(device, struct.pack("=I", _GET_DRIVER), _DRIVER_BYTES)
        return "" if answer is None else _text(answer[4 : 4 + _STRING_BYTES])

    def features(self, device: str) -> dict[str, bool]:
        """Whether each of a device's features is on; none where it does not say."""
        info = struct.pack("=IIQI", _GET_SET_INFO, 0, 1 << _SET_OF_FEATURES, 0)
        answer = self._ask(device, info, len(info))
        count = 0 if answer is None else struct.unpack_from("=I", answer, 16)[0]
        if not 0 < count <= LIMIT_FEATURES:
            return {}
        request = struct.pack("=III", _GET_STRINGS, _SET_OF_FEATURES, count)
        names = self._ask(device, request, len(request) + count * _STRING_BYTES)
        blocks = -(-count // 32)
        request = struct.pack("=II", _GET_FEATURES, blocks)
        states = self._ask(device, request, len(request) + blocks * _BLOCK.size)
        if names is None or states is None:
            return {}
        active = [each[2] for each in _BLOCK.iter_unpack(states[8:])]
        return {
            _text(names[12 + i * _STRING_BYTES :][:_STRING_BYTES]): bool(
                active[i // 32] >> i % 32 & 1
            )
            for i in range(count)
        }

    def _ask(self, device: str, request: bytes, size: int) -> bytes | None:
        """The answer to one request, which takes so many bytes; None when it is refused."""
        value = array.array("B", request + bytes(size - len(request)))
        address, _ = value.buffer_info()
        try:
            fcntl.ioctl(
                self._socket, _SIOCETHTOOL, struct.pack("16sP16x", device.encode(), address)
            )
        except OSError:
            return None
        return value.tobytes()


def _text(data: bytes) -> str:
    return data.split(b"\0")[0].decode(errors="replace")
