/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* layout.h - the bytes of every map, shared with the control plane (dataplane/layout.py).
 *
 * Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d, but for the keys of services4.
 * Padding is a named field and always zero. A test compares each struct with Python's through BTF.
 * A struct in a shared array takes a multiple of 8 bytes, the kernel's stride.
 *
 * What a packet may be reading is never half changed: an entry in use is replaced as a whole (a
 * hash map does that) or differs in one aligned word (the fields marked "flips").
 */
#pragma once

#include <linux/types.h>

#include "limits.h"

#define SLOTS_PER_LINE 16
#define LINES_PER_BLOCK 4

/* A service: VIP, protocol and port; port 0 is any port. Protocol 0 marks what is no service:
 * with port 0 that the address, or the prefix, is a VIP at all; with another port, read as a
 * protocol's number, the service of that protocol's packets where ports do not matter.
 */
struct service_key4 {
	__be32 vip;
	__be16 port;
	__u8 protocol;
	__u8 prefix_length; /* 32 for an address */
};

struct service_key6 {
	__u8 vip[16];
	__be16 port;
	__u8 protocol;
	__u8 prefix_length; /* 128 for an address */
};

#define AFFINITY_FLOW 0
#define AFFINITY_SOURCE_IP 1
#define AFFINITY_DESTINATION_PORT 2

#define FLOW_TABLE_UNSTABLE 0
#define FLOW_TABLE_ALWAYS 1
#define FLOW_TABLE_NEVER 2

#define SERVICE_QUIC 1
#define SERVICE_SOURCES 2 /* only clients that the list `sources` allows */
#define SERVICE_PASS 4 /* of a VIP's mark: what nobody serves is left to the kernel */

struct service {
	__u32 pool;    /* index into pools */
	__u32 counter; /* index into service_counts */
	__u32 sources; /* number of the list in `sources`: 31 bits */
	__u8 affinity;
	__u8 flow_table;
	__u8 flags;
	__u8 zero;
};

/* Multiplied with this, the upper bits of an address or a key say where to look it up. */
#define LOOKUP_MULTIPLIER 0x9E3779B97F4A7C15ULL

/* A service by its exact key where a packet finds it without calling a function: a copy of its
 * entry in services4 or services6, which has those that find no room here too. The last word of a
 * key flips and is zero where there is none; an entry rests before it is written again.
 */
#define SHORTCUT_BUCKETS 8192
#define SHORTCUT_BITS 13
#define SHORTCUT_WAYS 2

struct shortcut4 {
	__u64 key; /* struct service_key4. flips */
	struct service service;
};

struct shortcut6 {
	__u64 vip[2];
	__u64 rest; /* the rest of struct service_key6, and SHORTCUT_USED. flips */
	struct service service;
};
#define SHORTCUT_USED 0x100000000

struct bucket4 {
	struct shortcut4 ways[SHORTCUT_WAYS];
};

struct bucket6 {
	struct shortcut6 ways[SHORTCUT_WAYS];
};

/* A prefix, longest match within its group: of VIPs the family's, 4 or 6; of clients the list's,
 * whose number is followed by a bit of family, 1 for IPv6. So no ::/0 holds IPv4.
 */
struct prefix_key {
	__u32 prefix_length; /* 32 for the group, then the address's; IPv4: 96 more than its own */
	__be32 group;
	__u8 address[16];
};

/* What `sources` says of a prefix's clients. */
#define SOURCE_DENIED 0
#define SOURCE_ALLOWED 1
#define SOURCE_OTHER 2 /* allowed too: everybody else, of a list that only denies some */

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
	__u64 stamp; /* what the table was built from */
};

/* A slot is 14 bits of owner, 14 bits of anchor, flags; without flags nothing but an owner. */
#define SLOT_OWNER_MASK 0x3fff
#define SLOT_ANCHOR_SHIFT 14
#define SLOT_UNSTABLE (1u << 28) /* the owner has changed lately */
#define SLOT_HAS_ANCHOR (1u << 29) /* and flows may live where it was before */

/* 16 slots, one cache line. */
struct slot_line {
	__u32 slots[SLOTS_PER_LINE];
};

/* Of a block of lines with unstable slots; seconds of CLOCK_MONOTONIC. All of a block settles at
 * once. A table begins with a block.
 */
struct block_age {
	__u32 unstable_since_s; /* older notes of its flows are void */
	__u32 changed_s; /* when a slot got another owner last */
	__u32 departed_s; /* when a packet went elsewhere than to its owner last */
	__u32 zero;
};

enum encapsulation {
	ENCAPSULATION_L2,
	ENCAPSULATION_IPIP4, /* by the outer family */
	ENCAPSULATION_IPIP6,
	ENCAPSULATION_GUE4,
	ENCAPSULATION_GUE6,
};

#define ENDPOINT_SOURCE_HASHED 1 /* the low 16 bits of the outer source carry the flow's hash */
#define ENDPOINT_DSCP_FIXED 1

/* How an endpoint is reached. Never changes while a slot names it, but for what flips. */
struct endpoint {
	__u32 next_hop; /* index into next_hops; 0: no path. flips */
	__u32 outer_sum; /* of the outer IPv4 header without its length, TOS and checksum */
	__u8 outer_source[16];
	__u8 outer_destination[16];
	__u8 identity[16]; /* the endpoint's own address; all zero: the entry is free */
	__u8 encapsulation;
	__u8 flags;
	__u8 dscp; /* DSCP << 2 | ENDPOINT_DSCP_FIXED; 0: the inner packet's */
	__u8 down; /* flips */
	__u32 generation; /* another each time the index is given to another endpoint */
};

#define NEXT_HOP_TRANSMIT 1 /* XDP_TX is the cheaper way back where it works: not on veth */

struct next_hop {
	__u8 destination_mac[6];
	__u8 source_mac[6];
	__u32 ifindex; /* 0: the entry is free */
	__u16 mtu; /* of the route, so the outer packet's limit */
	__u16 flags;
	__u16 tag; /* VLAN id to push; 0: none */
	__u16 zero;
};

#define PORT_TRANSMIT 1
#define PORT_MACS 4

/* An interface that packets come in by, at index (ifindex % LIMIT_PORTS). */
struct port {
	__u32 ifindex; /* 0: none */
	__u8 macs[PORT_MACS][6]; /* that mean this node: its own, its bridge's, its VLANs' */
	__u32 flags;
};

/* What was seen of one flow. */
struct flow_key {
	__u8 source[16];
	__u8 destination[16];
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 zero[3];
};

struct note {
	__u32 endpoint; /* index into endpoints, */
	__u32 generation; /* valid while the endpoint there has this one */
	__u32 seen_s;
	__u32 zero;
};

/* A sketch of the flows sent to one endpoint that is not their slot's owner, from which their number
 * is estimated (HyperLogLog): a flow's hash chooses a byte by its low bits; the byte keeps the most
 * trailing zeros, and one, that the other bits had.
 */
#define SKETCH_BYTES 128
#define SKETCH_BITS 7

struct flow_sketch {
	__u8 ranks[SKETCH_BYTES];
};

/* A packet in fragments, and the ports that only its first one has. */
struct fragment_key {
	__u8 source[16];
	__u8 destination[16];
	__u32 id; /* as it lies in the packet; IPv4: zero above 16 bits */
	__u8 protocol;
	__u8 zero[3];
};

struct fragment {
	__be16 source_port;
	__be16 destination_port;
	__u32 seen_s;
	__u8 protocol;
	__u8 zero[3];
};

/* A QUIC server id of a pool names an endpoint's index. */
struct server_id_key {
	__u32 pool;
	__u32 id;
};

struct settings {
	__u64 hash_keys[6]; /* hash specification v1 */
	__u32 answers_per_s;
	__u32 udp_idle_s;
	__u32 sample_one_in; /* packets into the ring of samples; 0: none */
	__be16 gue_port;
	__u8 zero[2];
};

/* Answers given in the second under way, by all CPUs. */
struct answers {
	__u64 word; /* second << 32 | how many */
};

/* Bit hash(address) is set for each VIP, so that nobody else's packet costs a look-up; where there
 * are prefixes, every packet of their family may be for a VIP.
 */
#define VIP_FILTER_WORDS 1024
struct vip_filter {
	__u64 words[VIP_FILTER_WORDS];
	__u8 has_prefixes4;
	__u8 has_prefixes6;
	__u8 zero[6];
};

#define SAMPLE_BYTES 256
struct sample {
	__u64 time_ns; /* of CLOCK_BOOTTIME */
	__u32 ifindex; /* it came in by */
	__u32 length; /* of the frame as it leaves */
	__u32 verdict;
	__u32 endpoint; /* index into endpoints; NO_ENDPOINT: none */
	__u8 bytes[SAMPLE_BYTES]; /* as it leaves, the first of them */
};
#define NO_ENDPOINT 0xffffffff

_Static_assert(sizeof(struct service_key4) == 8, "no hidden padding");
_Static_assert(sizeof(struct service_key6) == 20, "no hidden padding");
_Static_assert(sizeof(struct service) == 16, "no hidden padding");
_Static_assert(sizeof(struct bucket4) == 48, "no hidden padding");
_Static_assert(sizeof(struct bucket6) == 80, "no hidden padding");
_Static_assert(sizeof(struct table) == 8, "flips as one word");
_Static_assert(sizeof(struct pool_info) == 72, "no hidden padding");
_Static_assert(sizeof(struct slot_line) == 64, "one cache line");
_Static_assert(sizeof(struct block_age) == 16, "no hidden padding");
_Static_assert(sizeof(struct endpoint) == 64, "one cache line");
_Static_assert(sizeof(struct next_hop) == 24, "no hidden padding");
_Static_assert(sizeof(struct port) == 32, "no hidden padding");
_Static_assert(sizeof(struct flow_key) == 40, "no hidden padding");
_Static_assert(sizeof(struct fragment_key) == 40, "no hidden padding");
_Static_assert(sizeof(struct settings) == 64, "one cache line");
