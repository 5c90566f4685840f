/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* wire.h - what the kernel's headers do not name of packets, for all programs. Touches no map. */
#pragma once

#include <linux/types.h>

#define TAGS_MAX 2 /* in front of an IP header: a tag of ours and one of a provider's */

#define IP_DONT_FRAGMENT 0x4000 /* RFC 791, 3.1 */
#define IP_MORE_FRAGMENTS 0x2000
#define IP_FRAGMENT_OFFSET 0x1fff
#define IP6_MORE_FRAGMENTS 0x0001 /* RFC 8200, 4.5 */
#define IP6_FRAGMENT_OFFSET 0xfff8

#define ECN_MASK 3 /* of TOS or traffic class (RFC 3168) */
#define FLOW_LABEL_MASK 0xfffff
#define GUE_PORT_FIRST 0xc000 /* the dynamic ports, and 14 bits of hash */
#define GUE_PORT_HASH 0x3fff

struct tag_header {
	__be16 tci;
	__be16 type; /* of what follows */
};

#define EXTENSION_UNIT 8

/* Any IPv6 extension header (RFC 8200, 4); its last two members are a fragment header's. */
struct extension_header {
	__u8 next;
	__u8 units; /* of 8 bytes, without the first; zero in a fragment header */
	__be16 fragment;
	__u32 fragment_id;
};
_Static_assert(sizeof(struct extension_header) == EXTENSION_UNIT, "no hidden padding");
