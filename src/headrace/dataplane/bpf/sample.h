/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* sample.h - one packet in so many, as it leaves, for `headrace capture`. */
#pragma once

#include "cursor.h"
#include "maps.h"
#include "packet.h"

static __noinline int take_sample(struct xdp_md *xdp, __u32 verdict, __u32 endpoint)
{
	struct sample *sample = bpf_ringbuf_reserve(&samples, sizeof(*sample), 0);
	__u32 length = bpf_xdp_get_buff_len(xdp);
	__u32 size = length < SAMPLE_BYTES ? length : SAMPLE_BYTES;

	if (!sample)
		return 0;
	sample->time_ns = bpf_ktime_get_boot_ns();
	sample->ifindex = xdp->ingress_ifindex;
	sample->length = length;
	sample->verdict = verdict;
	sample->endpoint = endpoint;
	FORGET(size);
	if (size < 1 || size > SAMPLE_BYTES || bpf_xdp_load_bytes(xdp, 0, sample->bytes, size)) {
		bpf_ringbuf_discard(sample, 0);
		return 0;
	}
	bpf_ringbuf_submit(sample, 0);
	return 1;
}
