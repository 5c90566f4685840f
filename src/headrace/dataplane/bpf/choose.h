/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* choose.h - which endpoint a flow of a service belongs to. */
#pragma once

#include "flow_hash.h"
#include "flow_table.h"
#include "maps.h"
#include "packet.h"
#include "quic.h"

/* The slot that a hash falls into: multiply and shift instead of a division. */
static __always_inline __u32 slot_of(__u32 hash, __u32 slot_count)
{
	return ((__u64)hash * slot_count) >> 32;
}

/* Whether the service's list allows the client: the longest prefix that holds it says so. */
static __always_inline int is_allowed(const struct packet *packet, __u32 list, const int v6)
{
	struct prefix_key key = { .prefix_length = 32 + 128, .group = bpf_htonl(list << 1 | v6) };
	const __u32 *said;

	map_address(key.address, &packet->source, v6);
	said = bpf_map_lookup_elem(&sources, &key);
	return said && *said != SOURCE_DENIED;
}

static __noinline int is_allowed4(const struct packet *packet, __u32 list)
{
	return is_allowed(packet, list, 0);
}

static __noinline int is_allowed6(const struct packet *packet, __u32 list)
{
	return is_allowed(packet, list, 1);
}

/* Whether a slot's word alone does not say where the flow goes. */
static __always_inline int needs_recall(const struct service *service, __u32 word)
{
	if (service->flow_table == FLOW_TABLE_ALWAYS)
		return 1;
	return word & SLOT_UNSTABLE && service->flow_table != FLOW_TABLE_NEVER;
}

/* Find the endpoint's index and the flow's hash. */
static __always_inline enum verdict choose(struct xdp_md *xdp, struct packet *packet,
					   const struct service *service,
					   const struct settings *setting, const int v6)
{
	const struct slot_line *line;
	const struct pool *pool;
	struct table table;
	__u32 pool_index = service->pool;
	__u32 line_index;
	__u32 slot;
	__u64 both;
	__u32 word;

	pool = bpf_map_lookup_elem(&pools, &pool_index);
	if (!pool)
		return VERDICT_DROP_INTERNAL;
	/* One load: the place and the size of a table flip together. */
	both = *(const volatile __u64 *)&pool->table;
	__builtin_memcpy(&table, &both, sizeof(table));

	packet->hash = flow_hash(packet, service->affinity, setting, v6);
	if (service->flags & SERVICE_QUIC && choose_by_id(xdp, packet, pool_index))
		return VERDICT_CONTINUE;
	slot = slot_of(packet->hash, table.slot_count);
	line_index = table.first_line + slot / SLOTS_PER_LINE;
	line = bpf_map_lookup_elem(&slot_lines, &line_index);
	if (!line)
		return VERDICT_DROP_INTERNAL;
	word = line->slots[slot % SLOTS_PER_LINE];
	packet->endpoint = word & SLOT_OWNER_MASK;
	if (needs_recall(service, word)) {
		int always = service->flow_table == FLOW_TABLE_ALWAYS;

		packet->endpoint = v6 ? recall6(xdp, packet, word, line_index, always)
				      : recall4(xdp, packet, word, line_index, always);
	}
	return VERDICT_CONTINUE;
}
