/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tail_maps.h - the maps of the endpoint's program, shared with dataplane/decapsulator.py. */
#pragma once

#include <linux/in6.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "count.h"
#include "tailrace_verdict.h"

#define LIMIT_ADDRESSES 4096
#define ADDRESS_ENTRIES (2 * LIMIT_ADDRESSES) /* old and new ones together, while they change */

enum role {
	ROLE_BALANCER = 1, /* an outer source we accept */
	ROLE_OWN = 2,    /* an outer destination that is this endpoint */
	ROLE_VIP = 3,    /* an inner destination that we serve */
};

/* Longest match within one role and family. An IPv4 address is the first 4 bytes, zeros behind. */
struct address_key {
	__u32 prefix_length; /* 32 more than the prefix's own: role and family always count */
	__u8 role;
	__u8 family; /* 4 or 6 */
	__u8 zero[2];
	__u8 address[16];
};
_Static_assert(sizeof(struct address_key) == 24, "no hidden padding");

#define ADDRESS_PREFIX 32

struct tail_settings {
	__be16 gue_port;
	__u8 zero[6];
};
_Static_assert(sizeof(struct tail_settings) == 8, "no hidden padding");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ADDRESS_ENTRIES);
	__type(key, struct address_key);
	__type(value, __u32);
} prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tail_settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VERDICT_COUNT);
	__type(key, __u32);
	__type(value, struct count);
} verdict_counts SEC(".maps");

/* The keys of whole addresses, without their role yet. */
static __always_inline void set_address4(struct address_key *key, __be32 address)
{
	key->prefix_length = ADDRESS_PREFIX + 32;
	key->family = 4;
	__builtin_memcpy(key->address, &address, sizeof(address));
}

static __always_inline void set_address6(struct address_key *key, const struct in6_addr *address)
{
	key->prefix_length = ADDRESS_PREFIX + 128;
	key->family = 6;
	__builtin_memcpy(key->address, address, sizeof(*address));
}

static __always_inline int has_role(struct address_key *key, enum role role)
{
	key->role = role;
	return bpf_map_lookup_elem(&prefixes, key) != NULL;
}

static __always_inline int is_gue_port(__be16 port)
{
	__u32 first = 0;
	const struct tail_settings *found = bpf_map_lookup_elem(&settings, &first);

	return found && found->gue_port && port == found->gue_port;
}
