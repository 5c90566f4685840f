/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* icmp.h - pings, and errors steered by the packet that they quote. Touches no map. */
#pragma once

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>

#include "cursor.h"
#include "extension.h"
#include "packet.h"
#include "parse.h"
#include "wire.h"

#define ICMP_HEADER_SIZE 8

/* RFC 792 and RFC 4443; <linux/icmp.h> needs a C library. */
#define ICMP_ECHO_REPLY 0
#define ICMP_UNREACHABLE 3
#define ICMP_ECHO_REQUEST 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMP_CODE_TOO_BIG 4 /* of unreachable: fragmentation needed */
#define ICMP6_UNREACHABLE 1
#define ICMP6_TOO_BIG 2
#define ICMP6_PARAMETER_PROBLEM 4
#define ICMP6_ROUTER_SOLICITATION 133 /* the first of neighbour discovery, RFC 4861 */
#define ICMP6_REDIRECT 137 /* and the last */
#define ICMP6_ECHO_REQUEST 128
#define ICMP6_ECHO_REPLY 129

/* Both families' headers begin alike. */
struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__u32 rest;
};
_Static_assert(sizeof(struct icmp_header) == ICMP_HEADER_SIZE, "no hidden padding");

static __always_inline int is_icmp(const struct packet *packet, const int v6)
{
	return packet->protocol == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

static __always_inline int is_error_type(__u8 type, const int v6)
{
	if (v6)
		return type >= ICMP6_UNREACHABLE && type <= ICMP6_PARAMETER_PROBLEM;
	return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETER_PROBLEM;
}

static __always_inline int same_address(const void *one, const void *other, const int v6)
{
	const __u32 *a = one;
	const __u32 *b = other;

	return a[0] == b[0] && (!v6 || (a[1] == b[1] && a[2] == b[2] && a[3] == b[3]));
}

/* Read a quoted IPv4 header at walk->at: it must be one that the VIP sent. */
static __always_inline int read_quote4(struct xdp_md *xdp, struct packet *packet, struct walk *walk)
{
	const struct iphdr *ip = bytes_at(xdp, walk->at, sizeof(*ip));

	if (!ip || ip->version != 4 || ip->ihl < 5 ||
	    !same_address(&ip->saddr, &packet->destination, 0) ||
	    ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET))
		return 0;
	packet->source.words[0] = ip->daddr;
	walk->next = ip->protocol;
	walk->at += ip->ihl * 4;
	return 1;
}

static __always_inline int read_quote6(struct xdp_md *xdp, struct packet *packet, struct walk *walk)
{
	const struct ipv6hdr *ip = bytes_at(xdp, walk->at, sizeof(*ip));

	if (!ip || ip->version != 6 || !same_address(&ip->saddr, &packet->destination, 1))
		return 0;
	__builtin_memcpy(&packet->source, &ip->daddr, sizeof(packet->source));
	walk->next = ip->nexthdr;
	walk->at += sizeof(*ip);
	return walk_extensions(xdp, walk) == VERDICT_CONTINUE &&
	       !(walk->is_fragment && !walk->is_first);
}

/* Make the packet one of the flow that an error quotes; the quoted packet's own source is the VIP. */
static __always_inline enum verdict read_quote(struct xdp_md *xdp, struct packet *packet,
					       const int v6)
{
	struct walk walk = {
		.at = packet->transport + ICMP_HEADER_SIZE,
		.end = packet->link_size + packet->length,
	};
	const struct ports_header *ports;

	if (!(v6 ? read_quote6(xdp, packet, &walk) : read_quote4(xdp, packet, &walk)) ||
	    !has_ports(walk.next) || walk.at + sizeof(*ports) > walk.end)
		return VERDICT_DROP_QUOTE;
	ports = bytes_at(xdp, walk.at, sizeof(*ports));
	if (!ports)
		return VERDICT_DROP_QUOTE;
	packet->protocol = walk.next;
	packet->source_port = ports->destination;
	packet->destination_port = ports->source;
	packet->kind = KIND_ERROR;
	return VERDICT_CONTINUE;
}

/* Tell pings and errors from the rest; what is wrong with the packet, if anything. */
static __always_inline enum verdict parse_icmp(struct xdp_md *xdp, struct packet *packet,
					       const int v6)
{
	const struct icmp_header *icmp;

	if (packet->kind != KIND_ORDINARY)
		return VERDICT_DROP_FRAGMENT;
	icmp = bytes_at(xdp, packet->transport, sizeof(*icmp));
	if (!icmp || packet->transport + sizeof(*icmp) > packet->link_size + packet->length)
		return VERDICT_DROP_MALFORMED;
	if (icmp->type == (v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO_REQUEST)) {
		packet->kind = KIND_ECHO;
		return VERDICT_CONTINUE;
	}
	if (v6 && icmp->type >= ICMP6_ROUTER_SOLICITATION && icmp->type <= ICMP6_REDIRECT)
		return VERDICT_PASS_NEIGHBOUR;
	return is_error_type(icmp->type, v6) ? read_quote(xdp, packet, v6) : VERDICT_CONTINUE;
}

/* One copy for each family, called: pings and errors are few. */
static __noinline enum verdict parse_icmp4(struct xdp_md *xdp, struct packet *packet)
{
	return parse_icmp(xdp, packet, 0);
}

static __noinline enum verdict parse_icmp6(struct xdp_md *xdp, struct packet *packet)
{
	return parse_icmp(xdp, packet, 1);
}
