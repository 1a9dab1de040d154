// Cutting a long text into pieces that can be tokenized separately, with the same result.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "bpe/bytes.hpp"
#include "bpe/special.hpp"

namespace bpe {

// The first piece of `rest`, about `target_bytes` long. No pre-token of any built-in pattern and no special
// token crosses its end, and no pre-token changes because of the cut. Where there is no such place, the
// piece is longer, up to all of `rest`.
Bytes next_chunk(Bytes rest, const SpecialTokens& specials, std::size_t target_bytes);

// The part of `text` to tokenize for the range from `start` to `stop` (by default the end): from the first
// place at or after `start` where next_chunk could cut to the first one at or after `stop`. Each range finds
// its part alone, and the parts of adjacent ranges are adjacent.
Bytes part_of(Bytes text, const SpecialTokens& specials, std::size_t start,
              std::optional<std::size_t> stop = {});

// All pieces of `text`, in order.
std::vector<Bytes> split_into_chunks(Bytes text, const SpecialTokens& specials, std::size_t target_bytes);

// How many bytes of `text`, the beginning of a longer text, can be tokenized before the rest is known: up to
// the last place where next_chunk could cut, whatever follows; 0 if there is no such place.
std::size_t last_safe_cut(Bytes text, const SpecialTokens& specials);

}  // namespace bpe
