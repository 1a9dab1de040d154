#include "bpe/vocabulary.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "bpe/stable_tokens.hpp"

namespace bpe {

MergeTable::MergeTable(const std::vector<Merge>& merges)
    : entries_(std::bit_ceil(2 * merges.size() + 2)), shift_(shift_for(entries_.size())) {
    for (std::size_t rank = 0; rank < merges.size(); ++rank) {
        const Merge& merge = merges[rank];
        Entry& entry = probe(entries_, home(merge.left, merge.right), [&](const Entry& other) {
            return other.unused() || (other.left == merge.left && other.right == merge.right);
        });
        if (!entry.unused()) {
            throw std::invalid_argument("merge " + std::to_string(rank) + " repeats merge " +
                                        std::to_string(entry.rule.rank));
        }
        entry = {merge.left, merge.right, {static_cast<std::uint32_t>(rank), merge.result}};
    }
}

Vocabulary::Vocabulary(std::vector<Entry> tokens, const std::vector<Merge>& merges,
                       const std::array<TokenId, 256>& byte_ids, const std::vector<TokenId>& whole_tokens)
    : byte_ids_(byte_ids), pairs_(merges), num_rules_(merges.size()), byte_rules_(std::size_t{1} << 16) {
    std::sort(tokens.begin(), tokens.end(), [](const Entry& a, const Entry& b) { return a.id < b.id; });
    if (!tokens.empty() && tokens.back().id > max_id) {
        throw std::invalid_argument("token id " + std::to_string(tokens.back().id) +
                                    " is above the largest allowed, " + std::to_string(max_id));
    }
    offsets_.push_back(0);
    for (const Entry& token : tokens) {
        offsets_.resize(token.id + 1, blob_.size());
        known_.resize(token.id + 1, false);
        known_[token.id] = true;
        blob_ += token.bytes;
        offsets_.push_back(blob_.size());
    }
    for (std::size_t left = 0; left < 256; ++left) {
        for (std::size_t right = 0; right < 256; ++right) {
            byte_rules_[(left << 8) | right] = pairs_.find(byte_ids[left], byte_ids[right]);
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
