#include "bpe/vocabulary.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "bpe/stable_tokens.hpp"

namespace bpe {
namespace {

TokenId largest_id(const std::vector<Vocabulary::Entry>& tokens) {
    TokenId largest = 0;
    for (const Vocabulary::Entry& token : tokens) largest = std::max(largest, token.id);
    return largest;
}

}  // namespace

Vocabulary::Vocabulary(std::vector<Entry> tokens, const std::vector<Merge>& merges,
                       const std::array<TokenId, 256>& byte_ids, const std::vector<TokenId>& whole_tokens)
    : byte_ids_(byte_ids), pairs_(merges, largest_id(tokens)), byte_ranks_(std::size_t{1} << 16) {
    std::sort(tokens.begin(), tokens.end(), [](const Entry& a, const Entry& b) { return a.id < b.id; });
    offsets_.push_back(0);
    for (const Entry& token : tokens) {
        offsets_.resize(token.id + 1, blob_.size());
        known_.resize(token.id + 1, false);
        known_[token.id] = true;
        blob_ += token.bytes;
        offsets_.push_back(blob_.size());
    }
    if (!std::ranges::all_of(byte_ids, [&](TokenId id) { return contains(id); })) {
        throw std::invalid_argument("a byte has an id that is not in the vocabulary");
    }
    for (std::size_t left = 0; left < 256; ++left) {
        for (std::size_t right = 0; right < 256; ++right) {
            byte_ranks_[(left << 8) | right] = pairs_.rank(byte_ids[left], byte_ids[right]);
        }
    }
    joins_ = WideJoins(*this, merges);
    known_tokens_ = whole_tokens.empty() ? stable_tokens(*this, merges) : whole_tokens;
    if (whole_tokens.empty()) return;
    whole_tokens_.assign(std::bit_ceil(2 * whole_tokens.size()), no_token);
    for (const TokenId id : whole_tokens) {
        const std::string_view token = bytes(id);
        probe(whole_tokens_, whole_token_home(as_bytes(token)),
              [](TokenId slot) { return slot == no_token; }) = id;
        longest_whole_token_ = std::max(longest_whole_token_, token.size());
    }
}

}  // namespace bpe
