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
	/* No frame is empty; and from `size != 0` the verifier of Linux 6.1 learns nothing. */
	__u32 last = (length < SAMPLE_BYTES ? length : SAMPLE_BYTES) - 1;

	if (!sample)
		return 0;
	sample->time_ns = bpf_ktime_get_boot_ns();
	sample->ifindex = xdp->ingress_ifindex;
	sample->length = length;
	sample->verdict = verdict;
	sample->endpoint = endpoint;
	FORGET(last);
	if (bpf_xdp_load_bytes(xdp, 0, sample->bytes, (last & (SAMPLE_BYTES - 1)) + 1)) {
		bpf_ringbuf_discard(sample, 0);
		return 0;
	}
	bpf_ringbuf_submit(sample, 0);
	return 1;
}
