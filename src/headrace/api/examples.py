"""An example of each body, for the OpenAPI description; a test reads each by its model."""

from typing import Any

_ENDPOINTS = [{"address": "56.56.56.1"}, {"address": "57.57.57.1", "weight": 2}]
_SERVICE: dict[str, Any] = {
    "name": "web",
    "vip": "20.20.20.1",
    "protocol": "tcp",
    "port": 8080,
    "pool": "web",
    "announce": True,
}
_POOL: dict[str, Any] = {"endpoints": _ENDPOINTS, "encapsulation": "ipip"}
_PEER: dict[str, Any] = {"address": "11.11.11.254", "as": 65001}
_FLOW: dict[str, Any] = {
    "protocol": "tcp",
    "source": "1.1.1.1",
    "source_port": 57538,
    "destination": "20.20.20.1",
    "destination_port": 8080,
}

EXAMPLES: dict[str, Any] = {
    "Document": {
        "bgp": {"as": 65000, "router_id": "10.0.0.1", "peers": [_PEER]},
        "pools": {"web": _POOL},
        "services": [_SERVICE],
    },
    "Service": _SERVICE | {"pool": None, "endpoints": _ENDPOINTS},
    "Pool": _POOL,
    "Peer": _PEER,
    "PoolBody": {"name": "web", "services": ["20.20.20.1:8080/tcp"], "pool": _POOL},
    "DrainEndpointBody": {"timeout_s": 300},
    "UndrainEndpointBody": {},
    "DrainNodeBody": {"wait_s": 30},
    "DrainsBody": {
        "node": "active",
        "node_left_s": None,
        "endpoints": [{"pool": "web", "endpoint": "56.56.56.1", "left_s": 212.5}],
    },
    "ExplainBody": {"flows": [_FLOW], "steps": True},
    "ExplanationBody": {
        "flow": _FLOW,
        "verdict": "SENT",
        "service": "20.20.20.1:8080/tcp",
        "hash": 2779096485,
        "slot": 4711,
        "endpoint": "57.57.57.1",
        "encapsulation": "ipip",
        "outer_source": "31.31.31.254",
        "outer_destination": "57.57.57.1",
        "steps": ["20.20.20.1:8080/tcp takes it", "slot 4711 belongs to 57.57.57.1"],
    },
    "ChangeBody": {"revision": 8, "changed": True},
    "RevisionBody": {
        "number": 8,
        "time": "2026-01-02T03:04:05Z",
        "author": "token:ci by rest",
        "change": "changed services[web].announce",
    },
    "LogLevelBody": {"level": "debug"},
    "VerdictBody": {
        "name": "SENT",
        "action": "send",
        "meaning": "encapsulated and sent to an endpoint",
        "count": {"packets": 7, "bytes": 700},
    },
    "PeerBody": {
        "address": "11.11.11.254",
        "as_number": 65001,
        "state": "up",
        "since_s": 93784.5,
        "bfd": "up",
        "announced": ["20.20.20.1/32"],
        "rejected": [],
    },
    "EventBody": {
        "id": "5f0e3a91-7",
        "time": "2026-01-02T03:04:05.678901Z",
        "type": "health_changed",
        "data": {
            "pool": "web",
            "endpoint": "56.56.56.1",
            "health": "down",
            "why": "timeout",
        },
    },
    "VersionBody": {"name": "headrace", "version": "1.0"},
    "HealthBody": {"alive": True, "revision": 8},
    "ProblemBody": {
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "services[1].port: 0 is not a port: use 1..65535",
        "problems": [{"path": "services[1].port", "message": "0 is not a port: use 1..65535"}],
    },
}
