#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bpe/bytes.hpp"
#include "bpe/id_buffer.hpp"
#include "bpe/merge.hpp"
#include "bpe/vocabulary.hpp"
#include "engine.hpp"

namespace {

struct Rules {
    std::vector<std::string> tokens = byte_tokens();
    std::vector<bpe::Merge> merges;

    bpe::Vocabulary vocabulary() const { return make_vocabulary(tokens, merges); }
};

// Pairs of tokens drawn at random from a few letters: unlike learned rules, many are never used, because an
// earlier one always comes between, and several make the same token.
Rules make_rules(std::mt19937& random) {
    Rules rules;
    std::vector<bpe::TokenId> drawn = {'a', 'b', 'c'};
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

std::vector<bpe::TokenId> given_back_by_merging(const bpe::Vocabulary& vocabulary) {
    bpe::Merger merger;
    std::vector<bpe::TokenId> result;
    for (bpe::TokenId id = 0; id < vocabulary.size(); ++id) {
        bpe::IdBuffer ids;
        merger.merge(vocabulary, bpe::as_bytes(vocabulary.bytes(id)), ids);
        if (ids.size() == 1 && ids.data()[0] == id) result.push_back(id);
    }
    return result;
}

// Whether a rule makes what an earlier rule, or the same, joins.
bool used_before_made(const std::vector<bpe::Merge>& merges) {
    std::set<bpe::TokenId> sides;
    return std::ranges::any_of(merges, [&](const bpe::Merge& merge) {
        sides.insert({merge.left, merge.right});
        return sides.contains(merge.result);
    });
}

}  // namespace

TEST_CASE("the tokens known without merging are those that merging gives back") {
    std::mt19937 random(11);
    std::size_t given_up = 0;
    std::size_t unstable = 0;
    for (std::size_t round = 0; round < 2000; ++round) {
        CAPTURE(round);
        Rules rules = make_rules(random);
        if (round % 4 == 3) std::ranges::shuffle(rules.merges, random);
        const bpe::Vocabulary vocabulary = rules.vocabulary();
        if (used_before_made(rules.merges)) {
            CHECK(vocabulary.known_tokens().empty());
            ++given_up;
        } else {
            CHECK(vocabulary.known_tokens() == given_back_by_merging(vocabulary));
            unstable += vocabulary.size() - vocabulary.known_tokens().size();
        }
    }
    CHECK(given_up > 300);
    CHECK(given_up < 1500);
    CHECK(unstable > 1000);
}
