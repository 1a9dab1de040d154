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
#include "bpe/merge_table.hpp"
#include "bpe/wide_joins.hpp"

namespace bpe {

// Immutable once built, so that any number of threads may read it.
class Vocabulary {
  public:
    // The cache packs an id and a count into 32 bits.
    static constexpr TokenId max_id = (TokenId{1} << MergeTable::max_id_bits) - 1;

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
    std::size_t num_rules() const { return pairs_.size(); }

    TokenId byte_id(std::uint8_t byte) const { return byte_ids_[byte]; }

    // As those of MergeTable.
    std::uint32_t rank(TokenId left, TokenId right) const { return pairs_.rank(left, right); }
    void prefetch_rank(TokenId left, TokenId right) const { pairs_.prefetch(left, right); }
    TokenId result(std::uint32_t rank) const { return pairs_.result(rank); }

    // The rank of two neighbouring bytes, by direct look-up: merging starts with these pairs.
    std::uint32_t byte_rank(std::uint8_t left, std::uint8_t right) const {
        return byte_ranks_[(std::size_t{left} << 8) | right];
    }

    // Where merges may join characters of three bytes.
    const WideJoins& joins() const { return joins_; }

    // Tokens that a pre-token of the same bytes becomes: those given as `whole_tokens` or, if there were
    // none, those that merging gives back (stable_tokens.hpp). In the former, several ids may have the same
    // bytes: the first is meant.
    const std::vector<TokenId>& known_tokens() const { return known_tokens_; }

    bool has_whole_tokens() const { return !whole_tokens_.empty(); }

    // Makes whole_token() of the same bytes faster a little later.
    void prefetch_whole_token(Bytes pretoken) const {
        if (!whole_tokens_.empty()) __builtin_prefetch(&whole_tokens_[whole_token_home(pretoken)]);
    }

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
    WideJoins joins_;
    std::vector<std::uint32_t> byte_ranks_;
    std::vector<TokenId> whole_tokens_;  // a hash table of ids by their bytes, at most half full
    std::size_t longest_whole_token_ = 0;
    std::vector<TokenId> known_tokens_;
};

}  // namespace bpe
