/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the quotas: how many slots each endpoint has, by the largest remainder method. */
#ifndef HEADRACE_QUOTA_H
#define HEADRACE_QUOTA_H

#include "pool.h"

#define WEIGHT_MAX 256

/* Equal weights have equal remainders, so weights are looked at, not endpoints. */
struct apportionment {
	uint64_t sum;
	uint32_t endpoints[WEIGHT_MAX + 1]; /* by weight */
	uint64_t cutoff; /* remainders above it are rounded up, ... */
	uint32_t at_cutoff; /* ... and so are the first few that equal it */
};

static uint64_t whole_of(const struct apportionment *parts, uint32_t slot_count, uint32_t weight)
{
	return (uint64_t)slot_count * weight / parts->sum;
}

static uint64_t rest_of(const struct apportionment *parts, uint32_t slot_count, uint32_t weight)
{
	return (uint64_t)slot_count * weight % parts->sum;
}

/* How many endpoints have the largest remainder below `*cutoff`, which becomes that remainder. */
static uint32_t lower_cutoff(const struct apportionment *parts, uint32_t slot_count,
			     uint64_t *cutoff)
{
	uint64_t best = 0;
	uint32_t count = 0;
	uint32_t weight;

	for (weight = 1; weight <= WEIGHT_MAX; weight++) {
		uint64_t rest = rest_of(parts, slot_count, weight);

		if (!parts->endpoints[weight] || rest >= *cutoff || rest < best)
			continue;
		count = rest == best ? count + parts->endpoints[weight] : parts->endpoints[weight];
		best = rest;
	}
	*cutoff = best;
	return count;
}

static struct apportionment apportion(const struct pool *pool, enum members members)
{
	struct apportionment parts = { 0 };
	uint32_t left = pool->slot_count;
	uint32_t i, weight, count;

	for (i = 0; i < pool->count; i++) {
		weight = weight_of(pool, members, i);
		parts.endpoints[weight]++;
		parts.sum += weight;
	}
	for (weight = 1; weight <= WEIGHT_MAX; weight++)
		if (parts.endpoints[weight])
			left -= (uint32_t)whole_of(&parts, pool->slot_count, weight) *
				parts.endpoints[weight];
	parts.cutoff = parts.sum;
	for (;;) {
		count = lower_cutoff(&parts, pool->slot_count, &parts.cutoff);
		if (count >= left)
			break;
		left -= count;
	}
	parts.at_cutoff = left;
	return parts;
}

static uint32_t next_quota(struct apportionment *parts, uint32_t slot_count, uint32_t weight)
{
	uint32_t whole = (uint32_t)whole_of(parts, slot_count, weight);
	uint64_t rest = rest_of(parts, slot_count, weight);

	if (rest > parts->cutoff)
		return whole + 1;
	if (rest < parts->cutoff || !parts->at_cutoff)
		return whole;
	parts->at_cutoff--;
	return whole + 1;
}

#endif
