/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* packet.h - what the pipeline knows of a packet once its headers are read. */
#pragma once

#include <linux/types.h>

#include "verdict.h"

struct packet {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u16 length; /* of the IP packet, from its header: frames may be padded */
	__u8 protocol;
	__u8 tos;
	/* Why the packet cannot be served, should its destination be a VIP: what is wrong with
	 * other people's packets is not ours to judge.
	 */
	enum verdict flaw;
	__u32 hash;
};
