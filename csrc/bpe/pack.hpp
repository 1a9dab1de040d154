// Word counts packed into one block of bytes, the form in which the machines of a cluster exchange them.
//
// The words are in ascending order. So blocks are merged like sorted lists, without a table, and equal counts
// give equal bytes, however they were counted. A block is "WCP1", the number of words (8 bytes,
// little-endian), and for each word: the number of leading bytes that it shares with the word before it, the
// number of further bytes, these bytes, and its count. Numbers are stored with 7 bits per byte, the lowest
// first; the eighth bit is set if another byte follows.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "bpe/bytes.hpp"
#include "bpe/count.hpp"

namespace bpe {

std::string pack(WordCounts& counts);

// Adds every word of the block to `counts`. This function and those below throw std::invalid_argument for
// bytes that are not a block; `counts` may then hold some of the words.
void unpack(Bytes packed, WordCounts& counts);

// The block of all words of `blocks`; counts of equal words are added up.
std::string merge_packed(std::span<const Bytes> blocks);

struct Pruned {
    std::string packed;
    std::uint64_t largest_dropped = 0;  // no dropped word had a larger count
    std::uint64_t total_dropped = 0;    // the sum of the dropped counts
};

// The block of the most frequent words, at most `max_words`. Words with equal counts are all kept or all
// dropped.
Pruned prune_packed(Bytes packed, std::uint64_t max_words);

}  // namespace bpe
