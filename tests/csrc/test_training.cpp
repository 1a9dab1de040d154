#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "bpe/train.hpp"
#include "engine.hpp"

namespace {

using Tokens = std::vector<std::string>;
using Pair = std::pair<std::string, std::string>;

Tokens merged(const Tokens& word, const Pair& pair) {
    Tokens result;
    for (std::size_t k = 0; k < word.size(); ++k) {
        const bool here = k + 1 < word.size() && word[k] == pair.first && word[k + 1] == pair.second;
        result.push_back(here ? pair.first + pair.second : word[k]);
        if (here) ++k;
    }
    return result;
}

// Byte-level BPE as it is defined: count all pairs, merge the most frequent one (of equals the greatest),
// start again. std::string compares bytes as unsigned.
std::vector<Pair> train_by_definition(const Words& counts, std::size_t num_merges) {
    std::map<Tokens, std::uint64_t> words;
    for (const auto& [word, count] : counts) {
        Tokens bytes;
        for (const char byte : word) bytes.emplace_back(1, byte);
        words[bytes] += count;
    }
    std::vector<Pair> merges;
    while (merges.size() < num_merges) {
        std::map<Pair, std::uint64_t> pairs;
        for (const auto& [word, count] : words) {
            for (std::size_t k = 0; k + 1 < word.size(); ++k) pairs[{word[k], word[k + 1]}] += count;
        }
        if (pairs.empty()) break;
        const auto best = std::ranges::max_element(
            pairs, {}, [](const auto& entry) { return std::pair(entry.second, entry.first); });
        merges.push_back(best->first);
        std::map<Tokens, std::uint64_t> next;
        for (const auto& [word, count] : words) next[merged(word, best->first)] += count;
        words = std::move(next);
    }
    return merges;
}

void check_merges(bpe::WordCounts& counts, std::size_t num_merges, std::size_t num_threads) {
    const std::vector<Pair> expected = train_by_definition(words_of(counts), num_merges);
    const bpe::TrainResult result = bpe::train(counts, num_merges, num_threads, keep_going);
    std::vector<Pair> merges;
    std::vector<std::string> tokens = byte_tokens();
    for (const auto& [left, right] : result.merges) {
        merges.emplace_back(tokens[left], tokens[right]);
        tokens.push_back(tokens[left] + tokens[right]);
    }
    REQUIRE(merges.size() == expected.size());
    for (std::size_t k = 0; k < merges.size(); ++k) {
        CAPTURE(k);
        CHECK(merges[k].first == expected[k].first);
        CHECK(merges[k].second == expected[k].second);
    }
}

}  // namespace

TEST_CASE("training makes the merges that the definition of BPE asks for") {
    const std::vector<std::string> documents = make_documents();
    for (const std::size_t num_threads : {1U, 4U}) {
        CAPTURE(num_threads);
        bpe::WordCounts counts = count(as_bytes(documents), num_threads);
        check_merges(counts, 60, num_threads);
    }
}

TEST_CASE("training lists rarer pairs when all frequent ones are merged") {
    // Two words make up nearly all of the text, so that few pairs are listed at first. Others have counts of
    // every size and pairs in common with them. Most words are rare, so that the bound from the words is low.
    std::mt19937 random(11);
    bpe::WordCounts counts;
    counts.add("aabaab", 1'000'000'000'000'000);
    counts.add("abcabc", 900'000'000'000'000);
    for (int k = 0; k < 300; ++k) {
        std::string word;
        while (word.size() < 12) word += static_cast<char>('a' + random() % 5);
        counts.add(word, k < 100 ? std::uint64_t{1} << random() % 30 : 1 + random() % 4);
    }
    check_merges(counts, 150, 1);
}
