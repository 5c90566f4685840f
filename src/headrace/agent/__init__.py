"""The endpoint's agent, `tailrace`: unwraps what load balancers send, where the kernel cannot."""

from headrace.agent.app import AgentSettings, detach, run

__all__ = ["AgentSettings", "detach", "run"]
