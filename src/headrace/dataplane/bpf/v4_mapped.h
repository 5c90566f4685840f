/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* v4_mapped.h - the 16 bytes by which maps of both families know an address. */
#pragma once

#include <linux/types.h>

#include <bpf/bpf_endian.h>

#include "packet.h"

/* IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2). */
static __always_inline void map_address(__u8 *bytes, const union address *address, const int v6)
{
	__u32 *words = (__u32 *)bytes;

	words[0] = v6 ? address->words[0] : 0;
	words[1] = v6 ? address->words[1] : 0;
	words[2] = v6 ? address->words[2] : bpf_htonl(0xffff);
	words[3] = v6 ? address->words[3] : address->words[0];
}
