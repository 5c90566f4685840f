/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* next_hop.h - out of which interface, and how. */
#pragma once

#include "maps.h"

/* The XDP code that sends the frame to a next hop. */
static __always_inline int emit(struct xdp_md *xdp, const struct next_hop *hop)
{
	if ((hop->flags & NEXT_HOP_TRANSMIT) && hop->ifindex == xdp->ingress_ifindex)
		return XDP_TX;
	return bpf_redirect(hop->ifindex, 0);
}

/* The XDP code that sends the frame back out of the interface that it came in by. */
static __always_inline int emit_back(struct xdp_md *xdp)
{
	__u32 index = xdp->ingress_ifindex % LIMIT_PORTS;
	const struct port *port = bpf_map_lookup_elem(&ports, &index);

	if (port && port->flags & PORT_TRANSMIT)
		return XDP_TX;
	return bpf_redirect(xdp->ingress_ifindex, 0);
}
