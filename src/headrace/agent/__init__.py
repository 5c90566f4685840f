"""The endpoint's agent, `tailrace`: unwraps what load balancers send, where the kernel cannot."""

from headrace.agent.app import detach, run
from headrace.agent.settings import AgentSettings

__all__ = ["AgentSettings", "detach", "run"]
