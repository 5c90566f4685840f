/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tail_congestion.h - merges the outer congestion field into the inner header (RFC 6040, 4.2). */
#pragma once

#include <linux/ip.h>
#include <linux/ipv6.h>

#include "checksum.h"
#include "tailrace_verdict.h"
#include "wire.h"

#define ECN_NOT_ECT 0
#define ECN_ECT_1 1
#define ECN_ECT_0 2
#define ECN_CE 3

#define IPV6_ECN_SHIFT 4 /* within the second byte: the lower half of the traffic class leads */

static __always_inline __u8 congestion4(const struct iphdr *ip)
{
	return ip->tos & ECN_MASK;
}

static __always_inline __u8 congestion6(const struct ipv6hdr *ip)
{
	return ip->flow_lbl[0] >> IPV6_ECN_SHIFT & ECN_MASK;
}

static __always_inline void set_congestion4(struct iphdr *ip, __u8 ecn)
{
	const __u16 *words = (const __u16 *)ip;
	__u16 before = words[0];

	ip->tos = (ip->tos & ~ECN_MASK) | ecn;
	ip->check = checksum_after(ip->check, before, words[0]);
}

static __always_inline void set_congestion6(struct ipv6hdr *ip, __u8 ecn)
{
	ip->flow_lbl[0] = (ip->flow_lbl[0] & ~(ECN_MASK << IPV6_ECN_SHIFT)) | ecn << IPV6_ECN_SHIFT;
}

/* What the inner field becomes. An outer ECT(1) is a mark too: a milder one than CE. */
static __always_inline __u8 merged_congestion(__u8 outer, __u8 inner)
{
	if (outer == ECN_CE || (outer == ECN_ECT_1 && inner == ECN_ECT_0))
		return outer;
	return inner;
}
