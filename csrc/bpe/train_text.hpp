// The distinct words, laid out for merging.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bpe/huge_array.hpp"
#include "bpe/parallel.hpp"
#include "bpe/word_table.hpp"

namespace bpe {

// The content of one place of the text during merging: a byte, a mark, or a merged token.
using Symbol = std::uint32_t;
constexpr Symbol end_mark = 256;     // before and after each word
constexpr Symbol inside_mark = 257;  // a place inside a token, neither its first nor its last
constexpr Symbol first_merged = 258;

using Position = std::uint32_t;

// All words of two bytes and more in one array, with one place per byte and an end mark before the first word
// and after each. A token of several bytes is written to its first and its last place, so that its neighbours
// on both sides are found without links. More frequent words come first: so the weight of a place (how often
// its word occurs) can be found in a short sorted list and is not stored with every place.
//
// Place is std::uint16_t where all symbols fit into it: merging accesses this memory at random, and half of
// it fits better into the caches.
template <class Place>
class TrainText {
  public:
    // Throws std::length_error if there are 2^32 places or more, or if sums of weights could exceed 64 bits.
    // Returns early, incomplete, when the job is cancelled.
    TrainText(const WordTable& words, const Progress& progress);

    std::size_t size() const { return places_.size(); }
    Place* places() { return places_.data(); }

    // The bytes of the words at the same positions, which merging does not overwrite.
    const std::uint8_t* bytes() const { return bytes_.data(); }

    // Words of the same weight are adjacent; their places end before `end`.
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

    const std::vector<WeightClass>& weight_classes() const { return classes_; }

    // The sum of the weights of all places.
    std::uint64_t total_weight() const { return total_weight_; }

    // The number of places of the pair of bytes (first << 8 | second), and the sum of their weights.
    struct BytePair {
        std::uint64_t weight;
        std::uint64_t number;
    };
    const std::vector<BytePair>& byte_pairs() const { return byte_pairs_; }

    // No pair that occurs less often than this is among the first `num_merges` merges. A word that occurs n
    // times contains a pair that occurs at least n times until the word is one token, and no two words become
    // the same token. So at least one of the num_merges + 1 most frequent words still has several tokens when
    // the last merge is chosen.
    std::uint64_t least_winning_count(std::size_t num_merges) const;

  private:
    static constexpr Position block_size = 64;

    HugeArray<Place> places_;
    HugeArray<std::uint8_t> bytes_;
    std::vector<WeightClass> classes_;  // by descending weight
    std::vector<std::uint32_t> class_of_block_;
    std::vector<BytePair> byte_pairs_;
    std::uint64_t total_weight_ = 0;
};

}  // namespace bpe
