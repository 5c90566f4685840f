/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the arithmetic: mixing, walks over all slots, and reckoning modulo the slot count. */
#ifndef HEADRACE_WALK_H
#define HEADRACE_WALK_H

#include <stdint.h>

enum key_index { KEY_IDENTITY_HIGH = 6, KEY_IDENTITY_LOW = 7, KEY_SLOT = 8 };

/* An order of all slots: the slot count is prime, so equal steps meet each slot once. */
struct walk {
	uint32_t position;
	uint32_t skip;
};

static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

static uint64_t key_of(uint64_t seed, enum key_index index)
{
	return mix(seed + (index + 1u) * 0x9E3779B97F4A7C15u);
}

static struct walk walk_from(uint64_t bits, uint32_t slot_count)
{
	struct walk walk;

	walk.position = (uint32_t)(((bits >> 32) * slot_count) >> 32);
	walk.skip = 1 + (uint32_t)(((bits & 0xFFFFFFFFu) * (slot_count - 1)) >> 32);
	return walk;
}

static uint32_t step(uint32_t position, uint32_t skip, uint32_t slot_count)
{
	position += skip;
	return position >= slot_count ? position - slot_count : position;
}

/* 1/a modulo a prime (the extended Euclidean algorithm). */
static uint32_t inverse(uint32_t a, uint32_t prime)
{
	int64_t before = 0, factor = 1;
	uint32_t larger = prime, smaller = a;

	while (smaller) {
		uint32_t quotient = larger / smaller;
		uint32_t rest = larger - quotient * smaller;
		int64_t next = before - (int64_t)quotient * factor;

		larger = smaller;
		smaller = rest;
		before = factor;
		factor = next;
	}
	return (uint32_t)(before < 0 ? before + prime : before);
}

/* Up to this many slots, computing when a walk meets them is cheaper than walking. */
static uint32_t ranking_limit(uint32_t slot_count)
{
	uint32_t root = 1;

	while (root * root < slot_count)
		root++;
	return root;
}

/*
 * The index of that slot among `slots` which the walk meets first.
 *
 * A slot is met after r = (slot - position) / skip steps, modulo the slot count. The loop compares
 * r / slot_count as binary fractions of 64 bits: they are 2^44 apart, since there are fewer than
 * 2^20 slots, and each is wrong by less than 2^40, as `unit` is by less than 1.
 */
static uint32_t first_met(struct walk walk, uint32_t slot_count, const uint32_t *slots,
			  uint32_t count)
{
	uint64_t unit = UINT64_MAX / slot_count;
	uint64_t factor = inverse(walk.skip, slot_count) * unit;
	uint64_t first = UINT64_MAX;
	uint32_t i, best = 0;

	for (i = 0; i < count; i++) {
		uint64_t steps = ((uint64_t)slots[i] - walk.position) * factor;

		best = steps < first ? i : best;
		first = steps < first ? steps : first;
	}
	return best;
}

#endif
