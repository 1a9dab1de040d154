// The distinct words laid out for merging.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bpe/huge_array.hpp"
#include "bpe/parallel.hpp"
#include "bpe/word_table.hpp"

namespace bpe {

// What stands in a place of the text while it is being merged: a byte, a mark, or a merged token.
using Symbol = std::uint32_t;
constexpr Symbol end_mark = 256;     // before and after each word
constexpr Symbol inside_mark = 257;  // a place inside a token, neither its first nor its last
constexpr Symbol first_merged = 258;

using Position = std::uint32_t;

// All words of two bytes and more in one array, one place per byte, an end mark before the first and after
// each. A token of several bytes is written in its first and in its last place, so that neighbours on both
// sides are found without links. Words that occur more often come first: the weight of a place (how often its
// word occurs) then follows from a short sorted list instead of being stored with every place.
//
// Place is std::uint16_t where all symbols fit, which halves the memory that merging jumps around in.
template <class Place>
class TrainText {
  public:
    // Throws std::length_error when there are 2^32 places or more, or when sums of weights could exceed 64
    // bits. Returns early, half-built, when the job is cancelled.
    TrainText(const WordTable& words, const Progress& progress);

    std::size_t size() const { return places_.size(); }
    Place* places() { return places_.data(); }

    // The bytes of the words at the same positions, which merging does not overwrite.
    const std::uint8_t* bytes() const { return bytes_.data(); }

    // Words of the same weight stand together; their places end before `end`.
    struct WeightClass {
        std::uint64_t weight;
        std::uint32_t num_words;
        Position end;
    };
    const WeightClass& weight_class(Position position) const {
        const WeightClass* found = &classes_[class_of_block_[position / block_size]];
        while (position >= found->end) ++found;
        return *found;
    }

    // How many places the pair of bytes (first << 8 | second) stands in, and the sum of their weights.
    struct BytePair {
        std::uint64_t weight;
        std::uint64_t number;
    };
    const std::vector<BytePair>& byte_pairs() const { return byte_pairs_; }

    // No pair that occurs less often is among the first `num_merges` merges. A word that occurs n times holds
    // a pair that occurs at least n times until it has become one token, and no two words become the same
    // token: so of the num_merges + 1 most frequent words one is still in pieces when the last merge is
    // chosen.
    std::uint64_t least_winning_count(std::size_t num_merges) const;

  private:
    static constexpr Position block_size = 64;

    HugeArray<Place> places_;
    HugeArray<std::uint8_t> bytes_;
    std::vector<WeightClass> classes_;  // by falling weight
    std::vector<std::uint32_t> class_of_block_;
    std::vector<BytePair> byte_pairs_;
};

}  // namespace bpe
