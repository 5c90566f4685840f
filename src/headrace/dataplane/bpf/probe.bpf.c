// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* probe.bpf.c - sends this node's own probes the way clients' packets go.
 *
 * A route to the VIP runs it (`encap bpf xmit`) on packets that the kernel is about to send. The low
 * bits of the packet's mark are an index into probe_paths: IP in IP and GUE get the outer header
 * that is there and are routed by it, l2 gets a frame header and leaves by the device that is there.
 * A packet without a path is dropped: unwrapped it would go where routing sends the VIP.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"
#include "wire.h"

#define PROBE_INDEX_MASK 0xffff
#define HEADER6_SIZE (sizeof(struct ipv6hdr) + sizeof(struct udphdr))

/* What is put in front of a probe; a field that depends on the packet is zero. */
struct probe_path {
	__u8 header[HEADER6_SIZE];
	__u32 ifindex; /* l2: where the frame leaves */
	__u8 encapsulation; /* enum encapsulation */
	__u8 flags; /* ENDPOINT_SOURCE_HASHED */
	__u8 size; /* of the header */
	__u8 zero;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LIMIT_ENDPOINTS_PER_NODE);
	__type(key, __u32);
	__type(value, struct probe_path);
} probe_paths SEC(".maps");

/* The inner packet as far as the outer header depends on it. */
struct inner {
	__u32 hash;
	__u16 length;
	__u8 protocol; /* as an IP header names it */
	__u8 class; /* DSCP and ECN */
};

static __always_inline int read_inner(struct __sk_buff *skb, struct inner *inner)
{
	const __u8 *first = (const void *)(long)skb->data;

	if (first + 2 > (const __u8 *)(long)skb->data_end || skb->len > 0xffff)
		return -1;
	inner->length = skb->len;
	inner->hash = bpf_get_hash_recalc(skb);
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		inner->protocol = IPPROTO_IPIP;
		inner->class = first[1];
	} else {
		inner->protocol = IPPROTO_IPV6;
		inner->class = first[0] << 4 | first[1] >> 4;
	}
	return 0;
}

static __always_inline void fill_udp(struct udphdr *udp, const struct inner *inner)
{
	udp->source = bpf_htons(GUE_PORT_FIRST | (inner->hash & GUE_PORT_HASH));
	udp->len = bpf_htons(inner->length + sizeof(*udp));
}

static __always_inline int encapsulate4(struct __sk_buff *skb, const struct probe_path *path,
					const struct inner *inner)
{
	struct {
		struct iphdr ip;
		struct udphdr udp;
	} outer;

	__builtin_memcpy(&outer, path->header, sizeof(outer));
	outer.ip.tos = inner->class;
	if (path->flags & ENDPOINT_SOURCE_HASHED)
		outer.ip.saddr |= bpf_htonl(inner->hash >> 16);
	if (path->encapsulation == ENCAPSULATION_GUE4) {
		outer.ip.tot_len = bpf_htons(inner->length + sizeof(outer));
		fill_udp(&outer.udp, inner);
		return bpf_lwt_push_encap(skb, BPF_LWT_ENCAP_IP, &outer, sizeof(outer));
	}
	outer.ip.protocol = inner->protocol;
	outer.ip.tot_len = bpf_htons(inner->length + sizeof(outer.ip));
	return bpf_lwt_push_encap(skb, BPF_LWT_ENCAP_IP, &outer, sizeof(outer.ip));
}

static __always_inline int encapsulate6(struct __sk_buff *skb, const struct probe_path *path,
					const struct inner *inner)
{
	struct {
		struct ipv6hdr ip;
		struct udphdr udp;
	} outer;
	__be32 *first = (void *)&outer;

	__builtin_memcpy(&outer, path->header, sizeof(outer));
	*first = bpf_htonl(6u << 28 | (__u32)inner->class << 20 | (inner->hash & FLOW_LABEL_MASK));
	if (path->flags & ENDPOINT_SOURCE_HASHED)
		outer.ip.saddr.in6_u.u6_addr16[7] |= bpf_htons(inner->hash >> 16);
	if (path->encapsulation == ENCAPSULATION_GUE6) {
		outer.ip.payload_len = bpf_htons(inner->length + sizeof(outer.udp));
		fill_udp(&outer.udp, inner);
		return bpf_lwt_push_encap(skb, BPF_LWT_ENCAP_IP, &outer, sizeof(outer));
	}
	outer.ip.nexthdr = inner->protocol;
	outer.ip.payload_len = bpf_htons(inner->length);
	return bpf_lwt_push_encap(skb, BPF_LWT_ENCAP_IP, &outer, sizeof(outer.ip));
}

/* Put a frame header, with a tag if there is one, in front, and hand the frame to its device. */
static __always_inline int send_frame(struct __sk_buff *skb, const struct probe_path *path)
{
	__u8 frame[ETH_HLEN + sizeof(struct tag_header)];
	__be16 ethertype = skb->protocol;
	__u32 size = path->size == sizeof(frame) ? sizeof(frame) : ETH_HLEN;

	__builtin_memcpy(frame, path->header, sizeof(frame));
	if (size == sizeof(frame))
		__builtin_memcpy(frame + sizeof(frame) - 2, &ethertype, sizeof(ethertype));
	else
		__builtin_memcpy(frame + ETH_HLEN - 2, &ethertype, sizeof(ethertype));
	if (bpf_skb_change_head(skb, size, 0) || bpf_skb_store_bytes(skb, 0, frame, size, 0))
		return BPF_DROP;
	return bpf_redirect(path->ifindex, 0);
}

SEC("lwt_xmit")
int probe(struct __sk_buff *skb)
{
	__u32 index = skb->mark & PROBE_INDEX_MASK;
	const struct probe_path *path = bpf_map_lookup_elem(&probe_paths, &index);
	struct inner inner = {};

	if (!path || read_inner(skb, &inner))
		return BPF_DROP;
	switch (path->encapsulation) {
	case ENCAPSULATION_IPIP4:
	case ENCAPSULATION_GUE4:
		return encapsulate4(skb, path, &inner) ? BPF_DROP : BPF_LWT_REROUTE;
	case ENCAPSULATION_IPIP6:
	case ENCAPSULATION_GUE6:
		return encapsulate6(skb, path, &inner) ? BPF_DROP : BPF_LWT_REROUTE;
	default:
		return send_frame(skb, path);
	}
}

char _license[] SEC("license") = "Dual BSD/GPL";
