/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* parse.h - Ethernet, IPv4, ports. Touches no map. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>

#include <bpf/bpf_endian.h>

#include "cursor.h"
#include "packet.h"

#define IP_FRAGMENT_BITS 0x3fff /* more fragments, or an offset (RFC 791, 3.1) */

struct ports_header {
	__be16 source;
	__be16 destination;
};

/* Whether the frame holds all of the IP packet; a big one lies in several buffers. */
static __always_inline int is_whole(struct xdp_md *xdp, const struct packet *packet)
{
	__u64 wanted = sizeof(struct ethhdr) + packet->length;

	return wanted <= xdp->data_end - xdp->data || wanted <= bpf_xdp_get_buff_len(xdp);
}

static __always_inline enum verdict parse_ports(struct cursor *cursor, struct packet *packet,
						__u32 payload_size)
{
	const struct ports_header *header;

	if (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP)
		return VERDICT_DROP_UNSERVED;
	header = cursor_take(cursor, sizeof(*header));
	if (!header || payload_size < sizeof(*header))
		return VERDICT_DROP_MALFORMED;
	packet->source_port = header->source;
	packet->destination_port = header->destination;
	return VERDICT_CONTINUE;
}

/* Read the headers into `packet`. */
static __always_inline enum verdict parse(struct xdp_md *xdp, struct packet *packet)
{
	struct cursor cursor = cursor_at_start(xdp);
	const struct ethhdr *ethernet;
	const struct iphdr *ip;
	__u32 header_size;

	packet->length = xdp->data_end - xdp->data;
	ethernet = cursor_take(&cursor, sizeof(*ethernet));
	if (!ethernet || ethernet->h_proto != bpf_htons(ETH_P_IP))
		return VERDICT_PASS_NOT_IPV4;
	ip = cursor_take(&cursor, sizeof(*ip));
	if (!ip || ip->version != 4)
		return VERDICT_PASS_NOT_IPV4;

	packet->source = ip->saddr;
	packet->destination = ip->daddr;
	packet->protocol = ip->protocol;
	packet->tos = ip->tos;
	packet->length = bpf_ntohs(ip->tot_len);
	header_size = ip->ihl * 4;
	if (header_size < sizeof(*ip) || packet->length < header_size || !is_whole(xdp, packet))
		packet->flaw = VERDICT_DROP_MALFORMED;
	else if (ip->frag_off & bpf_htons(IP_FRAGMENT_BITS))
		packet->flaw = VERDICT_DROP_FRAGMENT;
	else if (!cursor_take(&cursor, header_size - sizeof(*ip)))
		packet->flaw = VERDICT_DROP_MALFORMED;
	else
		packet->flaw = parse_ports(&cursor, packet, packet->length - header_size);
	return VERDICT_CONTINUE;
}
