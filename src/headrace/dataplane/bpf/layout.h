/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* layout.h - the bytes of every map, shared with the control plane (dataplane/layout.py).
 *
 * Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. Padding is a named field and
 * always zero. A test compares each struct with Python's through BTF.
 *
 * What a packet may be reading is never half changed: an entry in use is replaced as a whole (a
 * hash map does that) or differs in one aligned word (the fields marked "flips").
 */
#pragma once

#include <linux/types.h>

#include "limits.h"

#define SLOTS_PER_LINE 16

/* Port 0 is any port; port 0 with protocol 0 says that the address is a VIP at all. */
struct service_key {
	__be32 vip;
	__be16 port;
	__u8 protocol;
	__u8 zero;
};

struct service {
	__u32 pool;    /* index into pools */
	__u32 counter; /* index into service_counts */
};

/* Where a pool's lookup table lies in slot_lines. */
struct table {
	__u32 first_line;
	__u32 slot_count;
};

struct pool {
	struct table table; /* flips */
};

/* What only the control plane reads of a pool. */
struct pool_info {
	__u8 name[LIMIT_NAME_BYTES + 1]; /* UTF-8, zero-terminated; empty: no pool */
	__u64 stamp;   /* what the table was built from */
};

/* 16 slots, one cache line. A slot is 14 bits of owner, 14 bits of anchor, flags; the anchor and
 * the flags are zero until a slot can be unstable.
 */
#define SLOT_OWNER_MASK 0x3fff
struct slot_line {
	__u32 slots[SLOTS_PER_LINE];
};

/* How an endpoint is reached. Never changes while a slot names it, but for its next hop. */
struct endpoint {
	__u32 next_hop; /* index into next_hops; 0: no path. flips */
	__u32 outer_sum; /* of the outer IPv4 header without its length, TOS and checksum */
	__u8 outer_source[16];
	__u8 outer_destination[16];
	__u8 identity[16]; /* the endpoint's own address; all zero: the entry is free */
	__u64 zero;
};

/* The router must not send back what we hairpin; XDP_TX is the cheaper way where it works. */
#define NEXT_HOP_TRANSMIT 1

struct next_hop {
	__u8 destination_mac[6]; /* flips, with the next two bytes */
	__u8 source_mac[6];
	__u32 ifindex; /* 0: the entry is free */
	__u16 mtu;    /* of the route, so the outer packet's limit */
	__u16 flags;
	__u32 zero;
};

/* An attached interface, at index (ifindex % LIMIT_PORTS). */
struct port {
	__u32 ifindex; /* 0: none */
	__u8 macs[2][6]; /* that mean this node: the port's own, its bridge's */
};

struct settings {
	__u64 hash_keys[6]; /* hash specification v1 */
};

_Static_assert(sizeof(struct service_key) == 8, "no hidden padding");
_Static_assert(sizeof(struct service) == 8, "one word, replaced whole");
_Static_assert(sizeof(struct table) == 8, "flips as one word");
_Static_assert(sizeof(struct pool_info) == 72, "no hidden padding");
_Static_assert(sizeof(struct slot_line) == 64, "one cache line");
_Static_assert(sizeof(struct endpoint) == 64, "one cache line");
_Static_assert(sizeof(struct next_hop) == 24, "no hidden padding");
_Static_assert(sizeof(struct port) == 16, "no hidden padding");
_Static_assert(sizeof(struct settings) == 48, "no hidden padding");
