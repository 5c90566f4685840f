/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* maps.h - every map of the data plane that outlives a packet. Names are at most 15 characters: the
 * kernel keeps no more.
 */
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "count.h"
#include "layout.h"
#include "verdict.h"

#define MAP(name, kind, flags, entries, key_type, value_type)                                      \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_##kind);                                                 \
		__uint(map_flags, flags);                                                          \
		__uint(max_entries, entries);                                                      \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

#define SHARED_ARRAY(name, entries, value_type)                                                    \
	MAP(name, ARRAY, BPF_F_MMAPABLE, entries, __u32, value_type)

#define COUNTERS(name, entries) MAP(name, PERCPU_ARRAY, 0, entries, __u32, struct count)

SHARED_ARRAY(settings, 1, struct settings);
SHARED_ARRAY(ports, LIMIT_PORTS, struct port);

/* A service may need two entries more: its VIP's mark, and one for packets without ports. */
SHARED_ARRAY(vip_filter, 1, struct vip_filter);
MAP(services4, HASH, 0, 3 * LIMIT_SERVICES, struct service_key4, struct service);
MAP(services6, HASH, 0, 3 * LIMIT_SERVICES, struct service_key6, struct service);
SHARED_ARRAY(shortcuts4, SHORTCUT_BUCKETS, struct bucket4);
SHARED_ARRAY(shortcuts6, SHORTCUT_BUCKETS, struct bucket6);
MAP(vip_prefixes, LPM_TRIE, BPF_F_NO_PREALLOC, LIMIT_VIP_PREFIXES, struct prefix_key, __u32);
MAP(sources, LPM_TRIE, BPF_F_NO_PREALLOC, LIMIT_SOURCES, struct prefix_key, __u32);

/* All lookup tables, one after another, in slot_lines. The loader sets the size that the document
 * needs; the control plane writes through mmap, 262 KB in about 15 us.
 */
SHARED_ARRAY(pools, LIMIT_POOLS, struct pool);
SHARED_ARRAY(pool_infos, LIMIT_POOLS, struct pool_info);
SHARED_ARRAY(slot_lines, 1, struct slot_line);
SHARED_ARRAY(block_ages, 1, struct block_age);

SHARED_ARRAY(endpoints, LIMIT_ENDPOINTS_PER_NODE, struct endpoint);
SHARED_ARRAY(next_hops, LIMIT_NEXT_HOPS, struct next_hop);
MAP(server_ids, HASH, 0, LIMIT_SERVER_IDS, struct server_id_key, __u32);

/* All that is remembered of packets: none of it for a packet of a stable slot. */
MAP(notes, LRU_HASH, 0, LIMIT_NOTES, struct flow_key, struct note);
MAP(fragments, LRU_HASH, 0, LIMIT_FRAGMENTS, struct fragment_key, struct fragment);
SHARED_ARRAY(answers, 1, struct answers);
SHARED_ARRAY(flow_sketches, LIMIT_ENDPOINTS_PER_NODE, struct flow_sketch);

COUNTERS(verdict_counts, VERDICT_COUNT);
COUNTERS(service_counts, LIMIT_SERVICES);
COUNTERS(endpoint_counts, LIMIT_ENDPOINTS_PER_NODE);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} samples SEC(".maps");
