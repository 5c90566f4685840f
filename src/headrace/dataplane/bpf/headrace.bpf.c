// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* headrace.bpf.c - the load balancer's data plane: parse -> lookup -> choose -> encapsulate -> emit.
 * Each step names its reason when it ends the walk.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "choose.h"
#include "encap.h"
#include "lookup.h"
#include "maps.h"
#include "next_hop.h"
#include "packet.h"
#include "parse.h"
#include "verdict.h"

/* Walk the packet through; its next hop when the verdict is to send it. */
static __always_inline enum verdict forward(struct xdp_md *xdp, struct packet *packet,
					    struct next_hop **hop)
{
	struct service *service = NULL;
	struct endpoint *endpoint;
	__u32 endpoint_index;
	__u32 hop_index;
	enum verdict verdict;

	verdict = parse(xdp, packet);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	verdict = lookup(xdp, packet, &service);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	count(&service_counts, service->counter, packet->length);
	verdict = choose(packet, service, &endpoint_index);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	endpoint = bpf_map_lookup_elem(&endpoints, &endpoint_index);
	if (!endpoint)
		return VERDICT_DROP_INTERNAL;
	hop_index = endpoint->next_hop;
	*hop = bpf_map_lookup_elem(&next_hops, &hop_index);
	if (!hop_index || !*hop)
		return VERDICT_DROP_NO_PATH;
	verdict = encapsulate(xdp, packet, endpoint, *hop);
	if (verdict == VERDICT_SENT)
		count(&endpoint_counts, endpoint_index, packet->length);
	return verdict;
}

SEC("xdp.frags")
int headrace(struct xdp_md *xdp)
{
	struct packet packet = {};
	struct next_hop *hop = NULL;
	enum verdict verdict = forward(xdp, &packet, &hop);

	count(&verdict_counts, verdict, packet.length);
	switch (action_of(verdict)) {
	case ACTION_PASS:
		return XDP_PASS;
	case ACTION_SEND:
		return hop ? emit(xdp, hop) : XDP_DROP;
	default:
		return XDP_DROP;
	}
}

char _license[] SEC("license") = "Dual BSD/GPL";
