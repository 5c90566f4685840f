// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tailrace.bpf.c - the endpoint's data plane, where the kernel has no tunnel device: unwraps IP in
 * IP, of any two families, and GUE (variant 1), and hands the inner packet to the kernel, whose VIP
 * is on lo.
 *
 * Strict: the outer destination is ours, the outer source a load balancer we know, the inner
 * destination a VIP of ours, one layer exactly, no fragments. What is no tunnel to us is left to
 * the kernel as it came; what is one and breaks a rule is dropped by name.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "count.h"
#include "cursor.h"
#include "tail_congestion.h"
#include "tail_maps.h"
#include "tail_parse.h"
#include "tailrace_verdict.h"
#include "wire.h"

#define MAC_WORDS 3 /* both MACs */
#define LINK_WORDS (MAC_WORDS + TAGS_MAX)

/* Merge the congestion fields, the last thing before the outer header goes. */
static __always_inline enum verdict merge_congestion(const struct outer *outer,
						     const struct inner *inner)
{
	__u8 ecn = merged_congestion(outer->ecn, inner->ecn);

	if (ecn == inner->ecn)
		return VERDICT_CONTINUE;
	if (inner->ecn == ECN_NOT_ECT)
		return VERDICT_DROP_CONGESTED;
	if (inner->family == 4)
		set_congestion4(inner->ip4, ecn);
	else
		set_congestion6(inner->ip6, ecn);
	return VERDICT_CONTINUE;
}

/* Take the outer header away: MACs and VLAN tags move up to the inner packet. Padding behind it
 * stays; the kernel cuts it off by the inner length.
 */
static __always_inline enum verdict unwrap(struct xdp_md *xdp, const struct outer *outer,
					   __u8 family)
{
	__u32 *link = (void *)(long)xdp->data;
	__u32 kept[LINK_WORDS];
	__u32 tags = outer->tags;
	__be16 *type;

	if ((void *)(link + LINK_WORDS) > (void *)(long)xdp->data_end)
		return VERDICT_DROP_INTERNAL;
	__builtin_memcpy(kept, link, sizeof(kept));
	if (bpf_xdp_adjust_head(xdp, outer->size))
		return VERDICT_DROP_INTERNAL;
	link = (void *)(long)xdp->data;
	if ((void *)(link + LINK_WORDS + 1) > (void *)(long)xdp->data_end || tags > TAGS_MAX)
		return VERDICT_DROP_INTERNAL;
	__builtin_memcpy(link, kept, MAC_WORDS * sizeof(*link));
	if (tags > 0)
		link[MAC_WORDS] = kept[MAC_WORDS];
	if (tags > 1)
		link[MAC_WORDS + 1] = kept[MAC_WORDS + 1];
	type = (__be16 *)(link + MAC_WORDS + tags);
	FORGET(type); /* the verifier of Linux 6.1 wants to see the check */
	if ((void *)(type + 1) > (void *)(long)xdp->data_end)
		return VERDICT_DROP_INTERNAL;
	*type = bpf_htons(family == 4 ? ETH_P_IP : ETH_P_IPV6);
	return VERDICT_PASS_DECAPSULATED;
}

/* Whether we unwrap it; `bytes` becomes the inner packet's length once that is known. */
static __always_inline enum verdict decapsulate(struct xdp_md *xdp, __u64 *bytes)
{
	struct cursor cursor = cursor_at_start(xdp);
	struct outer outer = { .flaw = VERDICT_CONTINUE };
	struct inner inner = {};
	enum verdict verdict;

	if (!parse_outer(&cursor, &outer) || !has_role(&outer.destination, ROLE_OWN))
		return VERDICT_PASS_NOT_TUNNEL;
	if (!has_role(&outer.source, ROLE_BALANCER))
		return VERDICT_DROP_STRANGER;
	if (outer.flaw != VERDICT_CONTINUE)
		return outer.flaw;
	if (outer.link_size + outer.length > *bytes)
		return VERDICT_DROP_TRUNCATED;
	verdict = parse_inner(&cursor, &outer, &inner);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	*bytes = inner.length;
	if (inner.protocol == IPPROTO_IPIP || inner.protocol == IPPROTO_IPV6)
		return VERDICT_DROP_NESTED;
	if (!has_role(&inner.destination, ROLE_VIP))
		return VERDICT_DROP_NOT_VIP;
	verdict = merge_congestion(&outer, &inner);
	return verdict == VERDICT_CONTINUE ? unwrap(xdp, &outer, inner.family) : verdict;
}

SEC("xdp.frags")
int tailrace(struct xdp_md *xdp)
{
	__u64 bytes = bpf_xdp_get_buff_len(xdp);
	enum verdict verdict = decapsulate(xdp, &bytes);

	count(&verdict_counts, verdict, bytes);
	return action_of(verdict) == ACTION_PASS ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
