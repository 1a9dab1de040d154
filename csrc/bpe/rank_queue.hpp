// The places of a text where rules may be applied, by the rank of the rule.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "bpe/huge_array.hpp"

namespace bpe {

// A list of places for each rank. The lowest rank that has one is found through bits: one for each rank, one
// for each word of these, and so on up to a single word. Unlike a heap of all places, it touches a few words
// for each operation, however many places there are.
class RankQueue {
  public:
    // Ranks from now on are below `num_ranks`. The queue must be empty.
    void prepare(std::size_t num_ranks) {
        if (num_ranks <= first_.size()) return;
        first_ = HugeArray<std::uint32_t>(num_ranks);
        levels_.clear();
        for (std::size_t size = num_ranks; levels_.empty() || size > 1;) {
            size = (size + 63) / 64;
            levels_.emplace_back(size);
        }
    }

    void push(std::uint32_t rank, std::uint32_t place) {
        nodes_.push_back({place, first_[rank]});
        if (first_[rank] == 0) mark(rank);
        first_[rank] = static_cast<std::uint32_t>(nodes_.size());
    }

    // Takes out all places of the lowest rank, in ascending order. False if there are none.
    bool pop(std::uint32_t& rank, std::vector<std::uint32_t>& places) {
        places.clear();
        if (nodes_.empty()) return false;
        std::size_t lowest = 0;
        for (std::size_t level = levels_.size(); level-- > 0;) {
            const std::uint64_t word = levels_[level][lowest];
            if (word == 0) {  // only at the top
                nodes_.clear();
                return false;
            }
            lowest = lowest * 64 + static_cast<std::size_t>(std::countr_zero(word));
        }
        rank = static_cast<std::uint32_t>(lowest);
        for (std::uint32_t node = first_[rank]; node != 0; node = nodes_[node - 1].next) {
            places.push_back(nodes_[node - 1].place);
        }
        first_[rank] = 0;
        unmark(rank);
        if (!std::ranges::is_sorted(places)) std::ranges::sort(places);
        return true;
    }

  private:
    struct Node {
        std::uint32_t place;
        std::uint32_t next;  // number of the next node of the same rank, counted from 1; 0: none
    };

    void mark(std::size_t at) {
        for (auto& level : levels_) {
            std::uint64_t& word = level[at / 64];
            const bool marked = word != 0;
            word |= std::uint64_t{1} << (at % 64);
            if (marked) return;
            at /= 64;
        }
    }

    void unmark(std::size_t at) {
        for (auto& level : levels_) {
            std::uint64_t& word = level[at / 64];
            word &= ~(std::uint64_t{1} << (at % 64));
            if (word != 0) return;
            at /= 64;
        }
    }

    HugeArray<std::uint32_t> first_;  // by rank: its first node, counted from 1; 0: none
    std::vector<std::vector<std::uint64_t>> levels_;
    std::vector<Node> nodes_;
};

}  // namespace bpe
