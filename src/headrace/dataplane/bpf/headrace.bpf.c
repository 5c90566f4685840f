// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* headrace.bpf.c - the load balancer's data plane: parse -> lookup -> choose -> encapsulate -> emit.
 * Each step names its reason when it ends the walk.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "answer.h"
#include "choose.h"
#include "encap.h"
#include "icmp.h"
#include "lookup.h"
#include "maps.h"
#include "next_hop.h"
#include "packet.h"
#include "parse.h"
#include "sample.h"
#include "verdict.h"

/* Send a packet of a service on: its next hop when the verdict is to send it. */
static __always_inline enum verdict serve(struct xdp_md *xdp, struct packet *packet,
					  const struct service *service,
					  const struct settings *setting, struct next_hop **hop,
					  const int v6)
{
	struct endpoint *endpoint;
	enum verdict verdict;
	__u32 hop_index;
	__u32 overhead;

	count(&service_counts, service->counter, packet->length);
	if (service->flags & SERVICE_SOURCES &&
	    !(v6 ? is_allowed6(packet, service->sources) : is_allowed4(packet, service->sources)))
		return VERDICT_DROP_SOURCE;
	verdict = choose(xdp, packet, service, setting, v6);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	endpoint = bpf_map_lookup_elem(&endpoints, &packet->endpoint);
	if (!endpoint)
		return VERDICT_DROP_INTERNAL;
	hop_index = endpoint->next_hop;
	*hop = bpf_map_lookup_elem(&next_hops, &hop_index);
	if (!hop_index || !*hop)
		return VERDICT_DROP_NO_PATH;
	overhead = outer_size(endpoint->encapsulation);
	if (packet->length + overhead > (*hop)->mtu)
		return v6 ? answer_too_big6(xdp, packet, (*hop)->mtu - overhead)
			  : answer_too_big4(xdp, packet, (*hop)->mtu - overhead);
	verdict = encapsulate(xdp, packet, endpoint, *hop, v6);
	if (verdict == VERDICT_SENT)
		count(&endpoint_counts, packet->endpoint, packet->length);
	return verdict;
}

/* Walk an IP packet through. */
static __always_inline enum verdict forward(struct xdp_md *xdp, struct cursor *cursor,
					    struct packet *packet, const struct settings *setting,
					    struct next_hop **hop, const int v6)
{
	const void *ip = parse_ip(cursor, packet, v6);
	struct service *service = NULL;
	enum verdict verdict;

	if (!ip)
		return VERDICT_PASS_NOT_IP;
	if (!may_be_vip(packet, v6))
		return VERDICT_PASS_NOT_VIP;
	packet->flaw = parse_transport(xdp, cursor, ip, packet, v6);
	if (packet->flaw == VERDICT_CONTINUE && is_icmp(packet, v6))
		packet->flaw = v6 ? parse_icmp6(xdp, packet) : parse_icmp4(xdp, packet);
	verdict = lookup(xdp, packet, &service, v6);
	if (verdict == VERDICT_ANSWERED_ECHO)
		return v6 ? answer_echo6(xdp, packet) : answer_echo4(xdp, packet);
	if (verdict != VERDICT_CONTINUE || !service)
		return verdict;
	return serve(xdp, packet, service, setting, hop, v6);
}

/* What becomes of a frame; its next hop when the verdict is to send it. */
static __always_inline enum verdict walk(struct xdp_md *xdp, struct packet *packet,
					 const struct settings *setting, struct next_hop **hop)
{
	struct cursor cursor = cursor_at_start(xdp);
	__be16 type = parse_link(&cursor, packet);

	packet->length = xdp->data_end - xdp->data;
	if (type == bpf_htons(ETH_P_IP))
		return forward(xdp, &cursor, packet, setting, hop, 0);
	if (type == bpf_htons(ETH_P_IPV6))
		return forward(xdp, &cursor, packet, setting, hop, 1);
	return VERDICT_PASS_NOT_IP;
}

SEC("xdp.frags")
int headrace(struct xdp_md *xdp)
{
	struct packet packet;
	struct next_hop *hop = NULL;
	const struct settings *setting;
	enum verdict verdict;
	__u32 zero = 0;

	setting = bpf_map_lookup_elem(&settings, &zero);
	if (!setting)
		return XDP_DROP;
	packet.endpoint = NO_ENDPOINT;
	packet.kind = KIND_ORDINARY;
	verdict = walk(xdp, &packet, setting, &hop);
	count(&verdict_counts, verdict, packet.length);
	if (setting->sample_one_in && !(bpf_get_prandom_u32() % setting->sample_one_in))
		take_sample(xdp, verdict, packet.endpoint);
	if (verdict == VERDICT_SENT && hop)
		return emit(xdp, hop);
	switch (action_of(verdict)) {
	case ACTION_PASS:
		return XDP_PASS;
	case ACTION_ANSWER:
		return emit_back(xdp);
	default:
		return XDP_DROP;
	}
}

char _license[] SEC("license") = "Dual BSD/GPL";
