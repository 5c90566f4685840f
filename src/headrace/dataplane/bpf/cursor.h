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

/* Make the compiler forget what it knows of a number, so that it keeps the checks of its bounds that
 * the verifier wants to see.
 */
#define FORGET(number) asm volatile("" : "+r"(number))

/* The largest offset of a header: beyond it the verifier would lose count. */
#define OFFSET_MASK 0x3fff

/* `size` bytes at an offset from the frame's start, or NULL when the packet is too short. */
static __always_inline void *bytes_at(const struct xdp_md *xdp, __u32 offset, __u64 size)
{
	void *at;

	FORGET(offset);
	at = (void *)(long)xdp->data + (offset & OFFSET_MASK);
	return offset > OFFSET_MASK || at + size > (void *)(long)xdp->data_end ? NULL : at;
}
