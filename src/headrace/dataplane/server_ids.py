"""The QUIC server ids by which clients name an endpoint of a pool themselves."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from headrace.dataplane import layout
from headrace.dataplane.maps import HashMap


class ServerIds:
    """Entries of `server_ids`; only this class writes them. Pools and endpoints are indexes."""

    def __init__(self, fds: Mapping[str, int]) -> None:
        self._map = HashMap(fds["server_ids"], layout.ServerIdKey, layout.Number)
        self._endpoints: defaultdict[int, dict[int, int]] = defaultdict(dict)  # by pool and id
        self._named: Counter[int] = Counter()
        for key, value in self._map.items():
            self._endpoints[key.pool][key.id] = value.number
            self._named[value.number] += 1

    def read(self) -> dict[int, dict[int, int]]:
        """The endpoints by pool and id."""
        return {pool: dict(endpoints) for pool, endpoints in self._endpoints.items()}

    def names(self, endpoint: int) -> bool:
        """Whether an id names an endpoint."""
        return self._named[endpoint] > 0

    def put(self, pool: int, endpoints: Mapping[int, int]) -> None:
        """Have exactly these ids in a pool."""
        known = self._endpoints[pool]
        for number in known.keys() - endpoints.keys():
            self._map.remove(layout.ServerIdKey(pool, number))
            self._named[known.pop(number)] -= 1
        for number, endpoint in endpoints.items():
            if known.get(number) == endpoint:
                continue
            self._map.put(layout.ServerIdKey(pool, number), layout.Number(endpoint))
            if number in known:
                self._named[known[number]] -= 1
            known[number] = endpoint
            self._named[endpoint] += 1
