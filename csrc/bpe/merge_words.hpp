// Byte-pair merging of many short words at once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "bpe/key16.hpp"
#include "bpe/vocabulary.hpp"

namespace bpe {

// A text of 1 to Key16::max_length bytes and its ids, once they are found.
struct Word {
    Key16 key;
    std::uint32_t num_ids = 0;
    std::array<TokenId, Key16::max_length> ids;
};

// Finds the ids of the words that have none, as Merger does. A merge has to wait for the look-ups after the
// one before it; here words take turns, so that the look-ups of several are under way at once.
void merge_words(const Vocabulary& vocabulary, std::span<Word> words);

}  // namespace bpe
