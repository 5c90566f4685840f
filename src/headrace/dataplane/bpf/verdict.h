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
	X(SENT,            SEND,   "encapsulated and sent to an endpoint")                        \
	X(PASS_NOT_IPV4,   PASS,   "not an IPv4 packet, so none of ours")                         \
	X(PASS_NOT_VIP,    PASS,   "its destination is no VIP of this node")                      \
	X(PASS_OTHER_HOST, PASS,   "a frame for another host, seen on a port of a bridge")        \
	X(DROP_UNSERVED,   DROP,   "a VIP, but no service has this protocol and port")            \
	X(DROP_MALFORMED,  DROP,   "a VIP packet whose headers contradict its length")            \
	X(DROP_FRAGMENT,   DROP,   "a fragment of a VIP packet: its ports are not known")         \
	X(DROP_TOO_BIG,    DROP,   "too big for the path to its endpoint once encapsulated")      \
	X(DROP_NO_PATH,    DROP,   "its endpoint has no path at the moment")                      \
	X(DROP_NO_ROOM,    DROP,   "the driver left no room in front for the outer header")       \
	X(DROP_INTERNAL,   DROP,   "the tables contradict each other: please report it")
/* clang-format on */

#include "action.h"
