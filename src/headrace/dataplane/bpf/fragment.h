/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fragment.h - gives later fragments what only the first one has: ports, and IPv6's protocol. */
#pragma once

#include "clock.h"
#include "maps.h"
#include "packet.h"
#include "v4_mapped.h"

/* Remember a first fragment, or complete a later one; 0 if its first one is not known. IPv6 knows
 * a packet's fragments without their protocol, which a later one need not show (RFC 8200, 4.5).
 */
static __always_inline int match_fragment(struct packet *packet, const int v6)
{
	struct fragment_key key = {
		.id = packet->fragment_id,
		.protocol = v6 ? 0 : packet->protocol,
	};
	__u32 now_s = clock_s();
	const struct fragment *known;

	map_address(key.source, &packet->source, v6);
	map_address(key.destination, &packet->destination, v6);
	if (packet->kind == KIND_FIRST_FRAGMENT) {
		struct fragment first = {
			.source_port = packet->source_port,
			.destination_port = packet->destination_port,
			.seen_s = now_s,
			.protocol = packet->protocol,
		};

		bpf_map_update_elem(&fragments, &key, &first, BPF_ANY);
		return 1;
	}
	known = bpf_map_lookup_elem(&fragments, &key);
	/* Signed: another CPU may have seen the next second already. */
	if (!known || (__s32)(now_s - known->seen_s) > LIMIT_FRAGMENT_S)
		return 0;
	packet->protocol = known->protocol;
	packet->source_port = known->source_port;
	packet->destination_port = known->destination_port;
	return 1;
}

static __noinline int match_fragment4(struct packet *packet)
{
	return match_fragment(packet, 0);
}

static __noinline int match_fragment6(struct packet *packet)
{
	return match_fragment(packet, 1);
}
