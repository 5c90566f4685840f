/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* choose.h - which endpoint a flow of a service belongs to. Touches no packet bytes. */
#pragma once

#include "flow_hash.h"
#include "maps.h"
#include "packet.h"

/* The slot that a hash falls into: multiply and shift instead of a division. */
static __always_inline __u32 slot_of(__u32 hash, __u32 slot_count)
{
	return ((__u64)hash * slot_count) >> 32;
}

/* Find the endpoint's index. */
static __always_inline enum verdict choose(struct packet *packet, const struct service *service,
					   __u32 *endpoint_index)
{
	const struct settings *setting;
	const struct slot_line *line;
	const struct pool *pool;
	struct table table;
	__u32 pool_index = service->pool;
	__u32 zero = 0;
	__u32 line_index;
	__u32 slot;
	__u64 word;

	setting = bpf_map_lookup_elem(&settings, &zero);
	pool = bpf_map_lookup_elem(&pools, &pool_index);
	if (!setting || !pool)
		return VERDICT_DROP_INTERNAL;
	/* One load: the place and the size of a table flip together. */
	word = *(const volatile __u64 *)&pool->table;
	__builtin_memcpy(&table, &word, sizeof(table));

	packet->hash = flow_hash(packet, setting);
	slot = slot_of(packet->hash, table.slot_count);
	line_index = table.first_line + slot / SLOTS_PER_LINE;
	line = bpf_map_lookup_elem(&slot_lines, &line_index);
	if (!line)
		return VERDICT_DROP_INTERNAL;
	*endpoint_index = line->slots[slot % SLOTS_PER_LINE] & SLOT_OWNER_MASK;
	return VERDICT_CONTINUE;
}
