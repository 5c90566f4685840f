/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* extension.h - walks IPv6 extension headers (RFC 8200, 4), of a packet or of a quoted one. */
#pragma once

#include <linux/in6.h>
#include <linux/types.h>

#include <bpf/bpf_endian.h>

#include "cursor.h"
#include "limits.h"
#include "verdict.h"
#include "wire.h"

struct walk {
	__u32 at; /* from the frame's start */
	__u32 end; /* of the IP packet */
	__u32 fragment_id;
	__u8 next; /* the header at `at` */
	__u8 is_fragment;
	__u8 is_first;
};

static __always_inline int is_extension(__u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
	       protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_FRAGMENT;
}

static __always_inline void read_fragment(struct walk *walk, const struct extension_header *header)
{
	__u16 fragment = bpf_ntohs(header->fragment);

	/* One with neither an offset nor more to come is a whole packet (RFC 6946). */
	if (!(fragment & (IP6_MORE_FRAGMENTS | IP6_FRAGMENT_OFFSET)))
		return;
	walk->is_fragment = 1;
	walk->is_first = !(fragment & IP6_FRAGMENT_OFFSET);
	walk->fragment_id = header->fragment_id;
}

/* Walk to the first header that is no extension, or to where a later fragment's part begins. */
static __noinline enum verdict walk_extensions(struct xdp_md *xdp, struct walk *walk)
{
#pragma unroll
	for (int i = 0; i <= LIMIT_EXTENSION_HEADERS; i++) {
		const struct extension_header *header;
		__u8 kind = walk->next;
		__u32 units;

		if (!is_extension(kind) || (walk->is_fragment && !walk->is_first))
			return VERDICT_CONTINUE;
		if (i == LIMIT_EXTENSION_HEADERS)
			return VERDICT_DROP_HEADERS;
		header = bytes_at(xdp, walk->at, sizeof(*header));
		if (!header)
			return VERDICT_DROP_MALFORMED;
		units = kind == IPPROTO_FRAGMENT ? 1 : header->units + 1;
		if (walk->at + units * EXTENSION_UNIT > walk->end)
			return VERDICT_DROP_MALFORMED;
		if (kind == IPPROTO_FRAGMENT)
			read_fragment(walk, header);
		walk->next = header->next;
		walk->at += units * EXTENSION_UNIT;
	}
	return VERDICT_DROP_HEADERS;
}
