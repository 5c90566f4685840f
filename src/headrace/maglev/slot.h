/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the slot words: owner, anchor and flags of a slot, and what a change of table makes of them.
 *
 * The data plane reads these words packet by packet (dataplane/bpf/layout.h); labels are its
 * numbers of endpoints, not the indexes of a table.
 */
#ifndef HEADRACE_SLOT_H
#define HEADRACE_SLOT_H

#include <stdint.h>

#define OWNER_MASK 0x3FFFu
#define ANCHOR_SHIFT 14
#define UNSTABLE (1u << 28)
#define HAS_ANCHOR (1u << 29)
#define SLOTS_PER_LINE 16

static uint32_t anchor_of(uint32_t word)
{
	return word >> ANCHOR_SHIFT & OWNER_MASK;
}

/* The word of a slot that gets an owner, who may be the one it has. */
static uint32_t with_owner(uint32_t word, uint32_t owner)
{
	uint32_t old = word & OWNER_MASK;

	if (owner == old)
		return word;
	if (!(word & UNSTABLE))
		word = UNSTABLE | HAS_ANCHOR | old << ANCHOR_SHIFT;
	return (word & ~OWNER_MASK) | owner;
}

/* The word without an anchor that is down; notes still count, so it stays unstable. */
static uint32_t without_dead_anchor(uint32_t word, const uint8_t *is_down)
{
	if (word & HAS_ANCHOR && is_down[anchor_of(word)])
		word &= ~(HAS_ANCHOR | OWNER_MASK << ANCHOR_SHIFT);
	return word;
}

/* Write the words of the next table; how many slots have another owner. */
static uint32_t change_owners(const uint32_t *words, const uint32_t *owners, uint32_t slot_count,
			      const uint8_t *is_down, uint32_t *next)
{
	uint32_t changed = 0;
	uint32_t i;

	for (i = 0; i < slot_count; i++) {
		changed += (words[i] & OWNER_MASK) != owners[i];
		next[i] = without_dead_anchor(with_owner(words[i], owners[i]), is_down);
	}
	return changed;
}

/* Leave a line's slots nothing but their owners; how many were unstable. */
static uint32_t settle_line(uint32_t *words, uint32_t slot_count, uint32_t line)
{
	uint32_t first = line * SLOTS_PER_LINE;
	uint32_t settled = 0;
	uint32_t i;

	for (i = first; i < slot_count && i < first + SLOTS_PER_LINE; i++) {
		settled += (words[i] & UNSTABLE) != 0;
		words[i] &= OWNER_MASK;
	}
	return settled;
}

#endif
