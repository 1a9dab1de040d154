// Cutting a long text into pieces that can be tokenized apart, with the same result as in one go.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "bpe/bytes.hpp"
#include "bpe/special.hpp"

namespace bpe {

// The first piece of `rest`, about `target_bytes` long. No pre-token of any built-in pattern and no special
// token crosses its end, and no pre-token changes because of the cut. Where a text offers no such place, the
// piece is longer, up to all of `rest`.
Bytes next_chunk(Bytes rest, const SpecialTokens& specials, std::size_t target_bytes);

// The part of `text` that whoever is given the bytes from `start` to `stop` has to tokenize: from the first
// place at or after `start` where next_chunk could cut to the first one at or after `stop`. The parts of
// neighbouring ranges meet, though nobody told their owners where.
Bytes part_of(Bytes text, const SpecialTokens& specials, std::size_t start,
              std::optional<std::size_t> stop = {});

// All pieces of `text`, in order.
std::vector<Bytes> split_into_chunks(Bytes text, const SpecialTokens& specials, std::size_t target_bytes);

// How much of `text`, the beginning of a longer one, can be tokenized before the rest is known: up to the
// last place where next_chunk could cut whatever follows; 0 if there is none.
std::size_t last_safe_cut(Bytes text, const SpecialTokens& specials);

}  // namespace bpe
