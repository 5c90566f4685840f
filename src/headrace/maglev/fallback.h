/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the fallbacks: who answers a slot whose base owner does not. */
#ifndef HEADRACE_FALLBACK_H
#define HEADRACE_FALLBACK_H

#include <stdlib.h>
#include <string.h>

#include "pool.h"
#include "walk.h"

#define STATICS_PER_SLOT 3

/* The slots of each endpoint, in slot order: those of `i` are slots[first[i]] .. [first[i + 1]]. */
struct holdings {
	uint32_t *first;
	uint32_t *slots;
};

struct fallbacks {
	uint32_t slot_count;
	const uint16_t *base;
	uint32_t count; /* endpoints */
	uint64_t slot_key;
	struct holdings holdings;
	uint32_t *given; /* by endpoint: slots given to it as first fallback of the one in hand */
};

static void close_fallbacks(struct fallbacks *fallbacks)
{
	free(fallbacks->given);
	free(fallbacks->holdings.slots);
	free(fallbacks->holdings.first);
}

static void sort_by_owner(struct fallbacks *fallbacks)
{
	uint32_t *first = fallbacks->holdings.first;
	uint32_t slot_count = fallbacks->slot_count;
	uint32_t i, slot;

	for (slot = 0; slot < slot_count; slot++)
		first[fallbacks->base[slot] + 2]++;
	for (i = 2; i < fallbacks->count + 2; i++)
		first[i] += first[i - 1];
	for (slot = 0; slot < slot_count; slot++)
		fallbacks->holdings.slots[first[fallbacks->base[slot] + 1]++] = slot;
}

static enum result open_fallbacks(struct fallbacks *fallbacks, const struct pool *pool,
				  const uint16_t *base)
{
	*fallbacks = (struct fallbacks){ .slot_count = pool->slot_count,
					 .base = base,
					 .count = pool->count,
					 .slot_key = key_of(pool->seed, KEY_SLOT) };
	fallbacks->holdings.first = calloc(pool->count + 2, sizeof(uint32_t));
	fallbacks->holdings.slots = malloc(pool->slot_count * sizeof(uint32_t));
	fallbacks->given = calloc(pool->count, sizeof(uint32_t));
	if (!fallbacks->holdings.first || !fallbacks->holdings.slots || !fallbacks->given) {
		close_fallbacks(fallbacks);
		return RESULT_NO_MEMORY;
	}
	sort_by_owner(fallbacks);
	return RESULT_OK;
}

static uint32_t quota_of(const struct fallbacks *fallbacks, uint32_t endpoint)
{
	return fallbacks->holdings.first[endpoint + 1] - fallbacks->holdings.first[endpoint];
}

static struct walk slot_walk(const struct fallbacks *fallbacks, uint32_t slot)
{
	return walk_from(mix(slot ^ fallbacks->slot_key), fallbacks->slot_count);
}

/* At most this many of the owner's slots have the other one as first fallback: its share of them
 * among all others, rounded up. Together the limits suffice for all the owner's slots. */
static uint32_t given_limit(const struct fallbacks *fallbacks, uint32_t owner, uint32_t other)
{
	uint64_t own = quota_of(fallbacks, owner);
	uint64_t rest = fallbacks->slot_count - own;

	return (uint32_t)((own * quota_of(fallbacks, other) + rest - 1) / rest);
}

static uint16_t give(struct fallbacks *fallbacks, uint32_t owner, struct walk walk)
{
	for (;; walk.position = step(walk.position, walk.skip, fallbacks->slot_count)) {
		uint16_t other = fallbacks->base[walk.position];

		if (other == owner ||
		    fallbacks->given[other] >= given_limit(fallbacks, owner, other))
			continue;
		fallbacks->given[other]++;
		return other;
	}
}

/* Write the first fallback of every slot of `owner`; the slots must know one another, so that
 * the others share them as evenly as they share the table. */
static void give_all(struct fallbacks *fallbacks, uint32_t owner, uint16_t *first_fallbacks)
{
	const uint32_t *slots = fallbacks->holdings.slots + fallbacks->holdings.first[owner];
	uint32_t quota = quota_of(fallbacks, owner);
	int is_alone = quota == fallbacks->slot_count;
	uint32_t i;

	for (i = 0; i < quota; i++)
		first_fallbacks[slots[i]] = is_alone ? NO_ENDPOINT
						     : give(fallbacks, owner,
							    slot_walk(fallbacks, slots[i]));
	for (i = 0; i < quota && !is_alone; i++)
		fallbacks->given[first_fallbacks[slots[i]]] = 0;
}

/* The endpoints that may answer, and the base slots they own. */
struct available {
	const uint8_t *endpoints; /* by index: 1 if it may */
	uint32_t slot_count;
	uint32_t *few_slots; /* those slots, when there are at most `few` */
	uint32_t few;
};

static enum result open_available(struct available *available, const uint8_t *endpoints,
				  const uint16_t *base, uint32_t slot_count)
{
	uint32_t slot;

	*available = (struct available){ .endpoints = endpoints, .few = ranking_limit(slot_count) };
	available->few_slots = malloc(available->few * sizeof(uint32_t));
	if (!available->few_slots)
		return RESULT_NO_MEMORY;
	for (slot = 0; slot < slot_count; slot++) {
		if (!endpoints[base[slot]])
			continue;
		if (available->slot_count < available->few)
			available->few_slots[available->slot_count] = slot;
		available->slot_count++;
	}
	return RESULT_OK;
}

/* The first available owner that a slot's walk meets; there must be one. */
static uint16_t first_available(const struct fallbacks *fallbacks,
				const struct available *available, struct walk walk)
{
	if (available->slot_count <= available->few)
		return fallbacks->base[available->few_slots[first_met(
			walk, fallbacks->slot_count, available->few_slots, available->slot_count)]];
	while (!available->endpoints[fallbacks->base[walk.position]])
		walk.position = step(walk.position, walk.skip, fallbacks->slot_count);
	return fallbacks->base[walk.position];
}

/* Write who answers the slots of `owner`, which does not. */
static void replace(struct fallbacks *fallbacks, const struct available *available, uint32_t owner,
		    uint16_t *owners)
{
	const uint32_t *slots = fallbacks->holdings.slots + fallbacks->holdings.first[owner];
	uint32_t quota = quota_of(fallbacks, owner);
	uint32_t i;

	give_all(fallbacks, owner, owners);
	for (i = 0; i < quota; i++)
		if (!available->endpoints[owners[slots[i]]])
			owners[slots[i]] = first_available(fallbacks, available,
							   slot_walk(fallbacks, slots[i]));
}

/* Write who answers each slot when only `endpoints` may; if none may, the base owner does. */
static enum result answer(const struct pool *pool, const uint16_t *base, const uint8_t *endpoints,
			  uint16_t *owners)
{
	struct fallbacks fallbacks;
	struct available available;
	enum result result;
	uint32_t i;

	memcpy(owners, base, pool->slot_count * sizeof(*owners));
	result = open_available(&available, endpoints, base, pool->slot_count);
	if (result != RESULT_OK)
		return result;
	if (!available.slot_count || available.slot_count == pool->slot_count)
		goto out;
	result = open_fallbacks(&fallbacks, pool, base);
	if (result != RESULT_OK)
		goto out;
	for (i = 0; i < pool->count; i++)
		if (!endpoints[i])
			replace(&fallbacks, &available, i, owners);
	close_fallbacks(&fallbacks);
out:
	free(available.few_slots);
	return result;
}

static uint16_t second_fallback(const struct fallbacks *fallbacks, uint16_t owner, uint16_t first,
				struct walk walk)
{
	uint32_t quotas = quota_of(fallbacks, owner);

	if (first != NO_ENDPOINT)
		quotas += quota_of(fallbacks, first);
	if (quotas == fallbacks->slot_count)
		return NO_ENDPOINT;
	while (fallbacks->base[walk.position] == owner || fallbacks->base[walk.position] == first)
		walk.position = step(walk.position, walk.skip, fallbacks->slot_count);
	return fallbacks->base[walk.position];
}

#endif
