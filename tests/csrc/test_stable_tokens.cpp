#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <random>
#include <set>
#include <vector>

#include "bpe/bytes.hpp"
#include "bpe/id_buffer.hpp"
#include "bpe/merge.hpp"
#include "bpe/vocabulary.hpp"
#include "rules.hpp"

namespace {

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
