/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* limits.h - the sizes that the data plane compiles in. model/limits.py gives each its reason; a
 * test holds the two equal.
 */
#pragma once

#define LIMIT_ENDPOINTS_PER_NODE 16384
#define LIMIT_SERVICES 4096
#define LIMIT_POOLS 1024
#define LIMIT_NEXT_HOPS 1024
#define LIMIT_PORTS 256
#define LIMIT_NAME_BYTES 63
#define LIMIT_VIP_PREFIXES 1024
#define LIMIT_SOURCES 16384
#define LIMIT_SERVER_IDS 16384
#define LIMIT_NOTES 65536
#define LIMIT_FRAGMENTS 8192
#define LIMIT_FRAGMENT_S 30
#define LIMIT_EXTENSION_HEADERS 4
