/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lookup.h - which service a packet is for. */
#pragma once

#include "fragment.h"
#include "maps.h"
#include "packet.h"
#include "parse.h"
#include "v4_mapped.h"

#define PREFIX_LENGTH(v6) ((v6) ? 128 : 32)

static __always_inline int same_mac(const __u8 *one, const __u8 *other)
{
	const __u16 *a = (const __u16 *)one;
	const __u16 *b = (const __u16 *)other;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

/* Whether the frame was sent to this node: a port of a bridge sees other hosts' frames too. */
static __always_inline int is_for_us(struct xdp_md *xdp)
{
	__u32 index = xdp->ingress_ifindex % LIMIT_PORTS;
	const struct port *port = bpf_map_lookup_elem(&ports, &index);
	const __u8 *mac = (void *)(long)xdp->data;

	if (!port || port->ifindex != xdp->ingress_ifindex ||
	    (void *)(mac + 6) > (void *)(long)xdp->data_end)
		return 0;
#pragma unroll
	for (int i = 0; i < PORT_MACS; i++)
		if (same_mac(mac, port->macs[i]))
			return 1;
	return 0;
}

static __always_inline const struct vip_filter *find_filter(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&vip_filter, &zero);
}

static __always_inline int has_prefixes(const struct vip_filter *filter, const int v6)
{
	return v6 ? filter->has_prefixes6 : filter->has_prefixes4;
}

/* Whether the destination can be a VIP; most of what is not ours ends here, without a look-up. */
static __always_inline int may_be_vip(const struct packet *packet, const int v6)
{
	const struct vip_filter *filter = find_filter();
	__u64 number;
	__u32 bit;

	if (v6)
		number = packet->destination.halves[0] ^ (packet->destination.halves[1] << 32 |
							  packet->destination.halves[1] >> 32);
	else
		number = packet->destination.words[0];
	bit = (number * LOOKUP_MULTIPLIER) >> 48;
	if (!filter)
		return 0;
	return (filter->words[bit >> 6] >> (bit & 63) & 1) || has_prefixes(filter, v6);
}

/* The entry of a protocol and port under packet->vip. */
static __always_inline struct service *find_entry(const struct packet *packet, __u8 protocol,
						  __be16 port, const int v6)
{
	if (v6) {
		struct service_key6 key = {
			.port = port,
			.protocol = protocol,
			.prefix_length = packet->prefix_length,
		};

		__builtin_memcpy(key.vip, &packet->vip, sizeof(key.vip));
		return bpf_map_lookup_elem(&services6, &key);
	} else {
		struct service_key4 key = {
			.vip = packet->vip.words[0],
			.port = port,
			.protocol = protocol,
			.prefix_length = packet->prefix_length,
		};

		return bpf_map_lookup_elem(&services4, &key);
	}
}

/* The service of the packet's own VIP, protocol and port by shortcut; NULL is no answer. */
static __always_inline struct service *find_shortcut4(const struct packet *packet)
{
	__u64 key = packet->destination.words[0] | (__u64)packet->destination_port << 32 |
		    (__u64)packet->protocol << 48 | (__u64)PREFIX_LENGTH(0) << 56;
	__u32 index = key * LOOKUP_MULTIPLIER >> (64 - SHORTCUT_BITS);
	struct bucket4 *bucket = bpf_map_lookup_elem(&shortcuts4, &index);

	if (!bucket)
		return NULL;
#pragma unroll
	for (int i = 0; i < SHORTCUT_WAYS; i++)
		if (bucket->ways[i].key == key)
			return &bucket->ways[i].service;
	return NULL;
}

static __always_inline struct service *find_shortcut6(const struct packet *packet)
{
	const __u64 *vip = packet->destination.halves;
	__u64 rest = packet->destination_port | (__u64)packet->protocol << 16 |
		     (__u64)PREFIX_LENGTH(1) << 24 | SHORTCUT_USED;
	__u32 index = (vip[0] ^ vip[1] ^ rest) * LOOKUP_MULTIPLIER >> (64 - SHORTCUT_BITS);
	struct bucket6 *bucket = bpf_map_lookup_elem(&shortcuts6, &index);

	if (!bucket)
		return NULL;
#pragma unroll
	for (int i = 0; i < SHORTCUT_WAYS; i++) {
		struct shortcut6 *way = &bucket->ways[i];

		if (way->rest == rest && way->vip[0] == vip[0] && way->vip[1] == vip[1])
			return &way->service;
	}
	return NULL;
}

static __always_inline struct service *find_mark(const struct packet *packet, const int v6)
{
	return find_entry(packet, 0, 0, v6);
}

/* The service of all packets of the protocol, where ports do not matter. */
static __always_inline struct service *find_portless(const struct packet *packet, const int v6)
{
	return find_entry(packet, 0, bpf_htons(packet->protocol), v6);
}

/* Zero the bits of an address that a prefix of `length` bits leaves open. */
static __always_inline void mask_address(union address *address, __u32 length, const int v6)
{
#pragma unroll
	for (__u32 i = 0; i < 4; i++) {
		__u32 kept = length > 32 * i ? length - 32 * i : 0;

		if (i && !v6)
			break;
		if (!kept)
			address->words[i] = 0;
		else if (kept < 32)
			address->words[i] &= bpf_htonl(~(0xffffffffu >> kept));
	}
}

/* Make packet->vip the longest prefix that holds the destination; 0 when there is none. */
static __always_inline int match_prefix(struct packet *packet, const int v6)
{
	struct prefix_key key = { .prefix_length = 32 + 128, .group = bpf_htonl(v6 ? 6 : 4) };
	const __u32 *length;

	map_address(key.address, &packet->destination, v6);
	length = bpf_map_lookup_elem(&vip_prefixes, &key);
	if (!length)
		return 0;
	packet->prefix_length = *length;
	packet->vip = packet->destination;
	mask_address(&packet->vip, *length, v6);
	return 1;
}

static __noinline int match_prefix4(struct packet *packet)
{
	return match_prefix(packet, 0);
}

static __noinline int match_prefix6(struct packet *packet)
{
	return match_prefix(packet, 1);
}

/* The VIP's mark: of the address, else of the longest prefix. Sets packet->vip to match. */
static __always_inline struct service *find_vip(struct packet *packet, const int v6)
{
	const struct vip_filter *filter = find_filter();
	struct service *mark = find_mark(packet, v6);

	if (mark || !filter || !has_prefixes(filter, v6) ||
	    !(v6 ? match_prefix6(packet) : match_prefix4(packet)))
		return mark;
	return find_mark(packet, v6);
}

/* What is known of a fragment, and its service where ports do not matter. */
static __always_inline enum verdict lookup_fragment(struct packet *packet, struct service **service,
						    const int v6)
{
	int is_known;

	if (!has_ports(packet->protocol) && !(v6 && is_extension(packet->protocol)))
		return VERDICT_CONTINUE;
	is_known = v6 ? match_fragment6(packet) : match_fragment4(packet);
	if (has_ports(packet->protocol))
		*service = find_portless(packet, v6);
	if (is_known)
		return VERDICT_CONTINUE;
	packet->source_port = 0;
	packet->destination_port = 0;
	return *service ? VERDICT_CONTINUE : VERDICT_DROP_FRAGMENT;
}

/* Whether ports were read that say which flow the packet is of, without asking any table. */
static __always_inline int has_flow(const struct packet *packet)
{
	return (packet->kind == KIND_ORDINARY || packet->kind == KIND_ERROR) &&
	       has_ports(packet->protocol);
}

/* Find the service, for which `service` is NULL before: the exact port first, then any port. */
static __always_inline enum verdict lookup(struct xdp_md *xdp, struct packet *packet,
					   struct service **service, const int v6)
{
	struct service *mark = NULL;
	enum verdict verdict;

	if (packet->flaw == VERDICT_CONTINUE && has_flow(packet))
		*service = v6 ? find_shortcut6(packet) : find_shortcut4(packet);
	if (*service)
		return is_for_us(xdp) ? VERDICT_CONTINUE : VERDICT_PASS_OTHER_HOST;

	if (v6)
		packet->vip = packet->destination;
	else
		packet->vip.words[0] = packet->destination.words[0];
	packet->prefix_length = PREFIX_LENGTH(v6);
	mark = find_vip(packet, v6);
	if (!mark)
		return VERDICT_PASS_NOT_VIP;
	if (!is_for_us(xdp))
		return VERDICT_PASS_OTHER_HOST;
	if (packet->flaw != VERDICT_CONTINUE)
		return packet->flaw;
	if (packet->kind == KIND_ECHO)
		return VERDICT_ANSWERED_ECHO;
	if (packet->kind == KIND_FIRST_FRAGMENT || packet->kind == KIND_LATER_FRAGMENT) {
		verdict = lookup_fragment(packet, service, v6);
		if (verdict != VERDICT_CONTINUE || *service)
			return verdict;
	}
	if (has_ports(packet->protocol)) {
		*service = find_entry(packet, packet->protocol, packet->destination_port, v6);
		if (!*service)
			*service = find_entry(packet, packet->protocol, 0, v6);
	}
	if (*service)
		return VERDICT_CONTINUE;
	return mark->flags & SERVICE_PASS ? VERDICT_PASS_UNSERVED : VERDICT_DROP_UNSERVED;
}
