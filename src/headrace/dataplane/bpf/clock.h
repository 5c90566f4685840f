/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* clock.h - whole seconds of CLOCK_MONOTONIC, read without asking the hardware. */
#pragma once

#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#define NS_PER_S 1000000000ULL

static __always_inline __u32 clock_s(void)
{
	return bpf_ktime_get_coarse_ns() / NS_PER_S;
}
