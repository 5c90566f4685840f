/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* answer.h - what the data plane says itself: pongs, and that a packet is too big. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>

#include "checksum.h"
#include "clock.h"
#include "cursor.h"
#include "encap.h"
#include "icmp.h"
#include "maps.h"
#include "packet.h"
#include "wire.h"

/* Take one of the answers that the node may give in this second. A quarter of them is not for
 * pings, so that a flood of those does not keep anybody from learning which size fits.
 */
static __always_inline int may_answer(int is_ping)
{
	__u32 zero = 0;
	const struct settings *setting = bpf_map_lookup_elem(&settings, &zero);
	struct answers *given = bpf_map_lookup_elem(&answers, &zero);
	__u64 now_s = clock_s();
	__u64 before;
	__u32 limit;

	if (!setting || !given)
		return 0;
	limit = setting->answers_per_s;
	if (is_ping)
		limit -= limit / 4;
	before = *(volatile __u64 *)&given->word;
	if (before >> 32 != now_s) {
		__sync_val_compare_and_swap(&given->word, before, now_s << 32);
		before = *(volatile __u64 *)&given->word;
	}
	if ((__u32)before >= limit)
		return 0;
	__sync_fetch_and_add(&given->word, 1);
	return 1;
}

/* Whether an answer to the source would reach one host (RFC 1122, 3.2.2; RFC 4443, 2.4). */
static __always_inline int is_sender(const struct packet *packet, const int v6)
{
	__u32 first = bpf_ntohl(packet->source.words[0]);

	if (!v6)
		return first >> 24 && first >> 24 != 127 && first >> 28 < 14;
	return first >> 24 != 0xff &&
	       (first || packet->source.words[1] || packet->source.words[2] ||
		bpf_ntohl(packet->source.words[3]) > 1);
}

static __always_inline void swap_macs(struct ethhdr *ethernet)
{
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, mac, ETH_ALEN);
}

static __always_inline void turn_ip4(struct iphdr *ip)
{
	__be32 source = ip->saddr;
	__be16 before = bpf_htons(ip->ttl << 8 | ip->protocol);

	ip->saddr = ip->daddr;
	ip->daddr = source;
	ip->ttl = TTL;
	ip->check = checksum_after(ip->check, before, bpf_htons(TTL << 8 | ip->protocol));
}

static __always_inline void turn_ip6(struct ipv6hdr *ip)
{
	struct in6_addr source = ip->saddr;

	ip->saddr = ip->daddr;
	ip->daddr = source;
	ip->hop_limit = TTL;
}

/* Turn a ping into its answer, in place. */
static __always_inline enum verdict answer_echo(struct xdp_md *xdp, const struct packet *packet,
						const int v6)
{
	__u8 type = v6 ? ICMP6_ECHO_REPLY : ICMP_ECHO_REPLY;
	struct ethhdr *ethernet = bytes_at(xdp, 0, sizeof(*ethernet));
	void *ip = bytes_at(xdp, packet->link_size,
			    v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	struct icmp_header *icmp = bytes_at(xdp, packet->transport, sizeof(*icmp));

	if (!ethernet || !ip || !icmp)
		return VERDICT_DROP_INTERNAL;
	if (!is_sender(packet, v6))
		return VERDICT_DROP_SENDER;
	if (!may_answer(1))
		return VERDICT_DROP_ANSWERS;
	swap_macs(ethernet);
	if (v6)
		turn_ip6(ip);
	else
		turn_ip4(ip);
	icmp->checksum = checksum_after(icmp->checksum, bpf_htons(icmp->type << 8 | icmp->code),
					bpf_htons(type << 8));
	/* 0 is the checksum of no message, and 0xffff of one of zeros; of others both hold. */
	if (!icmp->checksum)
		icmp->checksum = 0xffff;
	icmp->type = type;
	icmp->code = 0;
	return VERDICT_ANSWERED_ECHO;
}

/* How much of a packet an error quotes: with its headers it stays below what every link carries,
 * 576 and 1280 bytes, in the largest pieces that the checksum helper takes.
 */
#define QUOTE_PIECE 512
#define QUOTE_PIECES(v6) ((v6) ? 2 : 1)
#define QUOTE_MAX (2 * QUOTE_PIECE)
#define IP6_MTU_MIN 1280

struct quote {
	__u8 bytes[QUOTE_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct quote);
} quotes SEC(".maps");

/* Sum what is to be quoted; negative when there is none. */
static __always_inline __s64 sum_quote(struct xdp_md *xdp, const struct packet *packet, __u32 size,
				       const int v6)
{
	__u32 zero = 0;
	struct quote *quote = bpf_map_lookup_elem(&quotes, &zero);
	const __u32 size_max = QUOTE_PIECES(v6) * QUOTE_PIECE;
	__u32 last = size - 1; /* from `size != 0` the verifier of Linux 6.1 learns nothing */
	__s64 sum;

	if (!quote)
		return -1;
	if (size < size_max)
		__builtin_memset(quote, 0, sizeof(*quote));
	FORGET(last);
	if (bpf_xdp_load_bytes(xdp, packet->link_size, quote, (last & (size_max - 1)) + 1))
		return -1;
	sum = bpf_csum_diff(NULL, 0, (void *)quote->bytes, QUOTE_PIECE, 0);
	if (v6)
		sum = bpf_csum_diff(NULL, 0, (void *)(quote->bytes + QUOTE_PIECE), QUOTE_PIECE,
				    sum);
	return sum;
}

static __always_inline __u16 checksum_of_long(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return checksum_of(sum);
}

static __always_inline __u64 sum_words(const void *bytes, const int size)
{
	const __u32 *words = bytes;
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < size / 4; i++)
		sum += words[i];
	return sum;
}

/* Move the link header to the new front, back towards the sender. The areas do not overlap. */
static __always_inline int turn_link(struct xdp_md *xdp, __u32 link_size, __u32 growth)
{
	__u16 *front = bytes_at(xdp, 0, sizeof(struct ethhdr));
	__u16 *link = bytes_at(xdp, growth, sizeof(struct ethhdr));

	if (!front || !link)
		return 0;
#pragma unroll
	for (int i = 0; i < ETH_ALEN / 2; i++) {
		front[i] = link[i + ETH_ALEN / 2];
		front[i + ETH_ALEN / 2] = link[i];
	}
#pragma unroll
	for (__u32 i = 0; i <= 2 * TAGS_MAX; i++) {
		__u32 at = 2 * ETH_ALEN + 2 * i;
		__u16 *to = bytes_at(xdp, at, sizeof(*to));
		const __u16 *from = bytes_at(xdp, growth + at, sizeof(*from));

		if (at >= link_size)
			break;
		if (!to || !from)
			return 0;
		*to = *from;
	}
	return 1;
}

static __always_inline int write_too_big4(struct xdp_md *xdp, const struct packet *packet,
					  __u32 size, __u32 mtu, __u64 quote_sum)
{
	struct {
		struct iphdr ip;
		struct icmp_header icmp;
	} *error = bytes_at(xdp, packet->link_size, sizeof(*error));

	if (!error)
		return 0;
	error->ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tot_len = bpf_htons(sizeof(*error) + size),
		.frag_off = bpf_htons(IP_DONT_FRAGMENT),
		.ttl = TTL,
		.protocol = IPPROTO_ICMP,
		.saddr = packet->destination.words[0],
		.daddr = packet->source.words[0],
	};
	error->ip.check = checksum_of_long(sum_words(&error->ip, sizeof(error->ip)));
	error->icmp = (struct icmp_header){
		.type = ICMP_UNREACHABLE,
		.code = ICMP_CODE_TOO_BIG,
		.rest = bpf_htonl(mtu & 0xffff),
	};
	error->icmp.checksum =
		checksum_of_long(quote_sum + sum_words(&error->icmp, sizeof(error->icmp)));
	return 1;
}

static __always_inline int write_too_big6(struct xdp_md *xdp, const struct packet *packet,
					  __u32 size, __u32 mtu, __u64 quote_sum)
{
	struct {
		struct ipv6hdr ip;
		struct icmp_header icmp;
	} *error = bytes_at(xdp, packet->link_size, sizeof(*error));
	__u64 sum;

	if (!error)
		return 0;
	*(__be32 *)&error->ip = bpf_htonl(6u << 28);
	error->ip.payload_len = bpf_htons(sizeof(error->icmp) + size);
	error->ip.nexthdr = IPPROTO_ICMPV6;
	error->ip.hop_limit = TTL;
	__builtin_memcpy(&error->ip.saddr, &packet->destination, sizeof(error->ip.saddr));
	__builtin_memcpy(&error->ip.daddr, &packet->source, sizeof(error->ip.daddr));
	error->icmp = (struct icmp_header){ .type = ICMP6_TOO_BIG, .rest = bpf_htonl(mtu) };
	sum = quote_sum + sum_words(&error->icmp, sizeof(error->icmp)) +
	      sum_words(&error->ip.saddr, 2 * sizeof(error->ip.saddr)) +
	      bpf_htonl(sizeof(error->icmp) + size) + bpf_htonl(IPPROTO_ICMPV6);
	error->icmp.checksum = checksum_of_long(sum);
	return 1;
}

/* Turn the packet into an error from the VIP to the client, that says which size fits. */
static __always_inline enum verdict answer_too_big(struct xdp_md *xdp, const struct packet *packet,
						   __u32 mtu, const int v6)
{
	__u32 growth = ICMP_HEADER_SIZE + (v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	__u32 size = packet->length;
	int surplus;
	__s64 sum;

	if (packet->kind == KIND_ERROR || packet->kind == KIND_LATER_FRAGMENT ||
	    (v6 && mtu < IP6_MTU_MIN))
		return VERDICT_DROP_TOO_BIG;
	if (!is_sender(packet, v6))
		return VERDICT_DROP_SENDER;
	if (!may_answer(0))
		return VERDICT_DROP_ANSWERS;
	if (size > QUOTE_PIECES(v6) * QUOTE_PIECE)
		size = QUOTE_PIECES(v6) * QUOTE_PIECE;
	sum = sum_quote(xdp, packet, size, v6);
	if (sum < 0)
		return VERDICT_DROP_INTERNAL;
	surplus = bpf_xdp_get_buff_len(xdp) - packet->link_size - size;
	if (surplus && bpf_xdp_adjust_tail(xdp, -surplus))
		return VERDICT_DROP_INTERNAL;
	if (bpf_xdp_adjust_head(xdp, -(int)growth))
		return VERDICT_DROP_NO_ROOM;
	if (!turn_link(xdp, packet->link_size, growth) ||
	    !(v6 ? write_too_big6(xdp, packet, size, mtu, sum)
		 : write_too_big4(xdp, packet, size, mtu, sum)))
		return VERDICT_DROP_INTERNAL;
	return VERDICT_ANSWERED_TOO_BIG;
}

/* One copy for each family, called: answers are few. */
static __noinline enum verdict answer_echo4(struct xdp_md *xdp, const struct packet *packet)
{
	return answer_echo(xdp, packet, 0);
}

static __noinline enum verdict answer_echo6(struct xdp_md *xdp, const struct packet *packet)
{
	return answer_echo(xdp, packet, 1);
}

static __noinline enum verdict answer_too_big4(struct xdp_md *xdp, const struct packet *packet,
					       __u32 mtu)
{
	return answer_too_big(xdp, packet, mtu, 0);
}

static __noinline enum verdict answer_too_big6(struct xdp_md *xdp, const struct packet *packet,
					       __u32 mtu)
{
	return answer_too_big(xdp, packet, mtu, 1);
}
