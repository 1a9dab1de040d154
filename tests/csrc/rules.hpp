// Rules drawn at random, for tests that hold for any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bpe/vocabulary.hpp"
#include "engine.hpp"

struct Rules {
    std::vector<std::string> tokens = byte_tokens();
    std::vector<bpe::Merge> merges;

    bpe::Vocabulary vocabulary() const { return make_vocabulary(tokens, merges); }
};

// Pairs of tokens of a few bytes: unlike learned rules, many are never used, because an earlier one always
// comes between, and several make the same token.
inline Rules make_rules(std::mt19937& random, std::string_view bytes_used = "abc") {
    Rules rules;
    std::vector<bpe::TokenId> drawn;
    for (const char byte : bytes_used) drawn.push_back(static_cast<std::uint8_t>(byte));
    std::map<std::string, bpe::TokenId> ids;
    std::set<std::pair<bpe::TokenId, bpe::TokenId>> pairs;
    for (std::size_t k = 0; k < 30; ++k) {
        const bpe::TokenId left = drawn[random() % drawn.size()];
        const bpe::TokenId right = drawn[random() % drawn.size()];
        const std::string bytes = rules.tokens[left] + rules.tokens[right];
        if (bytes.size() > 20 || !pairs.emplace(left, right).second) continue;
        const auto [entry, is_new] = ids.emplace(bytes, static_cast<bpe::TokenId>(rules.tokens.size()));
        rules.merges.push_back({left, right, entry->second});
        if (!is_new) continue;
        rules.tokens.push_back(bytes);
        drawn.push_back(entry->second);
    }
    return rules;
}
