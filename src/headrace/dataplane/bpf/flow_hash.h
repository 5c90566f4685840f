/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* flow_hash.h - hash specification v1: docs/hash-v1.md, section 2. Every instance, in C and in
 * Python, must agree on it for ever; a change is a new version.
 */
#pragma once

#include <linux/types.h>

#include <bpf/bpf_endian.h>

#include "layout.h"
#include "packet.h"

#define HASH_MULTIPLIER_ADDRESSES 0x9FB21C651E98DF25ULL
#define HASH_MULTIPLIER_PORTS 0xA0761D6478BD642FULL
#define HASH_MULTIPLIER_FINISH 0xD6E8FEB86659FD93ULL

static __always_inline __u64 hash_fold(__u64 word, __u64 key, __u64 multiplier)
{
	__u64 product = (word ^ key) * multiplier;

	return product ^ (product >> 32);
}

static __always_inline __u32 hash_finish(__u64 sum)
{
	sum ^= sum >> 29;
	return (sum * HASH_MULTIPLIER_FINISH) >> 32;
}

static __always_inline __u32 flow_hash(const struct packet *packet, const struct settings *settings)
{
	__u64 addresses = (__u64)bpf_ntohl(packet->destination) << 32 | bpf_ntohl(packet->source);
	__u64 ports = (__u64)packet->protocol << 32 |
		      (__u32)bpf_ntohs(packet->destination_port) << 16 |
		      bpf_ntohs(packet->source_port);

	return hash_finish(hash_fold(addresses, settings->hash_keys[0], HASH_MULTIPLIER_ADDRESSES) +
			   hash_fold(ports, settings->hash_keys[1], HASH_MULTIPLIER_PORTS));
}
