// Merges from ranks: tiktoken's files list tokens by rank and leave it to the reader to find which two tokens
// each one was made of.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace bpe {

// `tokens` in the order of their ranks, all distinct, every one that matters preceded by the tokens it is
// made of. The result holds, in that order, the indices of the two parts of each token of two bytes or more:
// what is left when the token's bytes are merged with lower ranks only. Tokens that end in more than two
// parts cannot be made by merges (they are found as whole pre-tokens) and have no entry.
std::vector<std::pair<std::uint32_t, std::uint32_t>> recover_merges(std::span<const std::string_view> tokens);

}  // namespace bpe
