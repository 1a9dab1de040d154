// Cutting a long text into pieces that can be tokenized apart, with the same result as in one go.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "bpe/special.hpp"

namespace bpe {

using Bytes = std::span<const std::uint8_t>;

// Cuts `text` into pieces of about `target_bytes`. No pre-token of any built-in pattern and no special token
// crosses a cut, and no pre-token changes because of one. Where a text offers no such place, a piece is
// longer.
std::vector<Bytes> split_into_chunks(Bytes text, const SpecialTokens& specials, std::size_t target_bytes);

}  // namespace bpe
