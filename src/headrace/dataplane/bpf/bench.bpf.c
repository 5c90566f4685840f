// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* bench.bpf.c - runs a program again and again, each time on a packet as it came from the wire.
 *
 * BPF_PROG_TEST_RUN with `repeat` hands the program its own output from the second iteration on.
 * So this program is what it runs: it takes off what the last iteration put on, writes the headers
 * of the next flow, and tail-calls the program to be measured.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define HEADER_BYTES 128
#define SPREAD 2654435761u /* odd: distinct flows stay distinct */

struct bench {
	__u64 iterations;
	__u64 strange; /* packets that did not leave as they should */
	__u64 failures;
	__u32 length;     /* of the frame */
	__s32 head_growth;  /* what the program adds in front */
	__s32 tail_growth;  /* and behind */
	__u32 flows;     /* how many take turns at random; 0: each packet is another's */
	__u32 vips;     /* how many addresses, one after another */
	__u32 random;
	__u32 sequence;
	__u32 source_at;    /* where the low 32 bits of the client's address are; 0: nowhere */
	__u32 port_at;     /* where the client's port is; 0: nowhere */
	__u32 vip_at;     /* where the low 32 bits of the VIP are; 0: nowhere */
	__u32 vip;     /* the first, in host order */
	__u32 zero;
	__u8 header[HEADER_BYTES]; /* how each frame begins, as far as it goes */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench);
} benches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} measured SEC(".maps");

static __always_inline void *place(struct xdp_md *xdp, __u32 at, __u32 size)
{
	void *found = (void *)(long)xdp->data + (at & (HEADER_BYTES - 1));

	return at && found + size <= (void *)(long)xdp->data_end ? found : NULL;
}

static __always_inline __u32 next_flow(struct bench *bench)
{
	__u32 x = bench->random;

	if (!bench->flows)
		return bench->sequence++;
	x ^= x << 13; /* xorshift: Marsaglia, 2003 */
	x ^= x >> 17;
	x ^= x << 5;
	bench->random = x;
	return ((__u64)x * bench->flows) >> 32;
}

static __always_inline void write_header(struct xdp_md *xdp, const struct bench *bench)
{
	__u64 *to = (void *)(long)xdp->data;
	const __u64 *from = (const __u64 *)bench->header;

#pragma unroll
	for (int i = 0; i < HEADER_BYTES / 8; i++) {
		if ((void *)(to + i + 1) > (void *)(long)xdp->data_end)
			return;
		to[i] = from[i];
	}
}

static __always_inline void write_flow(struct xdp_md *xdp, const struct bench *bench, __u32 flow)
{
	__u32 spread = flow * SPREAD;
	__u8 *source = place(xdp, bench->source_at, sizeof(__u32));
	__u8 *vip = place(xdp, bench->vip_at, sizeof(__u32));
	__be16 *port = place(xdp, bench->port_at, sizeof(__be16));

	if (source) {
		source[1] = spread >> 16;
		source[2] = spread >> 8;
		source[3] = spread;
	}
	if (port)
		*port = bpf_htons(1024 + (spread >> 24) * 251);
	if (vip)
		*(__be32 *)vip = bpf_htonl(bench->vip + flow % bench->vips);
}

/* Make the frame as long as it was. */
static __always_inline int restore(struct xdp_md *xdp, struct bench *bench)
{
	__s32 growth = (__s32)bpf_xdp_get_buff_len(xdp) - (__s32)bench->length;

	if (!growth)
		return !bench->head_growth && !bench->tail_growth;
	if (growth != bench->head_growth + bench->tail_growth)
		return 0;
	if (bench->head_growth && bpf_xdp_adjust_head(xdp, bench->head_growth))
		return 0;
	return !(bench->tail_growth && bpf_xdp_adjust_tail(xdp, -bench->tail_growth));
}

SEC("xdp.frags")
int bench(struct xdp_md *xdp)
{
	__u32 zero = 0;
	struct bench *bench = bpf_map_lookup_elem(&benches, &zero);
	__u64 iteration;

	if (!bench || !bench->vips)
		return XDP_ABORTED;
	iteration = bench->iterations++;
	if (!restore(xdp, bench) && iteration)
		bench->strange++;
	write_header(xdp, bench);
	write_flow(xdp, bench, next_flow(bench));
	bpf_tail_call(xdp, &measured, 0);
	bench->failures++; /* only reached when there is nothing to measure */
	return XDP_ABORTED;
}

/* What the bench itself costs. */
SEC("xdp.frags")
int nothing(struct xdp_md *xdp __attribute__((unused)))
{
	return XDP_PASS;
}

/* What the bench costs when it has something to take off: half of it is the program's. */
SEC("xdp.frags")
int growth(struct xdp_md *xdp)
{
	__u32 zero = 0;
	struct bench *bench = bpf_map_lookup_elem(&benches, &zero);

	if (!bench || (bench->head_growth && bpf_xdp_adjust_head(xdp, -bench->head_growth)) ||
	    (bench->tail_growth && bpf_xdp_adjust_tail(xdp, bench->tail_growth)))
		return XDP_ABORTED;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
