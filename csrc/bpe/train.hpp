// Byte-pair encoding (Sennrich et al. 2016) over bytes: which pairs to merge, in which order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "bpe/count.hpp"
#include "bpe/parallel.hpp"

namespace bpe {

struct TrainResult {
    // Ids of the two halves: 0..255 are the bytes, 256 + i is what merge number i made.
    std::vector<std::pair<std::uint32_t, std::uint32_t>> merges;
    // How often each merged pair occurred when its turn came; never increases.
    std::vector<std::uint64_t> counts;

    std::uint64_t distinct_words = 0;
    std::uint64_t total_words = 0;
    PhaseTime counting;  // all calls of WordCounts::add_documents
    PhaseTime indexing;  // from counts to the first pair's list of positions
    PhaseTime merging;
};

// Makes up to `num_merges` merges, fewer if no pair is left. Always the pair that occurs most often; of
// equals the one whose pair of byte strings is lexicographically greatest. The result does not depend on
// `num_threads`. The tick speaks of merges. Throws std::length_error when the distinct words hold 2^32 bytes
// or more, or when the counts are too large to be added up in 64 bits.
TrainResult train(WordCounts& words, std::size_t num_merges, std::size_t num_threads, const Tick& tick);

}  // namespace bpe
