// The tokens that merging their own bytes gives back.
#pragma once

#include <vector>

#include "bpe/vocabulary.hpp"

namespace bpe {

// Ids in ascending order. None if a rule comes before one that makes one of its sides, which does not happen
// with learned rules. DESIGN.md has the proof. `merges`: the rules of `vocabulary`, in the order of priority.
std::vector<TokenId> stable_tokens(const Vocabulary& vocabulary, const std::vector<Merge>& merges);

}  // namespace bpe
