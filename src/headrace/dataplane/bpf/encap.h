/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* encap.h - puts the outer headers in front. The inner packet is never changed, not even its TTL. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>

#include "checksum.h"
#include "maps.h"
#include "packet.h"
#include "parse.h"
#include "wire.h"

#define TTL 64
#define DSCP_MASK 0xfc

static __always_inline __u32 outer_size(__u8 encapsulation)
{
	switch (encapsulation) {
	case ENCAPSULATION_IPIP4:
		return sizeof(struct iphdr);
	case ENCAPSULATION_IPIP6:
		return sizeof(struct ipv6hdr);
	case ENCAPSULATION_GUE4:
		return sizeof(struct iphdr) + sizeof(struct udphdr);
	case ENCAPSULATION_GUE6:
		return sizeof(struct ipv6hdr) + sizeof(struct udphdr);
	default:
		return 0;
	}
}

static __always_inline int is_gue(__u8 encapsulation)
{
	return encapsulation == ENCAPSULATION_GUE4 || encapsulation == ENCAPSULATION_GUE6;
}

/* DSCP copied or the endpoint's own, ECN always copied (RFC 6040, 4.1). */
static __always_inline __u8 outer_tos(const struct packet *packet, const struct endpoint *endpoint)
{
	if (!endpoint->dscp)
		return packet->tos;
	return (endpoint->dscp & DSCP_MASK) | (packet->tos & ECN_MASK);
}

static __always_inline __be16 hashed_source(const struct packet *packet,
					    const struct endpoint *endpoint)
{
	return endpoint->flags & ENDPOINT_SOURCE_HASHED ? bpf_htons(packet->hash >> 16) : 0;
}

/* IPv4 outside: IP in IP (RFC 2003, 4213) or UDP. DF set. */
static __always_inline void write_outer4(struct iphdr *ip, const struct packet *packet,
					 const struct endpoint *endpoint, __u32 size, const int v6)
{
	__be16 first = bpf_htons(0x4500 | outer_tos(packet, endpoint));
	__be16 length = bpf_htons(packet->length + size);
	__be16 source = hashed_source(packet, endpoint);
	__u32 sum = endpoint->outer_sum + first + length + source;
	__u8 protocol = IPPROTO_UDP;

	if (endpoint->encapsulation == ENCAPSULATION_IPIP4) {
		protocol = v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
		if (v6) /* outer_sum is of IPv4 inside */
			sum += bpf_htons(IPPROTO_IPV6 - IPPROTO_IPIP);
	}
	*(__be16 *)ip = first;
	ip->tot_len = length;
	ip->id = 0;
	ip->frag_off = bpf_htons(IP_DONT_FRAGMENT);
	ip->ttl = TTL;
	ip->protocol = protocol;
	ip->check = checksum_of(sum);
	ip->saddr = *(const __be32 *)&endpoint->outer_source[12] | (__be32)source << 16;
	ip->daddr = *(const __be32 *)&endpoint->outer_destination[12];
}

/* IPv6 outside (RFC 2473); the flow label spreads the flows (RFC 6438). */
static __always_inline void write_outer6(struct ipv6hdr *ip, const struct packet *packet,
					 const struct endpoint *endpoint, __u32 size, const int v6)
{
	*(__be32 *)ip = bpf_htonl(6u << 28 | (__u32)outer_tos(packet, endpoint) << 20 |
				  (packet->hash & FLOW_LABEL_MASK));
	ip->payload_len = bpf_htons(packet->length + size - sizeof(*ip));
	if (endpoint->encapsulation == ENCAPSULATION_GUE6)
		ip->nexthdr = IPPROTO_UDP;
	else
		ip->nexthdr = v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
	ip->hop_limit = TTL;
	__builtin_memcpy(&ip->saddr, endpoint->outer_source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, endpoint->outer_destination, sizeof(ip->daddr));
	ip->saddr.s6_addr16[7] |= hashed_source(packet, endpoint);
}

/* UDP of GUE, variant 1; no checksum, as tunnels may (RFC 6935, 6936). */
static __always_inline void write_udp(struct udphdr *udp, const struct packet *packet,
				      const struct settings *setting)
{
	udp->source = bpf_htons(GUE_PORT_FIRST | (packet->hash & GUE_PORT_HASH));
	udp->dest = setting->gue_port;
	udp->len = bpf_htons(packet->length + sizeof(*udp));
	udp->check = 0;
}

/* Address the frame to the next hop; what follows the link header, NULL if there is no room. */
static __always_inline void *write_link(struct xdp_md *xdp, const struct next_hop *hop, __be16 type)
{
	struct cursor cursor = cursor_at_start(xdp);
	struct ethhdr *ethernet = cursor_take(&cursor, sizeof(*ethernet));
	struct tag_header *tag;

	if (!ethernet)
		return NULL;
	/* Both MACs lie in the next hop as in the frame. */
	((__u32 *)ethernet)[0] = ((const __u32 *)hop)[0];
	((__u32 *)ethernet)[1] = ((const __u32 *)hop)[1];
	((__u32 *)ethernet)[2] = ((const __u32 *)hop)[2];
	ethernet->h_proto = type;
	if (!hop->tag)
		return cursor.position;
	tag = cursor_take(&cursor, sizeof(*tag));
	if (!tag)
		return NULL;
	ethernet->h_proto = bpf_htons(ETH_P_8021Q);
	tag->tci = bpf_htons(hop->tag);
	tag->type = type;
	return cursor.position;
}

static __always_inline __be16 ethertype(int is_v6)
{
	return is_v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
}

/* Write the outer header at the frame's start, where `size` bytes of room are behind the link. */
static __always_inline enum verdict write_outer(struct xdp_md *xdp, const struct packet *packet,
						const struct endpoint *endpoint,
						const struct next_hop *hop, const int v6)
{
	__u8 encapsulation = endpoint->encapsulation;
	int outer_v6 = encapsulation == ENCAPSULATION_IPIP6 || encapsulation == ENCAPSULATION_GUE6;
	__u32 size = outer_size(encapsulation);
	struct cursor cursor = { .end = (void *)(long)xdp->data_end };
	const struct settings *setting;
	__u32 zero = 0;
	void *ip;

	cursor.position = write_link(xdp, hop, ethertype(size ? outer_v6 : v6));
	if (!cursor.position)
		return VERDICT_DROP_INTERNAL;
	if (!size)
		return VERDICT_SENT;
	if (outer_v6) {
		ip = cursor_take(&cursor, sizeof(struct ipv6hdr));
		if (!ip)
			return VERDICT_DROP_INTERNAL;
		write_outer6(ip, packet, endpoint, size, v6);
	} else {
		ip = cursor_take(&cursor, sizeof(struct iphdr));
		if (!ip)
			return VERDICT_DROP_INTERNAL;
		write_outer4(ip, packet, endpoint, size, v6);
	}
	if (is_gue(encapsulation)) {
		ip = cursor_take(&cursor, sizeof(struct udphdr));
		setting = bpf_map_lookup_elem(&settings, &zero);
		if (!ip || !setting)
			return VERDICT_DROP_INTERNAL;
		write_udp(ip, packet, setting);
	}
	return VERDICT_SENT;
}

/* Wrap the packet for an endpoint and address the frame to the next hop. */
static __always_inline enum verdict encapsulate(struct xdp_md *xdp, const struct packet *packet,
						const struct endpoint *endpoint,
						const struct next_hop *hop, const int v6)
{
	__u32 link_size = sizeof(struct ethhdr) + (hop->tag ? sizeof(struct tag_header) : 0);
	int growth = link_size + outer_size(endpoint->encapsulation) - packet->link_size;

	if (growth && bpf_xdp_adjust_head(xdp, -growth))
		return VERDICT_DROP_NO_ROOM;
	return write_outer(xdp, packet, endpoint, hop, v6);
}
