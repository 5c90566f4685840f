/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the base table: who has a slot while everybody is available. */
#ifndef HEADRACE_BASE_H
#define HEADRACE_BASE_H

#include <stdlib.h>
#include <string.h>

#include "quota.h"
#include "walk.h"

struct claimant {
	uint32_t position; /* where its walk is */
	uint32_t skip;
	uint32_t quota;
	uint32_t credit;
};

struct filling {
	uint32_t slot_count;
	struct claimant *claimants;
	uint64_t *is_free; /* a bit a slot */
	uint32_t *last_free; /* the free slots, once they are few */
	uint32_t free_count;
	uint32_t ranking_limit;
};

static struct walk endpoint_walk(const struct pool *pool, uint32_t index)
{
	const uint8_t *identity = record_of(pool, index);
	uint64_t high = mix(read_be64(identity) ^ key_of(pool->seed, KEY_IDENTITY_HIGH));
	uint64_t low = read_be64(identity + 8) ^ key_of(pool->seed, KEY_IDENTITY_LOW);

	return walk_from(mix(high ^ low), pool->slot_count);
}

/* Give every endpoint its walk and its quota; how many have one. 0 if one that must has none. */
static uint32_t seat(const struct pool *pool, enum members members, struct claimant *claimants)
{
	struct apportionment parts = apportion(pool, members);
	uint32_t seated = 0;
	uint32_t i;

	for (i = 0; i < pool->count; i++) {
		uint32_t weight = weight_of(pool, members, i);
		struct walk walk;

		claimants[i] = (struct claimant){ 0 };
		if (!weight)
			continue;
		claimants[i].quota = next_quota(&parts, pool->slot_count, weight);
		if (!claimants[i].quota && members == MEMBERS_WEIGHTED)
			return 0;
		walk = endpoint_walk(pool, i);
		claimants[i].position = walk.position;
		claimants[i].skip = walk.skip;
		seated += claimants[i].quota > 0;
	}
	return seated;
}

static void list_free(struct filling *filling)
{
	uint32_t slot, count = 0;

	for (slot = 0; slot < filling->slot_count; slot++)
		if (filling->is_free[slot / 64] >> (slot % 64) & 1)
			filling->last_free[count++] = slot;
}

static uint32_t take_ranked(struct filling *filling, const struct claimant *claimant)
{
	struct walk walk = { claimant->position, claimant->skip };
	uint32_t index = first_met(walk, filling->slot_count, filling->last_free,
				   filling->free_count);
	uint32_t slot = filling->last_free[index];

	filling->last_free[index] = filling->last_free[filling->free_count - 1];
	return slot;
}

static uint32_t take_probed(struct filling *filling, const struct claimant *claimant)
{
	uint32_t slot = claimant->position;

	while (!(filling->is_free[slot / 64] >> (slot % 64) & 1))
		slot = step(slot, claimant->skip, filling->slot_count);
	filling->is_free[slot / 64] &= ~((uint64_t)1 << (slot % 64));
	return slot;
}

/* The first free slot of the claimant's walk. */
static uint32_t take(struct filling *filling, struct claimant *claimant)
{
	uint32_t slot;

	if (filling->free_count > filling->ranking_limit) {
		slot = take_probed(filling, claimant);
		if (filling->free_count - 1 == filling->ranking_limit)
			list_free(filling);
	} else {
		slot = take_ranked(filling, claimant);
	}
	filling->free_count--;
	claimant->position = step(slot, claimant->skip, filling->slot_count);
	return slot;
}

/* Round after round until no slot is free; in the last round everybody has exactly the quota. */
static void fill(struct filling *filling, uint32_t count, uint32_t rounds, uint16_t *base)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		filling->claimants[i].credit = rounds - 1;
	while (filling->free_count) {
		for (i = 0; i < count; i++) {
			struct claimant *claimant = &filling->claimants[i];

			claimant->credit += claimant->quota;
			for (; claimant->credit >= rounds; claimant->credit -= rounds)
				base[take(filling, claimant)] = (uint16_t)i;
		}
	}
}

static enum result build_base(const struct pool *pool, enum members members, uint16_t *base)
{
	struct filling filling = { .slot_count = pool->slot_count,
				   .free_count = pool->slot_count,
				   .ranking_limit = ranking_limit(pool->slot_count) };
	size_t bitmap_size = (pool->slot_count / 64 + 1) * sizeof(uint64_t);
	enum result result = RESULT_NO_MEMORY;
	uint32_t seated;

	filling.claimants = malloc(pool->count * sizeof(*filling.claimants));
	filling.last_free = malloc(filling.ranking_limit * sizeof(uint32_t));
	filling.is_free = malloc(bitmap_size);
	if (!filling.claimants || !filling.last_free || !filling.is_free)
		goto out;
	memset(filling.is_free, 0xFF, bitmap_size);
	seated = seat(pool, members, filling.claimants);
	result = seated ? RESULT_OK : RESULT_WITHOUT_SLOT;
	if (seated)
		fill(&filling, pool->count, (pool->slot_count + seated - 1) / seated, base);
out:
	free(filling.is_free);
	free(filling.last_free);
	free(filling.claimants);
	return result;
}

#endif
