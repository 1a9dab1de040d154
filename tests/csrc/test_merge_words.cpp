#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../fuzz/naive.hpp"
#include "bpe/bytes.hpp"
#include "bpe/encode.hpp"
#include "bpe/id_buffer.hpp"
#include "bpe/key16.hpp"
#include "bpe/merge.hpp"
#include "bpe/merge_table.hpp"
#include "bpe/merge_words.hpp"
#include "rules.hpp"

namespace {

bpe::Key16 key_of(const std::string& word) {
    const bpe::Bytes bytes = bpe::as_bytes(word);
    return bpe::Key16::load(bytes.data(), bytes.size(), bytes.data() + bytes.size());
}

bpe::TokenId random_id(std::mt19937& random, bpe::TokenId largest) {
    return static_cast<bpe::TokenId>(random() % (std::uint64_t{largest} + 1));
}

std::string random_word(std::mt19937& random, const std::string& letters, std::size_t longest) {
    std::string word(1 + random() % longest, '\0');
    for (char& letter : word) letter = letters[random() % letters.size()];
    return word;
}

// Rules with a bucket for every 2.5 to 4 of them on average, so that some buckets are full.
std::vector<bpe::Merge> many_rules(std::mt19937& random, std::size_t number, bpe::TokenId largest) {
    std::map<std::pair<bpe::TokenId, bpe::TokenId>, bpe::TokenId> drawn;
    while (drawn.size() < number) {
        drawn.try_emplace({random_id(random, largest), random_id(random, largest)},
                          random_id(random, largest));
    }
    std::vector<bpe::Merge> rules;
    rules.reserve(number);
    for (const auto& [pair, result] : drawn) rules.push_back({pair.first, pair.second, result});
    std::ranges::shuffle(rules, random);
    return rules;
}

}  // namespace

TEST_CASE("words that are merged together become what each becomes by the definition") {
    std::mt19937 random(5);
    std::size_t merged = 0;
    for (std::size_t round = 0; round < 1000; ++round) {
        CAPTURE(round);
        const std::string used{'a', 'b', '\0'};  // the id of byte 0 is 0
        Rules rules = make_rules(random, used);
        if (round % 2 == 1) std::ranges::shuffle(rules.merges, random);
        const bpe::Vocabulary vocabulary = rules.vocabulary();
        std::map<naive::Pair, std::size_t> ranks;
        for (const auto& [left, right, result] : rules.merges) {
            ranks.emplace(naive::Pair{rules.tokens[left], rules.tokens[right]}, ranks.size());
        }
        std::vector<std::string> texts(random() % 60);
        std::vector<bpe::Word> words;
        for (std::string& text : texts) {
            text = random_word(random, random() % 2 == 0 ? used : "ab\xff", bpe::Key16::max_length);
            words.push_back({key_of(text), 0, {}});
            if (random() % 8 == 0) {  // known, and to be left alone
                words.back().num_ids = 1;
                words.back().ids[0] = 7;
            }
        }
        bpe::merge_words(vocabulary, words);
        for (std::size_t k = 0; k < texts.size(); ++k) {
            CAPTURE(texts[k]);
            const std::span ids(words[k].ids.data(), words[k].num_ids);
            if (ids.size() == 1 && ids[0] == 7) continue;
            naive::Symbols found;
            for (const bpe::TokenId id : ids) found.emplace_back(vocabulary.bytes(id));
            CHECK((found == naive::encode(texts[k], ranks)));
            merged += texts[k].size() - ids.size();
        }
    }
    CHECK(merged > 20'000);
}

TEST_CASE("a table of rules finds each of them and no other, whatever the size of ids") {
    std::mt19937 random(6);
    for (const bpe::TokenId largest : {1U, 200U, 300U, 65'535U, 65'536U, 300'000U, (1U << 24) - 1}) {
        for (const std::size_t number : {0, 1, 3, 100, 20'000, 66'000}) {
            if (number > 1 && number * 4 > std::uint64_t{largest} * largest) continue;
            CAPTURE(largest);
            CAPTURE(number);
            const std::vector<bpe::Merge> rules = many_rules(random, number, largest);
            const bpe::MergeTable table(rules, largest);
            REQUIRE(table.size() == number);
            std::map<std::pair<bpe::TokenId, bpe::TokenId>, std::uint32_t> ranks;
            bool found = true;
            for (std::uint32_t rank = 0; rank < rules.size(); ++rank) {
                const auto& [left, right, result] = rules[rank];
                ranks[{left, right}] = rank;
                found = found && table.rank(left, right) == rank && table.result(rank) == result;
            }
            CHECK(found);
            bool same = true;
            for (std::size_t k = 0; k < 20'000; ++k) {
                // Half of the pairs are made of ids that occur in rules.
                bpe::TokenId left = random_id(random, largest);
                const bpe::TokenId right = random_id(random, largest);
                if (k % 2 == 0 && number != 0) left = rules[random() % number].left;
                const auto wanted = ranks.find({left, right});
                same = same && table.rank(left, right) ==
                                   (wanted == ranks.end() ? bpe::MergeTable::no_rank : wanted->second);
            }
            CHECK(same);
        }
    }
}

TEST_CASE("a table of rules compares every bit of a pair") {
    std::uint64_t inverse = bpe::MergeTable::odd;  // of the multiplication that chooses the bucket
    for (int k = 0; k < 6; ++k) inverse *= 2 - bpe::MergeTable::odd * inverse;
    for (const unsigned id_bits : {1U, 8U, 16U, 17U, 20U, 24U}) {
        CAPTURE(id_bits);
        const bpe::TokenId largest = (bpe::TokenId{1} << id_bits) - 1;
        const auto right_of = [&](std::uint64_t pair) { return static_cast<bpe::TokenId>(pair) & largest; };
        const auto left_of = [&](std::uint64_t pair) { return right_of(pair >> id_bits); };
        const std::uint64_t pair =
            (std::uint64_t{1'000'003} << id_bits | 3) & ((std::uint64_t{1} << 2 * id_bits) - 1);
        const bpe::MergeTable table({{left_of(pair), right_of(pair), 0}}, largest);
        CHECK(table.rank(left_of(pair), right_of(pair)) == 0);
        for (unsigned bit = 0; bit < 2 * id_bits; ++bit) {
            const std::uint64_t other = (pair * bpe::MergeTable::odd ^ std::uint64_t{1} << bit) * inverse;
            CHECK(table.rank(left_of(other), right_of(other)) == bpe::MergeTable::no_rank);
        }
    }
}

TEST_CASE("a table of rules refuses rules that repeat a pair, and ids that are too large") {
    CHECK_THROWS_WITH_AS(bpe::MergeTable({{1, 2, 3}, {2, 1, 3}, {1, 2, 4}}, 4), "merge 2 repeats merge 0",
                         std::invalid_argument);
    CHECK_THROWS_WITH_AS(bpe::MergeTable({{1, 2, 5}}, 4), "merge 0 has an id that is not in the vocabulary",
                         std::invalid_argument);
    CHECK_THROWS_WITH_AS(bpe::MergeTable({}, 1U << 24),
                         "token id 16777216 is above the largest allowed, 16777215", std::invalid_argument);
}

TEST_CASE("new words, known ones, long ones and Chinese get their ids in the order of the text") {
    std::mt19937 random(8);
    for (std::size_t round = 0; round < 300; ++round) {
        CAPTURE(round);
        const Rules rules = make_rules(random);
        const bpe::Encoder encoder(rules.vocabulary(), bpe::SpecialTokens(), {}, bpe::Pattern::gpt2);
        std::vector<std::string> pool(1 + random() % 200);
        for (std::string& word : pool) word = random() % 9 == 0 ? "学习" : random_word(random, "abc", 18);
        std::vector<std::string> words(random() % 2000);
        for (std::string& word : words) word = ' ' + pool[random() % pool.size()];
        std::string text;
        std::vector<bpe::TokenId> expected;
        bpe::Merger merger;
        for (const std::string& word : words) {
            bpe::IdBuffer ids;
            merger.merge(encoder.vocabulary(), bpe::as_bytes(word), ids);
            expected.insert(expected.end(), ids.span().begin(), ids.span().end());
            text += word;
        }
        for (std::size_t pass = 0; pass < 2; ++pass) {
            bpe::IdBuffer ids;
            encoder.encode(bpe::as_bytes(text), true, ids);
            CHECK((std::ranges::equal(ids.span(), expected)));
        }
    }
}

TEST_CASE("a vocabulary refuses bytes with ids that it does not have") {
    std::array<bpe::TokenId, 256> byte_ids{};
    CHECK_THROWS_WITH_AS(bpe::Vocabulary({{1, "a"}}, {}, byte_ids, {}),
                         "a byte has an id that is not in the vocabulary", std::invalid_argument);
}
