// Merges from ranks: tiktoken's files list tokens by rank, without the two tokens that each one was made of.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace bpe {

// `tokens` are distinct and in the order of their ranks. In tiktoken, two neighbours may be merged if their
// joined bytes are a token; the lowest rank is first, and the leftmost of equals. The result holds, in the
// order of the ranks, the indices of the two parts from which this makes each token of two bytes or more. A
// token whose own bytes it does not merge into two parts cannot be made (it is only found as a whole
// pre-token) and has no entry.
//
// These merges, by their order, give what tiktoken's rule gives: what is merged within the bytes of a token,
// until it is made, is merged as if they stood alone, so it is always made of the same parts.
std::vector<std::pair<std::uint32_t, std::uint32_t>> recover_merges(std::span<const std::string_view> tokens);

}  // namespace bpe
