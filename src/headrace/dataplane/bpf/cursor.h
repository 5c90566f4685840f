/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cursor.h - walks a packet's headers without ever reading past its end. */
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct cursor {
	void *position;
	void *end;
};

static __always_inline struct cursor cursor_at_start(const struct xdp_md *xdp)
{
	struct cursor cursor = {
		.position = (void *)(long)xdp->data,
		.end = (void *)(long)xdp->data_end,
	};

	return cursor;
}

/* Step over `size` bytes; the bytes stepped over, or NULL when the packet is too short. */
static __always_inline void *cursor_take(struct cursor *cursor, __u64 size)
{
	void *taken = cursor->position;

	if (taken + size > cursor->end)
		return NULL;
	cursor->position = taken + size;
	return taken;
}
