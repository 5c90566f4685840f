"""What the daemon wants announced, and for how long without the daemon."""

import json

from .messages import Announce, Export, Route, Terms, encode_exports, encode_routes, parse_order


class Wanted:
    """The set, how each peer is to hear it, and the time that it outlives the daemon."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.exports: tuple[Export, ...] = ()
        self.peers: dict[str, Terms] = {}
        self.as_number = 0
        self.end_of_rib = False
        self.keep_until: float | None = None
        self._left_s: float | None = None  # of that time, while a daemon is there that is silent
        self._keep_s = 0.0
        self._drain_s = 0.0
        self._leaving: dict[str, Route] = {}  # what the set becomes before it is withdrawn

    def take(self, order: Announce) -> None:
        """Want this from now on, for as long as the daemon is there."""
        self.routes, self.peers, self.exports = order.routes, order.peers, order.exports
        self.as_number, self.end_of_rib = order.as_number, order.end_of_rib
        self._keep_s, self._drain_s = order.keep_s, order.drain_s
        self._leaving = order.leaving
        self.keep_until = self._left_s = None

    def routes_for(self, peer: str) -> dict[str, Route]:
        """What one peer is to hear; who is none that the daemon told of hears nothing."""
        if peer not in self.peers:
            return {}
        return next((each.routes for each in self.exports if peer in each.peers), self.routes)

    def find_daemon(self, now: float) -> None:
        """Count no further: a daemon that is back asks its endpoints before it says anything."""
        if self.keep_until is not None:
            self._left_s, self.keep_until = max(self.keep_until - now, 0.0), None

    def lose_daemon(self, now: float) -> None:
        """Count from now, or go on counting.

        Only `take` begins anew: a daemon that starts and dies again does not prolong the time.
        """
        if self.keep_until is None:
            self.keep_until = now + (self._keep_s if self._left_s is None else self._left_s)

    def expire(self, now: float) -> bool:
        """Whether the daemon has been away for too long just now: the set leaves, or is gone."""
        if self.keep_until is None or now < self.keep_until:
            return False
        if self._leaving:
            self.routes, self._leaving = self._leaving, {}
            self.exports = tuple(Export(each.peers, each.leaving, {}) for each in self.exports)
            self.keep_until, self._left_s = now + self._drain_s, None
        else:
            self.withdraw()
        return True

    def withdraw(self) -> None:
        """Want nothing until the daemon says otherwise."""
        self.keep_until = self._left_s = None
        self.routes, self._leaving = {}, {}
        self.exports = tuple(Export(each.peers, {}, {}) for each in self.exports)

    def hand_over(self, until: float) -> str:
        """The set for a speaker that starts before then, as `inherit` reads it."""
        order = {
            "type": "announce",
            "id": 0,
            "keep_s": self._keep_s,
            "drain_s": self._drain_s,
            "as": self.as_number,
            "end_of_rib": self.end_of_rib,
            "announcements": encode_routes(self.routes),
            "leaving": encode_routes(self._leaving),
            "peers": self.peers,
            "exports": encode_exports(self.exports),
        }
        return json.dumps({"until": until, "order": json.dumps(order)})

    def inherit(self, text: str, now: float) -> bool:
        """Want what a former relay handed over, if it is not too late; the daemon is not there."""
        try:
            message = json.loads(text)
            order = parse_order(message["order"])
            if not isinstance(order, Announce) or now >= float(message["until"]):
                return False
        except Exception:  # noqa: BLE001 - whatever that file holds, it is not a set to announce
            return False
        self.take(order)
        self.lose_daemon(now)
        return True
