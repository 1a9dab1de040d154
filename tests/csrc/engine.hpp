// Text for the engine's tests, and the engine's results in a form that is easy to compare.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bpe/bytes.hpp"
#include "bpe/count.hpp"
#include "bpe/special.hpp"
#include "bpe/vocabulary.hpp"

constexpr std::string_view special = "<|end|>";

inline bool keep_going(std::uint64_t, std::uint64_t) {
    return true;
}

inline bpe::SpecialTokens special_tokens() {
    return bpe::SpecialTokens({std::string(special)});
}

// Words in two scripts, numbers, broken UTF-8 and special tokens; enough text for several threads.
inline std::vector<std::string> make_documents() {
    const std::array<std::string_view, 10> pieces = {" the", " fox", " jumped", "学习",     "语文",
                                                     " 123", "\n\n", "'s",      "\xff\x80", special};
    std::mt19937 random(7);
    std::vector<std::string> documents(40);
    for (std::string& document : documents) {
        while (document.size() < 60'000) document += pieces[random() % pieces.size()];
    }
    return documents;
}

inline std::vector<bpe::Bytes> as_bytes(const std::vector<std::string>& texts) {
    std::vector<bpe::Bytes> result;
    result.reserve(texts.size());
    for (const std::string& text : texts) result.push_back(bpe::as_bytes(text));
    return result;
}

// The tokens that training starts from.
inline std::vector<std::string> byte_tokens() {
    std::vector<std::string> tokens(256, std::string(1, '\0'));
    for (std::size_t byte = 0; byte < tokens.size(); ++byte) tokens[byte][0] = static_cast<char>(byte);
    return tokens;
}

// Tokens whose ids are their places, the first 256 of them the bytes, and rules for them.
inline bpe::Vocabulary make_vocabulary(const std::vector<std::string>& tokens,
                                       const std::vector<bpe::Merge>& merges) {
    std::vector<bpe::Vocabulary::Entry> entries;
    entries.reserve(tokens.size());
    for (bpe::TokenId id = 0; id < tokens.size(); ++id) entries.push_back({id, tokens[id]});
    std::array<bpe::TokenId, 256> byte_ids{};
    std::iota(byte_ids.begin(), byte_ids.end(), 0U);
    return {std::move(entries), merges, byte_ids, {}};
}

inline bpe::WordCounts count(const std::vector<bpe::Bytes>& documents, std::size_t num_threads) {
    bpe::WordCounts counts;
    counts.add_documents(documents, bpe::Pattern::gpt2, special_tokens(), num_threads, keep_going);
    return counts;
}

using Words = std::map<std::string, std::uint64_t>;

inline Words words_of(bpe::WordCounts& counts) {
    Words words;
    counts.for_each([&](std::string_view word, std::uint64_t number) { words[std::string(word)] += number; });
    return words;
}
