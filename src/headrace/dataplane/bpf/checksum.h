/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* checksum.h - the Internet checksum (RFC 1071). */
#pragma once

#include <linux/types.h>

/* Fold a sum of 16-bit words into a checksum. */
static __always_inline __u16 checksum_of(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* The checksum after one word has become another (RFC 1624). */
static __always_inline __u16 checksum_after(__u16 checksum, __u16 before, __u16 after)
{
	return checksum_of((__u16)~checksum + (__u16)~before + after);
}
