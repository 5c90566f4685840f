/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is asked: the pool's records, and what they say of an endpoint. */
#ifndef HEADRACE_POOL_H
#define HEADRACE_POOL_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define IDENTITY_SIZE 16
#define RECORD_SIZE 20 /* identity, weight 2 (big-endian), flags 1, zero 1 */
#define FLAG_DRAINED 1
#define FLAG_DOWN 2

#define NO_ENDPOINT 0xFFFF

enum result {
	RESULT_OK = 0,
	RESULT_NO_MEMORY = 1,
	RESULT_WITHOUT_SLOT = 2,
	RESULT_REPEATED = 3,
	RESULT_NO_LABEL = 4,
};

/* Which endpoints a base table is for: those with a weight, or the others, all alike. */
enum members { MEMBERS_WEIGHTED, MEMBERS_RESERVE };

struct pool {
	uint64_t seed;
	const uint8_t *records; /* sorted by identity */
	uint32_t count;
	uint32_t slot_count; /* a prime below 2^20 */
};

static uint64_t read_be64(const uint8_t *bytes)
{
	uint64_t value = 0;
	int i;

	for (i = 0; i < 8; i++)
		value = value << 8 | bytes[i];
	return value;
}

static const uint8_t *record_of(const struct pool *pool, uint32_t index)
{
	return pool->records + (size_t)index * RECORD_SIZE;
}

static uint32_t configured_weight(const struct pool *pool, uint32_t index)
{
	const uint8_t *record = record_of(pool, index);

	return (uint32_t)record[16] << 8 | record[17];
}

static uint32_t weight_of(const struct pool *pool, enum members members, uint32_t index)
{
	uint32_t weight = configured_weight(pool, index);

	return members == MEMBERS_WEIGHTED ? weight : weight == 0;
}

static int is_up(const struct pool *pool, uint32_t index)
{
	return !(record_of(pool, index)[18] & FLAG_DOWN);
}

static int is_available(const struct pool *pool, uint32_t index)
{
	return !(record_of(pool, index)[18] & (FLAG_DOWN | FLAG_DRAINED)) &&
	       configured_weight(pool, index);
}

static enum members members_of(const struct pool *pool)
{
	uint32_t i;

	for (i = 0; i < pool->count; i++)
		if (configured_weight(pool, i))
			return MEMBERS_WEIGHTED;
	return MEMBERS_RESERVE;
}

static void write_record(uint8_t *record, const uint8_t *identity, uint16_t weight, uint8_t flags)
{
	memcpy(record, identity, IDENTITY_SIZE);
	record[16] = (uint8_t)(weight >> 8);
	record[17] = (uint8_t)weight;
	record[18] = flags;
	record[19] = 0;
}

/* An identity as numbers, and where it was before sorting. */
struct entry {
	uint64_t high;
	uint64_t low;
	uint32_t index;
};

static int compare_entries(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;

	if (a->high != b->high)
		return a->high < b->high ? -1 : 1;
	return (a->low > b->low) - (a->low < b->low);
}

/* Sort by identity, unless the operator already did. */
static void sort_entries(struct entry *entries, uint32_t count)
{
	uint32_t i;

	for (i = 1; i < count; i++) {
		if (compare_entries(&entries[i - 1], &entries[i]) > 0) {
			qsort(entries, count, sizeof(*entries), compare_entries);
			return;
		}
	}
}

static int is_repeated(const struct entry *entries, uint32_t count)
{
	uint32_t i;

	for (i = 1; i < count; i++)
		if (!compare_entries(&entries[i - 1], &entries[i]))
			return 1;
	return 0;
}

#endif
