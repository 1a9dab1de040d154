// The vocabulary of a tokenizer: the bytes of every id, and the merges of two ids into one, by priority.
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
#include "bpe/hash_table.hpp"
#include "bpe/wide_joins.hpp"

namespace bpe {

using TokenId = std::uint32_t;

// A merge rule: `left` next to `right` becomes `result`. Rules come in the order of their priority.
struct Merge {
    TokenId left;
    TokenId right;
    TokenId result;
};

// Finds the rule for a pair of ids. The table is at most half full: most look-ups are for pairs that do not
// merge, and end at the first unused entry.
class MergeTable {
  public:
    static constexpr std::uint32_t no_rank = std::numeric_limits<std::uint32_t>::max();

    struct Rule {
        std::uint32_t rank = no_rank;  // lower is merged first
        TokenId result = 0;
    };

    explicit MergeTable(const std::vector<Merge>& merges);

    Rule find(TokenId left, TokenId right) const {
        const Entry& found = probe(entries_, home(left, right), [=](const Entry& entry) {
            return (entry.left == left && entry.right == right) || entry.unused();
        });
        return found.rule;  // an unused entry holds the rule of pairs that do not merge
    }

  private:
    struct Entry {
        TokenId left = 0;
        TokenId right = 0;
        Rule rule;

        bool unused() const { return rule.rank == no_rank; }
    };

    std::size_t home(TokenId left, TokenId right) const {
        const std::uint64_t key = (std::uint64_t{left} << 32) | right;
        return static_cast<std::size_t>((key * 0x9e3779b97f4a7c15ULL) >> shift_);
    }

    std::vector<Entry> entries_;
    unsigned shift_;
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

    // `tokens`: all ids, special tokens included. `merges`: in the order of priority. `byte_ids`: the id of
    // each single byte. `whole_tokens`, may be empty: a pre-token equal to the bytes of one of these ids
    // becomes that id without any merging, as in tiktoken and with Hugging Face's `ignore_merges`. The bytes
    // of a merge's result are those of its sides. Throws std::invalid_argument for an id above max_id.
    Vocabulary(std::vector<Entry> tokens, const std::vector<Merge>& merges,
               const std::array<TokenId, 256>& byte_ids, const std::vector<TokenId>& whole_tokens);

    std::size_t size() const { return offsets_.size() - 1; }  // largest id + 1
    bool contains(TokenId id) const { return id < known_.size() && known_[id]; }
    std::string_view bytes(TokenId id) const {
        return std::string_view(blob_).substr(offsets_[id], offsets_[id + 1] - offsets_[id]);
    }

    // Ranks of rules are below this.
    std::size_t num_rules() const { return num_rules_; }

    TokenId byte_id(std::uint8_t byte) const { return byte_ids_[byte]; }
    MergeTable::Rule rule(TokenId left, TokenId right) const { return pairs_.find(left, right); }

    // The rule for two neighbouring bytes, by direct look-up: merging starts with these pairs.
    MergeTable::Rule byte_rule(std::uint8_t left, std::uint8_t right) const {
        return byte_rules_[(std::size_t{left} << 8) | right];
    }

    // Where merges may join characters of three bytes.
    const WideJoins& joins() const { return joins_; }

    // Tokens that a pre-token of the same bytes becomes: those given as `whole_tokens` or, if there were
    // none, those that merging gives back (stable_tokens.hpp). In the former, several ids may have the same
    // bytes: the first is meant.
    const std::vector<TokenId>& known_tokens() const { return known_tokens_; }

    bool has_whole_tokens() const { return !whole_tokens_.empty(); }

    // The token that a whole pre-token becomes without merging, if there is one.
    std::optional<TokenId> whole_token(Bytes pretoken) const {
        if (whole_tokens_.empty() || pretoken.size() > longest_whole_token_) return std::nullopt;
        const std::string_view wanted = as_string(pretoken);
        const TokenId found = probe(whole_tokens_, whole_token_home(pretoken),
                                    [&](TokenId id) { return id == no_token || bytes(id) == wanted; });
        return found == no_token ? std::nullopt : std::optional(found);
    }

  private:
    static constexpr TokenId no_token = std::numeric_limits<TokenId>::max();

    std::size_t whole_token_home(Bytes token) const {
        return static_cast<std::size_t>(hash_bytes(token)) & (whole_tokens_.size() - 1);
    }

    std::string blob_;
    std::vector<std::size_t> offsets_;
    std::vector<bool> known_;
    std::array<TokenId, 256> byte_ids_;
    MergeTable pairs_;
    std::size_t num_rules_;
    WideJoins joins_;
    std::vector<MergeTable::Rule> byte_rules_;
    std::vector<TokenId> whole_tokens_;  // a hash table of ids by their bytes, at most half full
    std::size_t longest_whole_token_ = 0;
    std::vector<TokenId> known_tokens_;
};

}  // namespace bpe
