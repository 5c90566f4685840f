/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tailrace_verdict.h - every way a packet can leave the endpoint's program; as verdict.h. */
#pragma once

/* clang-format off */
/*      name               action  meaning                                                       */
#define VERDICTS(X)                                                                               \
	X(PASS_DECAPSULATED, PASS, "unwrapped and handed to the kernel")                          \
	X(PASS_NOT_TUNNEL,   PASS, "no IP in IP packet for this endpoint")                        \
	X(DROP_STRANGER,     DROP, "the outer source is no load balancer that we know")           \
	X(DROP_NOT_VIP,      DROP, "the inner destination is no VIP of this endpoint")            \
	X(DROP_MALFORMED,    DROP, "outer and inner header contradict each other or the length")  \
	X(DROP_CONGESTED,    DROP, "congestion met a packet that cannot carry the mark (RFC 6040)") \
	X(DROP_INTERNAL,     DROP, "the packet could not be unwrapped: please report it")
/* clang-format on */
