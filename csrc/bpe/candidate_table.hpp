// The pairs of neighbouring symbols that may still win, with how often and where they occur.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "bpe/huge_array.hpp"
#include "bpe/train_text.hpp"

namespace bpe {

// A pair comes into being once, when the younger of its symbols does, with all its occurrences; from then on
// it only loses some. So its list of positions never grows (some of them no longer hold the pair), and
// nothing is ever inserted twice.
struct TrainPair {
    Symbol left;
    Symbol right;
    std::uint64_t count;          // 0: the pair is out of the race
    Position* positions;          // ascending
    std::uint32_t num_positions;  // 0: the slot has never been used
};

class CandidateTable {
  public:
    CandidateTable() : slots_(first_slots) {}

    void prefetch(Symbol left, Symbol right) const { __builtin_prefetch(&slots_[place_of(left, right)], 1); }

    // Null if the pair is not there.
    TrainPair* find(Symbol left, Symbol right) {
        for (std::size_t place = place_of(left, right);; place = (place + 1) & (slots_.size() - 1)) {
            TrainPair& slot = slots_[place];
            if (slot.left == left && slot.right == right) return slot.num_positions == 0 ? nullptr : &slot;
            if (slot.num_positions == 0) return nullptr;
        }
    }

    void insert(const TrainPair& pair) {
        if (2 * ++used_ > slots_.size()) grow();
        place(pair);
    }

  private:
    static constexpr std::size_t first_slots = std::size_t{1} << 12;

    std::size_t place_of(Symbol left, Symbol right) const {
        const std::uint64_t key = std::uint64_t{left} << 32 | right;
        return static_cast<std::size_t>((key ^ key >> 15) * 0x9e3779b97f4a7c15ULL >> shift_);
    }

    void place(const TrainPair& pair) {
        std::size_t place = place_of(pair.left, pair.right);
        while (slots_[place].num_positions != 0) place = (place + 1) & (slots_.size() - 1);
        slots_[place] = pair;
    }

    void grow() {
        HugeArray<TrainPair> old(2 * slots_.size());
        std::swap(old, slots_);
        --shift_;
        used_ = 1;  // the one that is about to be inserted
        for (const TrainPair& pair : old) {
            if (pair.count == 0) continue;  // free, or out of the race
            place(pair);
            ++used_;
        }
    }

    HugeArray<TrainPair> slots_;
    unsigned shift_ = 64U - static_cast<unsigned>(std::countr_zero(first_slots));
    std::size_t used_ = 0;
};

}  // namespace bpe
