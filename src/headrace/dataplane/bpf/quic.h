/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* quic.h - server ids in QUIC connection ids: plain-text QUIC-LB, by the two leading bits. */
#pragma once

#include <linux/in.h>
#include <linux/udp.h>

#include "flow_table.h"
#include "maps.h"
#include "packet.h"

#define QUIC_LONG_HEADER 0x80
#define QUIC_VERSION_2 0x6b3343cf /* its packet types are version 1's, each plus one (RFC 9369) */
#define QUIC_VERSION_AT 1
#define QUIC_HANDSHAKE 2 /* Initial and 0-RTT, below, have ids of the client's making */
#define QUIC_ID_LENGTH_AT 5
#define QUIC_LONG_ID_AT 6
#define QUIC_SHORT_ID_AT 1
#define QUIC_ID_BYTES_MIN 8

/* The server id that a connection id begins with; 0: none. */
static __always_inline __u32 server_id_of(const __u8 *id)
{
	switch (id[0] >> 6) {
	case 1:
		return (id[0] & 0x3f) << 10 | id[1] << 2 | id[2] >> 6;
	case 2:
		return id[1] << 16 | id[2] << 8 | id[3];
	case 3:
		return (__u32)id[1] << 24 | id[2] << 16 | id[3] << 8 | id[4];
	default:
		return 0;
	}
}

static __always_inline int has_clients_id(const __u8 *quic)
{
	__u32 type = quic[0] >> 4;
	__u32 version;

	__builtin_memcpy(&version, quic + QUIC_VERSION_AT, sizeof(version));
	if (version == bpf_htonl(QUIC_VERSION_2))
		type--;
	return (type & 3) < QUIC_HANDSHAKE;
}

static __always_inline __u32 read_server_id(const struct xdp_md *xdp, const struct packet *packet)
{
	const __u8 *quic = transport_bytes(
		xdp, packet, sizeof(struct udphdr) + QUIC_SHORT_ID_AT + QUIC_ID_BYTES_MIN);

	if (!quic)
		return 0;
	quic += sizeof(struct udphdr);
	if (!(quic[0] & QUIC_LONG_HEADER))
		return server_id_of(quic + QUIC_SHORT_ID_AT);
	if (has_clients_id(quic) || quic[QUIC_ID_LENGTH_AT] < QUIC_ID_BYTES_MIN)
		return 0;
	quic = transport_bytes(xdp, packet,
			       sizeof(struct udphdr) + QUIC_LONG_ID_AT + QUIC_ID_BYTES_MIN);
	return quic ? server_id_of(quic + sizeof(struct udphdr) + QUIC_LONG_ID_AT) : 0;
}

/* Find the endpoint that the packet's connection id names; 0 when it names none that is up. */
static __noinline int choose_by_id(struct xdp_md *xdp, struct packet *packet, __u32 pool)
{
	struct server_id_key key = { .pool = pool };
	const __u32 *index;

	if (packet->protocol != IPPROTO_UDP || packet->kind != KIND_ORDINARY)
		return 0;
	key.id = read_server_id(xdp, packet);
	if (!key.id)
		return 0;
	index = bpf_map_lookup_elem(&server_ids, &key);
	if (!index || is_down(*index))
		return 0;
	packet->endpoint = *index;
	return 1;
}
