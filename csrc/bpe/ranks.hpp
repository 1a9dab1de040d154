// Merges from ranks: tiktoken's files list tokens by rank, without the two tokens that each one was made of.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace bpe {

// `tokens` are distinct and in the order of their ranks; a token that merges make comes after the tokens it
// is made of. The result holds, in the same order, the indices of the two parts of each token of two bytes or
// more: those that remain when its bytes are merged with lower ranks only. Where more than two parts remain,
// merges cannot make the token (it is only found as a whole pre-token), and it has no entry.
std::vector<std::pair<std::uint32_t, std::uint32_t>> recover_merges(std::span<const std::string_view> tokens);

}  // namespace bpe
