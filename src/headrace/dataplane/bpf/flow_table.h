/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* flow_table.h - flows that are known one by one: those of slots whose owner has changed lately,
 * and those of UDP services that want it always. The rules are model-checked: docs/flow-table.md.
 */
#pragma once

#include <linux/in.h>

#include "clock.h"
#include "cursor.h"
#include "flow_hash.h"
#include "maps.h"
#include "packet.h"
#include "v4_mapped.h"

#define TCP_FLAGS_AT 13
#define TCP_SYN 0x02
#define TCP_ACK 0x10
#define SCTP_TAG_AT 4

/* `size` bytes of the transport header, if the packet has them all. */
static __always_inline const __u8 *transport_bytes(const struct xdp_md *xdp,
						   const struct packet *packet, __u32 size)
{
	if (packet->transport + size > packet->link_size + packet->length)
		return NULL;
	return bytes_at(xdp, packet->transport, size);
}

/* Whether the packet begins a connection: TCP's SYN, SCTP's INIT. UDP does not tell. */
static __always_inline int is_start(const struct xdp_md *xdp, const struct packet *packet)
{
	const __u8 *header;

	if (packet->kind != KIND_ORDINARY && packet->kind != KIND_FIRST_FRAGMENT)
		return 0;
	if (packet->protocol == IPPROTO_TCP) {
		header = transport_bytes(xdp, packet, TCP_FLAGS_AT + 1);
		return header && (header[TCP_FLAGS_AT] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	}
	if (packet->protocol == IPPROTO_SCTP) {
		header = transport_bytes(xdp, packet, SCTP_TAG_AT + sizeof(__u32));
		return header && !*(const __u32 *)(header + SCTP_TAG_AT);
	}
	return 0;
}

static __always_inline int is_down(__u32 index)
{
	const struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &index);

	return !endpoint || endpoint->down;
}

static __always_inline void make_flow_key(struct flow_key *key, const struct packet *packet,
					  const int v6)
{
	map_address(key->source, &packet->source, v6);
	map_address(key->destination, &packet->destination, v6);
	key->source_port = packet->source_port;
	key->destination_port = packet->destination_port;
	key->protocol = packet->protocol;
	key->zero[0] = key->zero[1] = key->zero[2] = 0;
}

static __always_inline void write_note(const struct flow_key *key, __u32 index, __u32 now_s)
{
	const struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &index);
	struct note note = { .endpoint = index, .seen_s = now_s };

	if (!endpoint)
		return;
	note.generation = endpoint->generation;
	bpf_map_update_elem(&notes, key, &note, BPF_ANY);
}

/* Whether a note still speaks of this flow, be its endpoint up or down. */
static __always_inline int is_current(const struct note *note, const struct block_age *age,
				      int always, __u32 now_s)
{
	const struct settings *setting;
	const struct endpoint *endpoint;
	__u32 index = note->endpoint;
	__u32 zero = 0;

	endpoint = bpf_map_lookup_elem(&endpoints, &index);
	if (!endpoint || endpoint->generation != note->generation)
		return 0;
	if (!always)
		return note->seen_s >= age->unstable_since_s;
	setting = bpf_map_lookup_elem(&settings, &zero);
	/* Signed: another CPU may have seen the next second already. */
	return setting && (__s32)(now_s - note->seen_s) < (__s32)setting->udp_idle_s;
}

/* Whether a flow without a note is older than the slot's last change: without a SYN to tell,
 * UDP's are taken to be for as long as an idle one lives.
 */
static __always_inline int predates(const struct packet *packet, const struct block_age *age,
				    __u32 now_s)
{
	const struct settings *setting;
	__u32 zero = 0;

	if (packet->protocol != IPPROTO_UDP)
		return 1;
	setting = bpf_map_lookup_elem(&settings, &zero);
	/* Signed: the control plane's clock may be a tick ahead of this one. */
	return setting && (__s32)(now_s - age->changed_s) <= (__s32)setting->udp_idle_s;
}

/* How many zeros a number other than 0 ends with: those bits, counted. Without branches, of which
 * the verifier would walk every one; clang has no __builtin_ctz for BPF.
 */
static __always_inline __u32 trailing_zeros(__u32 number)
{
	__u32 bits = ~number & (number - 1);

	bits -= bits >> 1 & 0x55555555;
	bits = (bits & 0x33333333) + (bits >> 2 & 0x33333333);
	bits = (bits + (bits >> 4)) & 0x0f0f0f0f;
	return bits * 0x01010101 >> 24;
}

/* Remember that the flow was seen at an endpoint. Another CPU may store a smaller rank at once: the
 * flow's next packet mends it.
 */
static __always_inline void sketch_flow(const struct packet *packet, __u32 index, const int v6)
{
	const struct settings *setting;
	struct flow_sketch *sketch;
	__u32 zero = 0;
	__u32 hash;
	__u8 rank;

	setting = bpf_map_lookup_elem(&settings, &zero);
	sketch = bpf_map_lookup_elem(&flow_sketches, &index);
	if (!setting || !sketch)
		return;
	hash = flow_hash(packet, AFFINITY_FLOW, setting, v6);
	/* The set bit ends the count where a hash has nothing but zeros. */
	rank = trailing_zeros(hash >> SKETCH_BITS | 1u << (32 - SKETCH_BITS)) + 1;
	hash %= SKETCH_BYTES;
	if (sketch->ranks[hash] < rank)
		sketch->ranks[hash] = rank;
}

/* The endpoint of a flow whose slot's word does not decide it alone. */
static __always_inline __u32 recall(struct xdp_md *xdp, const struct packet *packet, __u32 word,
				    __u32 line, int always, const int v6)
{
	__u32 owner = word & SLOT_OWNER_MASK;
	__u32 anchor = word >> SLOT_ANCHOR_SHIFT & SLOT_OWNER_MASK;
	__u32 block = line / LINES_PER_BLOCK;
	struct block_age *age = bpf_map_lookup_elem(&block_ages, &block);
	int is_flows = packet->kind == KIND_ORDINARY || packet->kind == KIND_FIRST_FRAGMENT;
	int may_write = is_flows;
	__u32 now_s = clock_s();
	__u32 chosen = owner;
	struct flow_key key;
	struct note *note;

	if (!age)
		return owner;
	make_flow_key(&key, packet, v6);
	if (is_start(xdp, packet)) {
		write_note(&key, owner, now_s);
		return owner;
	}
	note = bpf_map_lookup_elem(&notes, &key);
	if (note && is_current(note, age, always, now_s)) {
		if (!is_down(note->endpoint)) {
			chosen = note->endpoint;
			if (may_write && note->seen_s != now_s)
				note->seen_s = now_s;
			may_write = 0;
		}
	} else if (word & SLOT_HAS_ANCHOR && !is_down(anchor) && predates(packet, age, now_s)) {
		chosen = anchor;
	}
	if (may_write && packet->protocol == IPPROTO_UDP)
		write_note(&key, chosen, now_s);
	if (chosen != owner && age->departed_s != now_s)
		age->departed_s = now_s;
	if (chosen != owner && is_flows)
		sketch_flow(packet, chosen, v6);
	return chosen;
}

static __noinline __u32 recall4(struct xdp_md *xdp, const struct packet *packet, __u32 word,
				__u32 line, int always)
{
	return recall(xdp, packet, word, line, always, 0);
}

static __noinline __u32 recall6(struct xdp_md *xdp, const struct packet *packet, __u32 word,
				__u32 line, int always)
{
	return recall(xdp, packet, word, line, always, 1);
}
