// Word counts as one block of bytes: what the machines of a cluster send each other.
//
// The words stand in ascending order, so that blocks are merged like sorted lists, without a table, and equal
// counts are equal bytes, whoever counted them. A block is "WCP1", the number of words (8 bytes,
// little-endian), and for each word four things: how many bytes it shares with the word before it, how many
// follow, these bytes, and its count. Numbers have 7 bits a byte, the lowest first; the eighth bit says that
// more follow.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "bpe/bytes.hpp"
#include "bpe/count.hpp"

namespace bpe {

std::string pack(WordCounts& counts);

// Adds every word of the block to `counts`. This and what follows throw std::invalid_argument for bytes that
// are not a block; `counts` may then hold some of the words.
void unpack(Bytes packed, WordCounts& counts);

// The block of all words of `blocks`; counts of equal words are added up.
std::string merge_packed(std::span<const Bytes> blocks);

struct Pruned {
    std::string packed;
    std::uint64_t largest_dropped = 0;  // no word lost more than this
    std::uint64_t total_dropped = 0;    // all counts that were dropped, added up
};

// The block of the words that occur most often: at most `max_words`. Of words with equal counts, all stay or
// all go.
Pruned prune_packed(Bytes packed, std::uint64_t max_words);

}  // namespace bpe
