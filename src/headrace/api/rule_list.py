"""All services as LoxiLB lists them, in JSON; what is as before is not written again."""

import asyncio
import json
from collections.abc import Sequence

from headrace.api.rules import listed_endpoints, rule_of
from headrace.control.kept import Kept
from headrace.control.views import ServiceView
from headrace.model import Document, Service

_BATCH = 250  # rules between two turns of the event loop: some 10 ms, were all of them new


class RuleList:
    """Writes the list again and again."""

    def __init__(self) -> None:
        self._services: tuple[Service, ...] = ()  # that what follows is of
        self._rules = Kept[str]()  # each without its endpoints, which come last
        self._endpoints = Kept[str]()  # by pool and port: many services share few pools

    async def write(self, document: Document, views: Sequence[ServiceView]) -> str:
        """The list; `views` are of the document's services, in their order."""
        services = document.services
        if services is not self._services:
            self._services = services
            self._rules.keep({each.label for each in services})
            self._endpoints.keep({(each.pool_name, each.ports[0]) for each in services})
        written = []
        for number, (service, view) in enumerate(zip(services, views, strict=True), 1):
            written.append(self._written(document, service, view))
            if number % _BATCH == 0:
                await asyncio.sleep(0)
        return f'{{"lbAttr": [{", ".join(written)}]}}'

    def _written(self, document: Document, service: Service, view: ServiceView) -> str:
        check, port = document.check_of(document.pool_of(service)), service.ports[0]
        rule = self._rules.of(
            service.label,
            (service, check),
            lambda: json.dumps(rule_of(service, check)),
        )
        endpoints = self._endpoints.of(
            (view.pool, port),
            (view.endpoints,),
            lambda: json.dumps(listed_endpoints(view.endpoints, port)),
        )
        return f"{rule.removesuffix('[]}')}{endpoints}}}"
