/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* action.h - makes an enum and its actions out of a program's list, VERDICTS(X). */
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* What becomes of the packet. SEND leaves the XDP code to the next hop: XDP_TX or a redirect. */
enum action {
	ACTION_PASS,
	ACTION_DROP,
	ACTION_SEND,
};

/* VERDICT_CONTINUE is not in the list: no packet leaves with it. */
enum verdict {
	VERDICT_CONTINUE = -1,
#define X(name, action, meaning) VERDICT_##name,
	VERDICTS(X)
#undef X
		VERDICT_COUNT,
};

static __always_inline enum action action_of(enum verdict verdict)
{
	switch (verdict) {
#define X(name, action, meaning)                                                                   \
	case VERDICT_##name:                                                                       \
		return ACTION_##action;
		VERDICTS(X)
#undef X
	default:
		return ACTION_DROP;
	}
}
