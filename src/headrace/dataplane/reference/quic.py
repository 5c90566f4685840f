"""The server id in a QUIC packet's connection id (draft-ietf-quic-load-balancers, plain text)."""

_LONG_HEADER = 0x80
_BY_CLIENT = {0, 1}  # Initial and 0-RTT
_VERSION_2 = bytes.fromhex("6b3343cf")  # its types are version 1's, each plus one (RFC 9369)
_CONNECTION_ID_MIN = 8
_SHORT_HEADER_SIZE = 1
_LONG_HEADER_SIZE = 6  # to the destination connection id: flags, version, its length


def server_id(payload: bytes) -> int | None:
    """The server id in a UDP payload; None when there is none to go by.

    A client chooses the connection id of Initial and 0-RTT packets, so they name no server.
    """
    if not payload:
        return None
    start = _SHORT_HEADER_SIZE
    if payload[0] & _LONG_HEADER:
        start = _LONG_HEADER_SIZE
        if (payload[0] >> 4) - (payload[1:5] == _VERSION_2) & 3 in _BY_CLIENT:
            return None
        if len(payload) < start or payload[start - 1] < _CONNECTION_ID_MIN:
            return None
    connection_id = payload[start : start + _CONNECTION_ID_MIN]
    if len(connection_id) < _CONNECTION_ID_MIN:
        return None
    return _of_connection_id(connection_id)


def _of_connection_id(connection_id: bytes) -> int | None:
    """The two highest bits say which of our three forms it has: 16, 24 or 32 bits of id."""
    match connection_id[0] >> 6:
        case 1:
            return (int.from_bytes(connection_id[:3], "big") >> 6) & 0xFFFF
        case 2:
            return int.from_bytes(connection_id[1:4], "big")
        case 3:
            return int.from_bytes(connection_id[1:5], "big")
        case _:
            return None
