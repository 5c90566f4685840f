/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tailrace_verdict.h - every way a packet can leave the endpoint's program; as verdict.h. */
#pragma once

/* clang-format off */
/*      name               action  meaning                                                       */
#define VERDICTS(X)                                                                               \
	X(PASS_DECAPSULATED, PASS, "unwrapped and handed to the kernel")                          \
	X(PASS_NOT_TUNNEL,   PASS, "no IP in IP or GUE packet for this endpoint")                 \
	X(DROP_STRANGER,     DROP, "the outer source is no load balancer that we know")           \
	X(DROP_NOT_VIP,      DROP, "the inner destination is no VIP of this endpoint")            \
	X(DROP_MALFORMED,    DROP, "outer and inner header contradict each other")                \
	X(DROP_CONGESTED,    DROP, "congestion met a packet that cannot carry the mark (RFC 6040)") \
	X(DROP_INTERNAL,     DROP, "the packet could not be unwrapped: please report it")         \
	X(DROP_TRUNCATED,    DROP, "the frame ends before the outer packet does")                 \
	X(DROP_FRAGMENT,     DROP, "a fragment of an outer packet")                               \
	X(DROP_OPTIONS,      DROP, "an outer header with IPv4 options or IPv6 extension headers") \
	X(DROP_CHECKSUM,     DROP, "the checksum of the outer IPv4 header is wrong")              \
	X(DROP_NOT_IP,       DROP, "GUE with something else than IP directly inside (variant 1)") \
	X(DROP_NESTED,       DROP, "the inner packet is a tunnel again: one layer is unwrapped")
/* clang-format on */

#include "action.h"
