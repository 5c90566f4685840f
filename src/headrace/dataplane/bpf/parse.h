/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* parse.h - Ethernet, tags, IP, ports. Touches no map. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>

#include "cursor.h"
#include "extension.h"
#include "packet.h"
#include "wire.h"

struct ports_header {
	__be16 source;
	__be16 destination;
};

static __always_inline int is_tag(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

static __always_inline int has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/* Step over Ethernet and the tags behind it; the type of what follows, 0 when there is nothing. */
static __always_inline __be16 parse_link(struct cursor *cursor, struct packet *packet)
{
	const struct ethhdr *ethernet = cursor_take(cursor, sizeof(*ethernet));
	const struct tag_header *tag;
	__be16 type;

	if (!ethernet)
		return 0;
	type = ethernet->h_proto;
	packet->link_size = sizeof(*ethernet);
#pragma unroll
	for (int i = 0; i < TAGS_MAX; i++) {
		if (!is_tag(type))
			break;
		tag = cursor_take(cursor, sizeof(*tag));
		if (!tag)
			return 0;
		type = tag->type;
		packet->link_size += sizeof(*tag);
	}
	return type;
}

/* Read the part of the IP header that every packet has; its address, NULL when it is none. */
static __always_inline const void *parse_ip(struct cursor *cursor, struct packet *packet,
					    const int v6)
{
	if (v6) {
		const struct ipv6hdr *ip = cursor_take(cursor, sizeof(*ip));

		if (!ip || ip->version != 6)
			return NULL;
		__builtin_memcpy(&packet->source, &ip->saddr, sizeof(packet->source));
		__builtin_memcpy(&packet->destination, &ip->daddr, sizeof(packet->destination));
		packet->protocol = ip->nexthdr;
		packet->tos = bpf_ntohs(*(const __be16 *)ip) >> 4;
		packet->length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
		return ip;
	} else {
		const struct iphdr *ip = cursor_take(cursor, sizeof(*ip));

		if (!ip || ip->version != 4)
			return NULL;
		packet->source.words[0] = ip->saddr;
		packet->destination.words[0] = ip->daddr;
		packet->protocol = ip->protocol;
		packet->tos = ip->tos;
		packet->length = bpf_ntohs(ip->tot_len);
		return ip;
	}
}

/* Whether the frame holds all of the IP packet; a big one lies in several buffers. */
static __always_inline int is_whole(struct xdp_md *xdp, const struct packet *packet)
{
	__u64 wanted = packet->link_size + packet->length;

	return wanted <= xdp->data_end - xdp->data || wanted <= bpf_xdp_get_buff_len(xdp);
}

static __always_inline void set_fragment(struct packet *packet, __u32 id, int is_first)
{
	packet->kind = is_first ? KIND_FIRST_FRAGMENT : KIND_LATER_FRAGMENT;
	packet->fragment_id = id;
}

/* Step over IPv4's options. */
static __always_inline enum verdict parse_options(struct cursor *cursor, const struct iphdr *ip,
						  struct packet *packet)
{
	__u32 size = ip->ihl * 4;
	__u16 fragment = bpf_ntohs(ip->frag_off);

	if (size < sizeof(*ip) || packet->length < size || !cursor_take(cursor, size - sizeof(*ip)))
		return VERDICT_DROP_MALFORMED;
	packet->transport = packet->link_size + size;
	if (fragment & (IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))
		set_fragment(packet, ip->id, !(fragment & IP_FRAGMENT_OFFSET));
	return VERDICT_CONTINUE;
}

/* Step over IPv6's extension headers. */
static __always_inline enum verdict parse_extensions(struct xdp_md *xdp, struct cursor *cursor,
						     struct packet *packet)
{
	struct walk walk = {
		.at = packet->link_size + sizeof(struct ipv6hdr),
		.end = packet->link_size + packet->length,
		.next = packet->protocol,
	};
	enum verdict verdict;

	packet->transport = walk.at;
	if (!is_extension(packet->protocol))
		return VERDICT_CONTINUE;
	verdict = walk_extensions(xdp, &walk);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	packet->protocol = walk.next;
	packet->transport = walk.at;
	if (walk.is_fragment)
		set_fragment(packet, walk.fragment_id, walk.is_first);
	cursor->position = (void *)(long)xdp->data + (walk.at & OFFSET_MASK);
	cursor->end = (void *)(long)xdp->data_end;
	return walk.at > OFFSET_MASK ? VERDICT_DROP_MALFORMED : VERDICT_CONTINUE;
}

static __always_inline enum verdict parse_ports(struct cursor *cursor, struct packet *packet)
{
	const struct ports_header *header = cursor_take(cursor, sizeof(*header));

	if (!header || packet->transport + sizeof(*header) > packet->link_size + packet->length)
		return VERDICT_DROP_MALFORMED;
	packet->source_port = header->source;
	packet->destination_port = header->destination;
	return VERDICT_CONTINUE;
}

/* Read what follows the fixed IP header at `ip`, up to the ports; what is wrong with it, if any. */
static __always_inline enum verdict parse_transport(struct xdp_md *xdp, struct cursor *cursor,
						    const void *ip, struct packet *packet,
						    const int v6)
{
	enum verdict flaw;

	if (!is_whole(xdp, packet))
		return VERDICT_DROP_MALFORMED;
	flaw = v6 ? parse_extensions(xdp, cursor, packet) : parse_options(cursor, ip, packet);
	if (flaw != VERDICT_CONTINUE)
		return flaw;
	if (!has_ports(packet->protocol) || packet->kind == KIND_LATER_FRAGMENT)
		return VERDICT_CONTINUE;
	return parse_ports(cursor, packet);
}
