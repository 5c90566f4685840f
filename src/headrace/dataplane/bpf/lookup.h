/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* lookup.h - which service a packet is for. */
#pragma once

#include "maps.h"
#include "packet.h"

static __always_inline int same_mac(const __u8 *one, const __u8 *other)
{
	const __u16 *a = (const __u16 *)one;
	const __u16 *b = (const __u16 *)other;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

/* Whether the frame was sent to this node: a port of a bridge sees other hosts' frames too. */
static __always_inline int is_for_us(struct xdp_md *xdp)
{
	__u32 index = xdp->ingress_ifindex % LIMIT_PORTS;
	const struct port *port = bpf_map_lookup_elem(&ports, &index);
	const __u8 *mac = (void *)(long)xdp->data;

	if (!port || port->ifindex != xdp->ingress_ifindex ||
	    (void *)(mac + 6) > (void *)(long)xdp->data_end)
		return 0;
	return same_mac(mac, port->macs[0]) || same_mac(mac, port->macs[1]);
}

static __always_inline int is_vip(__be32 address)
{
	struct service_key key = { .vip = address };

	return bpf_map_lookup_elem(&services, &key) != NULL;
}

/* Find the service, for which `service` is NULL before: the exact port first, then any port. */
static __always_inline enum verdict lookup(struct xdp_md *xdp, const struct packet *packet,
					   struct service **service)
{
	struct service_key key = {
		.vip = packet->destination,
		.port = packet->destination_port,
		.protocol = packet->protocol,
	};

	if (packet->flaw == VERDICT_CONTINUE)
		*service = bpf_map_lookup_elem(&services, &key);
	if (!*service && !is_vip(packet->destination))
		return VERDICT_PASS_NOT_VIP;
	if (!is_for_us(xdp))
		return VERDICT_PASS_OTHER_HOST;
	if (*service)
		return VERDICT_CONTINUE;
	if (packet->flaw != VERDICT_CONTINUE)
		return packet->flaw;
	key.port = 0;
	*service = bpf_map_lookup_elem(&services, &key);
	return *service ? VERDICT_CONTINUE : VERDICT_DROP_UNSERVED;
}
