/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* encap.h - puts the outer headers in front. The inner packet is never changed, not even its TTL. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>

#include <bpf/bpf_endian.h>

#include "maps.h"
#include "packet.h"

#define OUTER_TTL 64
#define IP_DONT_FRAGMENT 0x4000

/* Fold a sum of 16-bit words into a checksum (RFC 1071). */
static __always_inline __u16 checksum_of(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* The outer header of IP in IP (RFC 2003): DSCP and ECN copied (RFC 6040, 4.1), DF set. */
static __always_inline void write_outer(struct iphdr *ip, const struct packet *packet,
					const struct endpoint *endpoint)
{
	__be16 first = bpf_htons(0x4500 | packet->tos);
	__be16 length = bpf_htons(packet->length + sizeof(*ip));

	*(__be16 *)ip = first;
	ip->tot_len = length;
	ip->id = 0;
	ip->frag_off = bpf_htons(IP_DONT_FRAGMENT);
	ip->ttl = OUTER_TTL;
	ip->protocol = IPPROTO_IPIP;
	ip->check = checksum_of(endpoint->outer_sum + first + length);
	ip->saddr = *(const __be32 *)&endpoint->outer_source[12];
	ip->daddr = *(const __be32 *)&endpoint->outer_destination[12];
}

/* Wrap the packet for an endpoint and address the frame to the next hop. */
static __always_inline enum verdict encapsulate(struct xdp_md *xdp, const struct packet *packet,
						const struct endpoint *endpoint,
						const struct next_hop *hop)
{
	struct ethhdr *ethernet;

	if (packet->length + sizeof(struct iphdr) > hop->mtu)
		return VERDICT_DROP_TOO_BIG;
	if (bpf_xdp_adjust_head(xdp, -(int)sizeof(struct iphdr)))
		return VERDICT_DROP_NO_ROOM;
	ethernet = (void *)(long)xdp->data;
	if ((void *)ethernet + sizeof(*ethernet) + sizeof(struct iphdr) >
	    (void *)(long)xdp->data_end)
		return VERDICT_DROP_INTERNAL;
	/* Both MACs lie in the next hop as in the frame. */
	((__u32 *)ethernet)[0] = ((const __u32 *)hop)[0];
	((__u32 *)ethernet)[1] = ((const __u32 *)hop)[1];
	((__u32 *)ethernet)[2] = ((const __u32 *)hop)[2];
	ethernet->h_proto = bpf_htons(ETH_P_IP);
	write_outer((void *)(ethernet + 1), packet, endpoint);
	return VERDICT_SENT;
}
