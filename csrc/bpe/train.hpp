// Training byte-pair encoding (Sennrich et al. 2016) over bytes: choosing the pairs to merge, in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "bpe/count.hpp"
#include "bpe/parallel.hpp"

namespace bpe {

struct TrainResult {
    // Ids of the two halves: 0..255 are the bytes, 256 + i is the result of merge number i.
    std::vector<std::pair<std::uint32_t, std::uint32_t>> merges;
    // How often each pair occurred when it was merged; never increases.
    std::vector<std::uint64_t> counts;
};

// Makes up to `num_merges` merges, fewer if no pair is left. Each merges the most frequent pair; of equally
// frequent ones, that whose pair of byte strings is lexicographically greatest. The result does not depend on
// `num_threads`. The tick gets merges. Throws std::length_error if the distinct words hold 2^32 bytes or
// more, or if the sum of the counts could exceed 64 bits.
TrainResult train(WordCounts& words, std::size_t num_merges, std::size_t num_threads, const Tick& tick);

}  // namespace bpe
