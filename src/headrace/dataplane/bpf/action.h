/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* action.h - makes an enum and its actions out of a program's list, VERDICTS(X). */
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* What becomes of the packet. SEND leaves to the next hop, ANSWER to where the packet came from. */
enum action {
	ACTION_PASS,
	ACTION_DROP,
	ACTION_SEND,
	ACTION_ANSWER,
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
