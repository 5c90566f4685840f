"""All findings from all facts. Pure."""

from headrace.doctor.facts import Facts
from headrace.doctor.finding import Finding
from headrace.doctor.judge_devices import judge_devices
from headrace.doctor.judge_instances import judge_instances
from headrace.doctor.judge_kernel import judge_clock, judge_kernel, judge_speakers
from headrace.doctor.judge_ways import (
    judge_filters,
    judge_forwarding,
    judge_strict,
    judge_vips,
    judge_ways,
)
from headrace.model import Document


def judge(facts: Facts, document: Document | None, instance: str) -> list[Finding]:
    """What is well and what is not, for one instance; without a document, what needs none."""
    ports, of_devices = judge_devices(facts, document, instance)
    findings = [*judge_kernel(facts), *judge_instances(facts), *of_devices]
    if document is None:
        findings += judge_strict(ports)
    else:
        findings += judge_ways(facts, document, ports)
        findings += judge_filters(facts, document)
        findings += judge_vips(facts, document)
    findings += judge_forwarding(facts, document)
    findings += judge_speakers(facts, document)
    findings += judge_clock(facts)
    return findings
