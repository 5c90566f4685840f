/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tail_parse.h - the link's header, the outer one and the inner one. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>

#include "checksum.h"
#include "cursor.h"
#include "limits.h"
#include "tail_congestion.h"
#include "tail_maps.h"
#include "wire.h"

struct outer {
	__u32 tags;   /* VLAN tags in front of it */
	__u32 size;   /* of what is taken away: the IP header, and UDP's for GUE */
	__u32 length; /* of the outer packet, as its IP header says */
	__u32 link_size;
	enum verdict flaw; /* what is wrong with it if it is for us; VERDICT_CONTINUE: nothing */
	__u8 protocol;
	__u8 ecn;
	__u8 is_later_fragment;
	struct address_key source;
	struct address_key destination;
};

struct inner {
	union {
		struct iphdr *ip4;
		struct ipv6hdr *ip6;
	};
	__u32 length;
	__u8 family;
	__u8 protocol;
	__u8 ecn;
	struct address_key destination;
};

/* The ethertype behind at most two VLAN tags; 0 when the frame is too short. */
static __always_inline __be16 parse_link(struct cursor *cursor, struct outer *outer)
{
	const struct ethhdr *ethernet = cursor_take(cursor, sizeof(*ethernet));
	const struct tag_header *tag;
	__be16 ethertype;

	if (!ethernet)
		return 0;
	ethertype = ethernet->h_proto;
	outer->link_size = sizeof(*ethernet);
#pragma unroll
	for (int i = 0; i < TAGS_MAX; i++) {
		if (ethertype != bpf_htons(ETH_P_8021Q) && ethertype != bpf_htons(ETH_P_8021AD))
			break;
		tag = cursor_take(cursor, sizeof(*tag));
		if (!tag)
			return 0;
		ethertype = tag->type;
		outer->tags++;
		outer->link_size += sizeof(*tag);
	}
	return ethertype;
}

/* Step over IPv6 extension headers, noting them in `outer` if given. What is behind them;
 * IPPROTO_NONE where the frame ends in one.
 */
static __always_inline __u8 skip_extensions(struct cursor *cursor, __u8 next, struct outer *outer)
{
	const struct extension_header *header;

#pragma unroll
	for (int i = 0; i < LIMIT_EXTENSION_HEADERS; i++) {
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT)
			break;
		header = cursor_take(cursor, sizeof(*header));
		if (!header || (next != IPPROTO_FRAGMENT &&
				!cursor_take(cursor, header->units * EXTENSION_UNIT)))
			return IPPROTO_NONE;
		if (outer && next != IPPROTO_FRAGMENT) {
			outer->flaw = VERDICT_DROP_OPTIONS;
		} else if (outer) {
			outer->flaw = VERDICT_DROP_FRAGMENT;
			outer->is_later_fragment = !!(header->fragment &
						      bpf_htons(IP6_FRAGMENT_OFFSET));
		}
		next = header->next;
	}
	return next;
}

static __always_inline int is_checksum_right(const struct iphdr *ip)
{
	const __u16 *words = (const __u16 *)ip;
	__u32 sum = 0;

#pragma unroll
	for (unsigned int i = 0; i < sizeof(*ip) / sizeof(*words); i++)
		sum += words[i];
	return !checksum_of(sum);
}

static __always_inline int parse_outer4(struct cursor *cursor, struct outer *outer)
{
	const struct iphdr *ip = cursor_take(cursor, sizeof(*ip));

	if (!ip || ip->version != 4)
		return 0;
	outer->protocol = ip->protocol;
	outer->ecn = congestion4(ip);
	outer->size = sizeof(*ip);
	outer->length = bpf_ntohs(ip->tot_len);
	outer->is_later_fragment = !!(ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET));
	set_address4(&outer->source, ip->saddr);
	set_address4(&outer->destination, ip->daddr);
	if (ip->ihl < 5)
		outer->flaw = VERDICT_DROP_MALFORMED;
	else if (ip->ihl > 5)
		outer->flaw = VERDICT_DROP_OPTIONS;
	else if (ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))
		outer->flaw = VERDICT_DROP_FRAGMENT;
	else if (!is_checksum_right(ip))
		outer->flaw = VERDICT_DROP_CHECKSUM;
	return ip->ihl <= 5 || cursor_take(cursor, ip->ihl * 4 - sizeof(*ip)) != NULL;
}

static __always_inline int parse_outer6(struct cursor *cursor, struct outer *outer)
{
	const struct ipv6hdr *ip = cursor_take(cursor, sizeof(*ip));

	if (!ip || ip->version != 6)
		return 0;
	outer->ecn = congestion6(ip);
	outer->size = sizeof(*ip);
	outer->length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	set_address6(&outer->source, &ip->saddr);
	set_address6(&outer->destination, &ip->daddr);
	outer->protocol = skip_extensions(cursor, ip->nexthdr, outer);
	return 1;
}

/* Whether it is UDP to the port of GUE. A checksum is not verified, be it there or not: the inner
 * packet has its own.
 */
static __always_inline int parse_gue(struct cursor *cursor, struct outer *outer)
{
	const struct udphdr *udp;

	if (outer->is_later_fragment)
		return 0;
	udp = cursor_take(cursor, sizeof(*udp));
	if (!udp || !is_gue_port(udp->dest))
		return 0;
	if (outer->flaw == VERDICT_CONTINUE && bpf_ntohs(udp->len) + outer->size != outer->length)
		outer->flaw = VERDICT_DROP_MALFORMED;
	outer->size += sizeof(*udp);
	return 1;
}

/* Whether the packet has an outer header of ours; its addresses are not looked at. */
static __always_inline int parse_outer(struct cursor *cursor, struct outer *outer)
{
	__be16 ethertype = parse_link(cursor, outer);
	int is_ip = 0;

	if (ethertype == bpf_htons(ETH_P_IP))
		is_ip = parse_outer4(cursor, outer);
	else if (ethertype == bpf_htons(ETH_P_IPV6))
		is_ip = parse_outer6(cursor, outer);
	if (!is_ip)
		return 0;
	if (outer->protocol == IPPROTO_UDP)
		return parse_gue(cursor, outer);
	return outer->protocol == IPPROTO_IPIP || outer->protocol == IPPROTO_IPV6;
}

static __always_inline enum verdict parse_inner4(struct cursor *cursor, struct inner *inner)
{
	struct iphdr *ip = cursor_take(cursor, sizeof(*ip));

	if (!ip)
		return VERDICT_DROP_MALFORMED;
	inner->length = bpf_ntohs(ip->tot_len);
	if (ip->ihl < 5 || inner->length < ip->ihl * 4)
		return VERDICT_DROP_MALFORMED;
	inner->ip4 = ip;
	inner->family = 4;
	inner->protocol = ip->protocol;
	inner->ecn = congestion4(ip);
	set_address4(&inner->destination, ip->daddr);
	return VERDICT_CONTINUE;
}

static __always_inline enum verdict parse_inner6(struct cursor *cursor, struct inner *inner)
{
	struct ipv6hdr *ip = cursor_take(cursor, sizeof(*ip));

	if (!ip)
		return VERDICT_DROP_MALFORMED;
	inner->ip6 = ip;
	inner->family = 6;
	inner->ecn = congestion6(ip);
	inner->length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	set_address6(&inner->destination, &ip->daddr);
	inner->protocol = skip_extensions(cursor, ip->nexthdr, NULL);
	return VERDICT_CONTINUE;
}

/* Read the header behind the outer one. Its first four bits say the family, and the outer
 * protocol must agree; the lengths must as well.
 */
static __always_inline enum verdict parse_inner(struct cursor *cursor, const struct outer *outer,
						struct inner *inner)
{
	const __u8 *first = cursor->position;
	enum verdict verdict;
	__u8 family;

	if ((void *)(first + 1) > cursor->end)
		return VERDICT_DROP_MALFORMED;
	family = *first >> 4;
	if (outer->protocol == IPPROTO_UDP && family != 4 && family != 6)
		return VERDICT_DROP_NOT_IP;
	if (outer->protocol != IPPROTO_UDP && family != (outer->protocol == IPPROTO_IPIP ? 4 : 6))
		return VERDICT_DROP_MALFORMED;
	verdict = family == 4 ? parse_inner4(cursor, inner) : parse_inner6(cursor, inner);
	if (verdict == VERDICT_CONTINUE && inner->length + outer->size != outer->length)
		return VERDICT_DROP_MALFORMED;
	return verdict;
}
