// Linear probing, shared by all hash tables of the engine. The number of slots is a power of two, and at most
// half of them are used.
#pragma once

#include <bit>
#include <cstddef>

namespace bpe {

// With hash >> shift_for(num_slots), the upper bits of a hash choose the slot where the search for a key
// begins. `num_slots` is a power of two, at least 2.
constexpr unsigned shift_for(std::size_t num_slots) {
    return 64U - static_cast<unsigned>(std::countr_zero(num_slots));
}

// The first slot, from number `start` on and around the end, for which stop(slot) is true. `stop` must accept
// unused slots, so that the search ends.
template <class Slots, class Stop>
[[gnu::always_inline]] inline auto& probe(Slots& slots, std::size_t start, const Stop& stop) {
    while (!stop(slots[start])) start = (start + 1) & (slots.size() - 1);
    return slots[start];
}

}  // namespace bpe
