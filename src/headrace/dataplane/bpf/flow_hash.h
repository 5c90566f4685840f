/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* flow_hash.h - hash specification v1: docs/hash-v1.md, section 2. Every instance, in C and in
 * Python, must agree on it for ever; a change is a new version.
 */
#pragma once

#include <linux/types.h>

#include <bpf/bpf_endian.h>

#include "layout.h"
#include "packet.h"

static const __u64 HASH_MULTIPLIERS[6] = {
	0x9FB21C651E98DF25ULL, 0xA0761D6478BD642FULL, 0xE7037ED1A0B428DBULL,
	0x8EBC6AF09C88C6E3ULL, 0x589965CC75374CC3ULL, 0x1D8E4E27C47D124FULL,
};
#define HASH_MULTIPLIER_FINISH 0xD6E8FEB86659FD93ULL

static __always_inline __u64 hash_fold(const struct settings *setting, int word, __u64 value)
{
	__u64 product = (value ^ setting->hash_keys[word]) * HASH_MULTIPLIERS[word];

	return product ^ (product >> 32);
}

static __always_inline __u32 hash_finish(__u64 sum)
{
	sum ^= sum >> 29;
	return (sum * HASH_MULTIPLIER_FINISH) >> 32;
}

/* Both addresses side by side, 32 bits of each. */
static __always_inline __u64 hash_pair(const struct packet *packet, int word)
{
	return (__u64)bpf_ntohl(packet->destination.words[word]) << 32 |
	       bpf_ntohl(packet->source.words[word]);
}

static __always_inline __u64 hash_addresses(const struct packet *packet,
					    const struct settings *setting, const int v6)
{
	if (!v6)
		return hash_fold(setting, 0, hash_pair(packet, 0));
	return hash_fold(setting, 2, hash_pair(packet, 0)) +
	       hash_fold(setting, 3, hash_pair(packet, 1)) +
	       hash_fold(setting, 4, hash_pair(packet, 2)) +
	       hash_fold(setting, 5, hash_pair(packet, 3));
}

static __always_inline __u64 hash_no_addresses(const struct settings *setting, const int v6)
{
	if (!v6)
		return hash_fold(setting, 0, 0);
	return hash_fold(setting, 2, 0) + hash_fold(setting, 3, 0) + hash_fold(setting, 4, 0) +
	       hash_fold(setting, 5, 0);
}

static __always_inline __u32 flow_hash(const struct packet *packet, __u8 affinity,
				       const struct settings *setting, const int v6)
{
	__u64 ports = (__u64)packet->protocol << 32 |
		      (__u32)bpf_ntohs(packet->destination_port) << 16 |
		      bpf_ntohs(packet->source_port);

	if (affinity == AFFINITY_SOURCE_IP)
		ports = 0;
	if (affinity == AFFINITY_DESTINATION_PORT)
		return hash_finish(hash_fold(setting, 1, ports & 0xffff0000) +
				   hash_no_addresses(setting, v6));
	return hash_finish(hash_fold(setting, 1, ports) + hash_addresses(packet, setting, v6));
}
