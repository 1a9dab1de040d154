// The pairs of neighbouring symbols that may still be merged, with their counts and positions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bpe/hash_table.hpp"
#include "bpe/huge_array.hpp"
#include "bpe/train_text.hpp"

namespace bpe {

// All occurrences of a pair come into being at once, with the newer of its two symbols; later merges only
// destroy some. So a list of positions never grows, although some of its positions may no longer hold the
// pair, and no pair is inserted twice.
struct TrainPair {
    Symbol left;
    Symbol right;
    std::uint64_t count;          // 0: the pair can no longer be merged
    Position* positions;          // ascending
    std::uint32_t num_positions;  // 0: the slot is unused

    bool unused() const { return num_positions == 0; }
};

class CandidateTable {
  public:
    CandidateTable() : slots_(first_slots) {}

    // The upper bits are the best ones.
    static std::uint64_t hash(Symbol left, Symbol right) {
        const std::uint64_t key = std::uint64_t{left} << 32 | right;
        return (key ^ key >> 15) * 0x9e3779b97f4a7c15ULL;
    }

    void prefetch(Symbol left, Symbol right) const { __builtin_prefetch(&slots_[place_of(left, right)], 1); }

    // Null if the pair is not there.
    TrainPair* find(Symbol left, Symbol right) {
        TrainPair& found = probe(slots_, place_of(left, right), [=](const TrainPair& pair) {
            return (pair.left == left && pair.right == right) || pair.unused();
        });
        return found.unused() ? nullptr : &found;
    }

    // All slots; those that are not used have a count of 0.
    TrainPair* begin() { return slots_.begin(); }
    TrainPair* end() { return slots_.end(); }

    void insert(const TrainPair& pair) {
        if (2 * ++used_ > slots_.size()) grow();
        place(pair);
    }

  private:
    static constexpr std::size_t first_slots = std::size_t{1} << 12;

    std::size_t place_of(Symbol left, Symbol right) const {
        return static_cast<std::size_t>(hash(left, right) >> shift_);
    }

    void place(const TrainPair& pair) {
        probe(slots_, place_of(pair.left, pair.right), [](const TrainPair& slot) { return slot.unused(); }) =
            pair;
    }

    void grow() {
        HugeArray<TrainPair> old(2 * slots_.size());
        std::swap(old, slots_);
        --shift_;
        used_ = 1;  // the pair that is about to be inserted
        for (const TrainPair& pair : old) {
            if (pair.count == 0) continue;  // unused, or can no longer be merged
            place(pair);
            ++used_;
        }
    }

    HugeArray<TrainPair> slots_;
    unsigned shift_ = shift_for(first_slots);
    std::size_t used_ = 0;
};

}  // namespace bpe
