/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* verdict.h - every way a packet can leave the pipeline.
 *
 * The one list: it feeds the XDP action, the counters, the metric's label, the reference page and
 * `headrace explain`. A new verdict is one line here. The order is the counters' index, so new
 * lines go at the end.
 */
#pragma once

/* clang-format off */
/*      name               action  meaning                                                       */
#define VERDICTS(X)                                                                               \
	X(SENT,             SEND,   "encapsulated and sent to an endpoint")                       \
	X(PASS_NOT_IP,      PASS,   "neither IPv4 nor IPv6, so none of ours")                     \
	X(PASS_NOT_VIP,     PASS,   "its destination is no VIP of this node")                     \
	X(PASS_OTHER_HOST,  PASS,   "a frame for another host, seen on a port of a bridge")       \
	X(DROP_UNSERVED,    DROP,   "a VIP, but no service has this protocol and port")           \
	X(DROP_MALFORMED,   DROP,   "a VIP packet whose headers contradict its length")           \
	X(DROP_FRAGMENT,    DROP,   "a fragment of ICMP, or one whose first one was not seen")    \
	X(DROP_TOO_BIG,     DROP,   "too big for its path, and of a kind that gets no answer")    \
	X(DROP_NO_PATH,     DROP,   "its endpoint has no path at the moment")                     \
	X(DROP_NO_ROOM,     DROP,   "the driver left no room in front for the outer header")      \
	X(DROP_INTERNAL,    DROP,   "the tables contradict each other: please report it")         \
	X(ANSWERED_ECHO,    ANSWER, "a ping of a VIP, answered")                                  \
	X(ANSWERED_TOO_BIG, ANSWER, "too big for its path: the client was told the right size")   \
	X(PASS_UNSERVED,    PASS,   "no service has it, and its VIP leaves that to the kernel")   \
	X(DROP_HEADERS,     DROP,   "more IPv6 extension headers than are walked")                \
	X(DROP_QUOTE,       DROP,   "an ICMP error that does not quote a flow of its VIP")        \
	X(DROP_SOURCE,      DROP,   "the service does not allow this client")                     \
	X(DROP_ANSWERS,     DROP,   "it asks for an answer beyond the node's limit a second")     \
	X(DROP_SENDER,      DROP,   "it asks for an answer, but its source is nobody's address")  \
	X(PASS_NEIGHBOUR,   PASS,   "IPv6 neighbour discovery for a VIP, the kernel's to answer")
/* clang-format on */

#include "action.h"
