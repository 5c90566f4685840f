// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tailrace.bpf.c - the endpoint's data plane, where the kernel has no tunnel device: unwraps IP in
 * IP and hands the inner packet to the kernel, whose VIP is on lo.
 *
 * Strict: the outer source is a load balancer we know, the inner destination a VIP of ours, one
 * layer exactly. Everything else that is addressed to us is left to the kernel or dropped by name.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* clang-format off */
#include "tailrace_verdict.h"
#include "action.h"
/* clang-format on */
#include "count.h"
#include "cursor.h"

#define LIMIT_ADDRESSES 4096
#define ECN_MASK 3
#define ECN_CE 3

enum role {
	ROLE_BALANCER = 1, /* an outer source we accept */
	ROLE_OWN = 2,    /* an outer destination that is this endpoint */
	ROLE_VIP = 3,    /* an inner destination that we serve */
};

struct address_key {
	__be32 address;
	__u32 role;
};
_Static_assert(sizeof(struct address_key) == 8, "no hidden padding");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LIMIT_ADDRESSES);
	__type(key, struct address_key);
	__type(value, __u32);
} addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VERDICT_COUNT);
	__type(key, __u32);
	__type(value, struct count);
} verdict_counts SEC(".maps");

static __always_inline int has_role(__be32 address, enum role role)
{
	struct address_key key = { .address = address, .role = role };

	return bpf_map_lookup_elem(&addresses, &key) != NULL;
}

/* Merge the outer congestion mark into the inner header (RFC 6040, 4.2). */
static __always_inline enum verdict merge_congestion(const struct iphdr *outer, struct iphdr *inner)
{
	__u32 sum;

	if ((outer->tos & ECN_MASK) != ECN_CE || (inner->tos & ECN_MASK) == ECN_CE)
		return VERDICT_CONTINUE;
	if (!(inner->tos & ECN_MASK))
		return VERDICT_DROP_CONGESTED;
	/* RFC 1624: the word grows by what the mark adds, so the checksum shrinks by it. */
	sum = (__u16)~inner->check + bpf_htons(ECN_CE - (inner->tos & ECN_MASK));
	inner->check = ~((sum & 0xffff) + (sum >> 16));
	inner->tos |= ECN_CE;
	return VERDICT_CONTINUE;
}

/* Take the outer header away: the MACs move up to the inner packet. */
static __always_inline enum verdict unwrap(struct xdp_md *xdp)
{
	void *start = (void *)(long)xdp->data;
	struct ethhdr *ethernet;
	__u32 macs[3];

	if (start + sizeof(*ethernet) > (void *)(long)xdp->data_end)
		return VERDICT_DROP_INTERNAL;
	macs[0] = ((__u32 *)start)[0];
	macs[1] = ((__u32 *)start)[1];
	macs[2] = ((__u32 *)start)[2];
	if (bpf_xdp_adjust_head(xdp, sizeof(struct iphdr)))
		return VERDICT_DROP_INTERNAL;
	ethernet = (void *)(long)xdp->data;
	if ((void *)(ethernet + 1) > (void *)(long)xdp->data_end)
		return VERDICT_DROP_INTERNAL;
	((__u32 *)ethernet)[0] = macs[0];
	((__u32 *)ethernet)[1] = macs[1];
	((__u32 *)ethernet)[2] = macs[2];
	ethernet->h_proto = bpf_htons(ETH_P_IP);
	return VERDICT_PASS_DECAPSULATED;
}

static __always_inline enum verdict decapsulate(struct xdp_md *xdp)
{
	struct cursor cursor = cursor_at_start(xdp);
	const struct ethhdr *ethernet = cursor_take(&cursor, sizeof(*ethernet));
	const struct iphdr *outer;
	struct iphdr *inner;
	enum verdict verdict;

	if (!ethernet || ethernet->h_proto != bpf_htons(ETH_P_IP))
		return VERDICT_PASS_NOT_TUNNEL;
	outer = cursor_take(&cursor, sizeof(*outer));
	if (!outer || outer->version != 4 || outer->protocol != IPPROTO_IPIP ||
	    !has_role(outer->daddr, ROLE_OWN))
		return VERDICT_PASS_NOT_TUNNEL;
	if (!has_role(outer->saddr, ROLE_BALANCER))
		return VERDICT_DROP_STRANGER;
	inner = cursor_take(&cursor, sizeof(*inner));
	if (!inner || outer->ihl != 5 || outer->frag_off & bpf_htons(0x3fff) ||
	    inner->version != 4 ||
	    bpf_ntohs(outer->tot_len) != bpf_ntohs(inner->tot_len) + sizeof(*outer))
		return VERDICT_DROP_MALFORMED;
	if (!has_role(inner->daddr, ROLE_VIP) || inner->protocol == IPPROTO_IPIP)
		return VERDICT_DROP_NOT_VIP;
	verdict = merge_congestion(outer, inner);
	return verdict == VERDICT_CONTINUE ? unwrap(xdp) : verdict;
}

SEC("xdp.frags")
int tailrace(struct xdp_md *xdp)
{
	__u64 size = xdp->data_end - xdp->data;
	enum verdict verdict = decapsulate(xdp);

	count(&verdict_counts, verdict, size);
	return action_of(verdict) == ACTION_PASS ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
