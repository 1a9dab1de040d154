// What a tokenizer knows: the bytes of every id, and which two ids merge into which, in what order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bpe/bytes.hpp"
#include "bpe/hash.hpp"

namespace bpe {

using TokenId = std::uint32_t;

// A merge rule: `left` next to `right` becomes `result`. Rules come in the order of their priority.
struct Merge {
    TokenId left;
    TokenId right;
    TokenId result;
};

// Finds the rule for a pair of ids. A flat table with linear probing, at most half full: most questions are
// about pairs that do not merge, and an empty slot answers those at once.
class MergeTable {
  public:
    static constexpr std::uint32_t no_rank = std::numeric_limits<std::uint32_t>::max();

    struct Rule {
        std::uint32_t rank = no_rank;  // lower is merged first
        TokenId result = 0;
    };

    MergeTable() = default;
    explicit MergeTable(const std::vector<Merge>& merges);

    Rule find(TokenId left, TokenId right) const {
        for (std::size_t slot = home(left, right);; slot = (slot + 1) & mask_) {
            const Entry& entry = entries_[slot];
            if (entry.left == left && entry.right == right) return entry.rule;
            if (entry.rule.rank == no_rank) return {};
        }
    }

  private:
    struct Entry {
        TokenId left = 0;
        TokenId right = 0;
        Rule rule;
    };

    std::size_t home(TokenId left, TokenId right) const {
        const std::uint64_t key = (std::uint64_t{left} << 32) | right;
        return static_cast<std::size_t>((key * 0x9e3779b97f4a7c15ULL) >> shift_) & mask_;
    }

    std::vector<Entry> entries_ = std::vector<Entry>(1);
    std::size_t mask_ = 0;
    unsigned shift_ = 63;
};

// Immutable once built, so that any number of threads may read it.
class Vocabulary {
  public:
    // The cache packs an id and a count into 32 bits.
    static constexpr TokenId max_id = (TokenId{1} << 24) - 1;

    struct Entry {
        TokenId id;
        std::string bytes;
    };

    // `tokens`: every id that decoding knows, special tokens included. `merges`: in the order of priority.
    // `byte_ids`: the id of each single byte. `whole_tokens`: ids that a pre-token equal to their bytes
    // becomes without any merging (tiktoken and Hugging Face's `ignore_merges` look there first); may be
    // empty. Throws std::invalid_argument for an id above max_id.
    Vocabulary(std::vector<Entry> tokens, const std::vector<Merge>& merges,
               const std::array<TokenId, 256>& byte_ids, const std::vector<TokenId>& whole_tokens);

    std::size_t size() const { return offsets_.size() - 1; }  // largest id + 1
    bool contains(TokenId id) const { return id < known_.size() && known_[id]; }
    std::string_view bytes(TokenId id) const {
        return std::string_view(blob_).substr(offsets_[id], offsets_[id + 1] - offsets_[id]);
    }

    TokenId byte_id(std::uint8_t byte) const { return byte_ids_[byte]; }
    MergeTable::Rule rule(TokenId left, TokenId right) const { return pairs_.find(left, right); }

    // The rule for two neighbouring bytes, by direct look-up: the first round of every merge asks only those.
    MergeTable::Rule byte_rule(std::uint8_t left, std::uint8_t right) const {
        return byte_rules_[(std::size_t{left} << 8) | right];
    }

    // The token that a whole pre-token becomes without merging, if there is one.
    std::optional<TokenId> whole_token(Bytes pretoken) const {
        if (whole_tokens_.empty() || pretoken.size() > longest_whole_token_) return std::nullopt;
        const std::string_view wanted = as_string(pretoken);
        const std::size_t mask = whole_tokens_.size() - 1;
        for (std::size_t slot = hash_bytes(pretoken) & mask;; slot = (slot + 1) & mask) {
            const TokenId id = whole_tokens_[slot];
            if (id == no_token) return std::nullopt;
            if (bytes(id) == wanted) return id;
        }
    }

  private:
    static constexpr TokenId no_token = std::numeric_limits<TokenId>::max();

    std::string blob_;
    std::vector<std::size_t> offsets_;
    std::vector<bool> known_;
    std::array<TokenId, 256> byte_ids_;
    MergeTable pairs_;
    std::vector<MergeTable::Rule> byte_rules_;
    std::vector<TokenId> whole_tokens_;  // an open-addressing set of ids by their bytes, at most half full
    std::size_t longest_whole_token_ = 0;
};

}  // namespace bpe
