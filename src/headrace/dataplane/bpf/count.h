/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* count.h - per-CPU counters. */
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct count {
	__u64 packets;
	__u64 bytes; /* of IP packets as the client sent them; of frames where there is none */
};
_Static_assert(sizeof(struct count) == 16, "no hidden padding");

/* Add one packet to a per-CPU array of counters. */
static __always_inline void count(void *counts, __u32 index, __u64 bytes)
{
	struct count *entry = bpf_map_lookup_elem(counts, &index);

	if (!entry)
		return;
	entry->packets++;
	entry->bytes += bytes;
}
