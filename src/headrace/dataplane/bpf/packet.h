/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* packet.h - what the pipeline knows of a packet once its headers are read.
 *
 * The pipeline is compiled once for each family: functions take `v6`, a constant.
 */
#pragma once

#include <linux/types.h>

#include "verdict.h"

/* IPv4 has the first word alone. */
union address {
	__be32 words[4];
	__u64 halves[2];
};

enum kind {
	KIND_ORDINARY,
	KIND_ERROR, /* an ICMP error: ports, protocol and source are the quoted flow's */
	KIND_FIRST_FRAGMENT,
	KIND_LATER_FRAGMENT,
	KIND_ECHO, /* a ping */
};

/* What no step has set is not there: IPv4's words 1 to 3, the ports of a packet without. */
struct packet {
	union address source;    /* the client */
	union address destination; /* the VIP */
	union address vip;    /* the VIP, or the network it is in: what services are found by */
	__be16 source_port;
	__be16 destination_port;
	__u32 length;  /* of the IP packet, from its header: frames may be padded */
	__u32 link_size; /* Ethernet header and tags */
	__u32 transport; /* where the header after IP begins, from the frame's start */
	__u32 fragment_id;
	__u32 hash;
	__u32 endpoint; /* index into endpoints */
	/* Why the packet cannot be served, should its destination be a VIP: what is wrong with
	 * other people's packets is not ours to judge.
	 */
	enum verdict flaw;
	__u8 kind;
	__u8 protocol;
	__u8 tos; /* or traffic class */
	__u8 prefix_length; /* of vip */
};
