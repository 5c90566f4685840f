/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lookup table: docs/hash-v1.md sections 3 to 8 in C. Pure: reads its arguments, writes its
 * result, keeps nothing. `oracle.py` says the same in Python, and the tests compare the two.
 *
 * Two things are faster here than written there, with the same result: when few slots are free, or
 * few are owned by available endpoints, it is computed which of them a walk meets first (`first_met`)
 * instead of walking there.
 */
#include "base.h"
#include "fallback.h"
#include "pool.h"
#include "slot.h"
#include "walk.h"

#define ABI 2 /* raise it with every change of a signature or of a result */

uint32_t maglev_abi(void);
int maglev_records(const uint8_t *identities, const uint16_t *weights, const uint8_t *flags,
		   uint32_t count, uint32_t *order, uint8_t *records);
int maglev_base(uint64_t seed, const uint8_t *records, uint32_t count, uint32_t slot_count,
		uint16_t *base);
int maglev_owners(uint64_t seed, const uint8_t *records, uint32_t count, uint32_t slot_count,
		  const uint16_t *base, uint16_t *owners);
int maglev_statics(uint64_t seed, const uint8_t *records, uint32_t count, uint32_t slot_count,
		   const uint16_t *base, uint16_t *statics);
int maglev_label(const uint16_t *owners, uint32_t slot_count, const uint32_t *labels,
		 uint32_t count, uint32_t *answer);
int maglev_transition(const uint32_t *words, const uint32_t *owners, uint32_t slot_count,
		      const uint8_t *is_down, uint32_t *next, uint32_t *changed);
int maglev_settle(uint32_t *words, uint32_t slot_count, const uint32_t *lines, uint32_t line_count,
		  uint32_t *settled);

uint32_t maglev_abi(void)
{
	return ABI;
}

/* Write the records sorted by identity, and the order that sorts them. */
int maglev_records(const uint8_t *identities, const uint16_t *weights, const uint8_t *flags,
		   uint32_t count, uint32_t *order, uint8_t *records)
{
	struct entry *entries = malloc(count * sizeof(*entries));
	enum result result = RESULT_OK;
	const uint8_t *identity = identities;
	uint32_t i;

	if (!entries)
		return RESULT_NO_MEMORY;
	for (i = 0; i < count; i++, identity += IDENTITY_SIZE)
		entries[i] = (struct entry){ read_be64(identity), read_be64(identity + 8), i };
	sort_entries(entries, count);
	if (is_repeated(entries, count))
		result = RESULT_REPEATED;
	for (i = 0; i < count; i++, records += RECORD_SIZE) {
		order[i] = entries[i].index;
		write_record(records, identities + (size_t)order[i] * IDENTITY_SIZE,
			     weights[order[i]], flags[order[i]]);
	}
	free(entries);
	return result;
}

/* Write the base owner of every slot. */
int maglev_base(uint64_t seed, const uint8_t *records, uint32_t count, uint32_t slot_count,
		uint16_t *base)
{
	struct pool pool = { seed, records, count, slot_count };

	return build_base(&pool, members_of(&pool), base);
}

/* Mark those endpoints that `may_answer`; whether any of them is in the base table. */
static int mark(const struct pool *pool, int (*may_answer)(const struct pool *, uint32_t),
		enum members members, uint8_t *endpoints)
{
	int is_any = 0;
	uint32_t i;

	for (i = 0; i < pool->count; i++) {
		endpoints[i] = (uint8_t)may_answer(pool, i);
		is_any |= endpoints[i] && weight_of(pool, members, i);
	}
	return is_any;
}

/* Everybody with a weight is down: the endpoints of weight 0 answer, by a base table of theirs. */
static enum result answer_by_reserve(const struct pool *pool, const uint8_t *endpoints,
				     uint16_t *owners)
{
	uint16_t *reserve = malloc(pool->slot_count * sizeof(*reserve));
	enum result result = RESULT_NO_MEMORY;

	if (reserve)
		result = build_base(pool, MEMBERS_RESERVE, reserve);
	if (result == RESULT_OK)
		result = answer(pool, reserve, endpoints, owners);
	free(reserve);
	return result;
}

/* Write who answers every slot: the available endpoints, else those up, else the base owners. */
int maglev_owners(uint64_t seed, const uint8_t *records, uint32_t count, uint32_t slot_count,
		  const uint16_t *base, uint16_t *owners)
{
	struct pool pool = { seed, records, count, slot_count };
	enum members members = members_of(&pool);
	uint8_t *endpoints = malloc(count);
	enum result result;

	if (!endpoints)
		return RESULT_NO_MEMORY;
	if (mark(&pool, is_available, members, endpoints) ||
	    mark(&pool, is_up, members, endpoints) ||
	    !mark(&pool, is_up, MEMBERS_RESERVE, endpoints))
		result = answer(&pool, base, endpoints, owners);
	else
		result = answer_by_reserve(&pool, endpoints, owners);
	free(endpoints);
	return result;
}

/* Write base owner, first and second fallback of every slot, health ignored. */
int maglev_statics(uint64_t seed, const uint8_t *records, uint32_t count, uint32_t slot_count,
		   const uint16_t *base, uint16_t *statics)
{
	struct pool pool = { seed, records, count, slot_count };
	uint16_t *first = malloc(slot_count * sizeof(*first));
	struct fallbacks fallbacks;
	enum result result = RESULT_NO_MEMORY;
	uint32_t i;

	if (first)
		result = open_fallbacks(&fallbacks, &pool, base);
	if (result != RESULT_OK)
		goto out;
	for (i = 0; i < count; i++)
		give_all(&fallbacks, i, first);
	for (i = 0; i < slot_count; i++, statics += STATICS_PER_SLOT) {
		statics[0] = base[i];
		statics[1] = first[i];
		statics[2] = second_fallback(&fallbacks, base[i], first[i],
					     slot_walk(&fallbacks, i));
	}
	close_fallbacks(&fallbacks);
out:
	free(first);
	return result;
}

/* Write the label of every slot's owner, for the data plane. */
int maglev_label(const uint16_t *owners, uint32_t slot_count, const uint32_t *labels,
		 uint32_t count, uint32_t *answer)
{
	uint32_t last = 0;
	uint32_t i;

	for (i = 0; i < count; i++)
		if (labels[i] > OWNER_MASK)
			return RESULT_NO_LABEL;
	for (i = 0; i < slot_count; i++)
		last = owners[i] > last ? owners[i] : last;
	if (last >= count)
		return RESULT_NO_LABEL;
	for (i = 0; i < slot_count; i++)
		answer[i] = labels[owners[i]];
	return RESULT_OK;
}

/* Write the words that follow when the slots get these owners, and how many have another one. */
int maglev_transition(const uint32_t *words, const uint32_t *owners, uint32_t slot_count,
		      const uint8_t *is_down, uint32_t *next, uint32_t *changed)
{
	uint32_t seen = 0;
	uint32_t i;

	for (i = 0; i < slot_count; i++)
		seen |= owners[i];
	if (seen > OWNER_MASK)
		return RESULT_NO_LABEL;
	*changed = change_owners(words, owners, slot_count, is_down, next);
	return RESULT_OK;
}

/* Settle whole lines in place, and write how many of their slots were unstable. */
int maglev_settle(uint32_t *words, uint32_t slot_count, const uint32_t *lines, uint32_t line_count,
		  uint32_t *settled)
{
	uint32_t i;

	*settled = 0;
	for (i = 0; i < line_count; i++)
		*settled += settle_line(words, slot_count, lines[i]);
	return RESULT_OK;
}
