/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* fragment.h - gives later fragments the ports that only the first one has. */
#pragma once

#include "clock.h"
#include "maps.h"
#include "packet.h"
#include "v4_mapped.h"

static __always_inline enum verdict match_fragment(struct packet *packet, const int v6)
{
	struct fragment_key key = { .id = packet->fragment_id, .protocol = packet->protocol };
	__u32 now_s = clock_s();
	const struct fragment *known;

	map_address(key.source, &packet->source, v6);
	map_address(key.destination, &packet->destination, v6);
	if (packet->kind == KIND_FIRST_FRAGMENT) {
		struct fragment first = {
			.source_port = packet->source_port,
			.destination_port = packet->destination_port,
			.seen_s = now_s,
		};

		bpf_map_update_elem(&fragments, &key, &first, BPF_ANY);
		return VERDICT_CONTINUE;
	}
	known = bpf_map_lookup_elem(&fragments, &key);
	if (!known || now_s - known->seen_s > LIMIT_FRAGMENT_S)
		return VERDICT_DROP_FRAGMENT;
	packet->source_port = known->source_port;
	packet->destination_port = known->destination_port;
	return VERDICT_CONTINUE;
}

static __noinline enum verdict match_fragment4(struct packet *packet)
{
	return match_fragment(packet, 0);
}

static __noinline enum verdict match_fragment6(struct packet *packet)
{
	return match_fragment(packet, 1);
}
