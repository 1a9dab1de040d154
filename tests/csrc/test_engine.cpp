// The engine without Python: trained on several threads, checked against a rescan of the whole text after
// every merge, then text through the encoder on several threads and back. Built with sanitizers in CI.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bpe/count.hpp"
#include "bpe/encode.hpp"
#include "bpe/pretokenize.hpp"
#include "bpe/special.hpp"
#include "bpe/train.hpp"
#include "bpe/vocabulary.hpp"

namespace {

constexpr std::size_t num_merges = 60;
constexpr std::string_view special = "<|end|>";

void check(bool fact, const std::string& what) {
    if (fact) return;
    std::cerr << "failed: " << what << '\n';
    std::exit(EXIT_FAILURE);
}

bpe::Bytes as_bytes(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

bool keep_going(std::uint64_t, std::uint64_t) {
    return true;
}

// Words in two scripts, numbers, broken UTF-8 and special tokens; large enough to be shared out among
// threads.
std::vector<std::string> make_documents() {
    const std::array<std::string_view, 10> pieces = {" the", " fox", " jumped", "学习",     "语文",
                                                     " 123", "\n\n", "'s",      "\xff\x80", special};
    std::mt19937 random(7);
    std::vector<std::string> documents(40);
    for (std::string& document : documents) {
        while (document.size() < 60'000) document += pieces[random() % pieces.size()];
    }
    return documents;
}

using Words = std::map<std::vector<std::string>, std::uint64_t>;
using Pair = std::pair<std::string, std::string>;

std::vector<std::string> merged(const std::vector<std::string>& word, const Pair& pair) {
    std::vector<std::string> result;
    for (std::size_t k = 0; k < word.size(); ++k) {
        const bool here = k + 1 < word.size() && word[k] == pair.first && word[k + 1] == pair.second;
        result.push_back(here ? pair.first + pair.second : word[k]);
        if (here) ++k;
    }
    return result;
}

// Byte-level BPE as it is defined: count all pairs, merge the most frequent (the greatest of equals), start
// again. std::string compares bytes as unsigned.
std::vector<Pair> train_by_definition(Words words) {
    std::vector<Pair> merges;
    while (merges.size() < num_merges) {
        std::map<Pair, std::uint64_t> counts;
        for (const auto& [word, count] : words) {
            for (std::size_t k = 0; k + 1 < word.size(); ++k) counts[{word[k], word[k + 1]}] += count;
        }
        if (counts.empty()) break;
        const auto best = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
            return std::pair(a.second, a.first) < std::pair(b.second, b.first);
        });
        merges.push_back(best->first);
        Words next;
        for (const auto& [word, count] : words) next[merged(word, best->first)] += count;
        words = std::move(next);
    }
    return merges;
}

Words split(bpe::WordCounts& counts) {
    Words words;
    counts.for_each([&](std::string_view word, std::uint64_t count) {
        std::vector<std::string> bytes;
        for (const char byte : word) bytes.emplace_back(1, byte);
        words[bytes] += count;
    });
    return words;
}

}  // namespace

int main() {
    const std::vector<std::string> documents = make_documents();
    const std::vector<bpe::Bytes> views = [&] {
        std::vector<bpe::Bytes> result;
        for (const std::string& document : documents) result.push_back(as_bytes(document));
        return result;
    }();
    const bpe::SpecialTokens specials({std::string(special)});

    std::vector<std::string> tokens;
    std::vector<bpe::Merge> rules;
    for (const std::size_t num_threads : {std::size_t{1}, std::size_t{4}}) {
        bpe::WordCounts counts;
        counts.add_documents(views, bpe::Pattern::gpt2, specials, num_threads, keep_going);
        const std::vector<Pair> expected = train_by_definition(split(counts));
        const bpe::TrainResult result = bpe::train(counts, num_merges, num_threads, keep_going);
        check(result.merges.size() == expected.size(), "the number of merges");

        tokens.clear();
        rules.clear();
        for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
        for (const auto& [left, right] : result.merges) {
            check(
                Pair(tokens[left], tokens[right]) == expected[rules.size()],
                "merge " + std::to_string(rules.size()) + " on " + std::to_string(num_threads) + " threads");
            rules.push_back({left, right, static_cast<bpe::TokenId>(tokens.size())});
            tokens.push_back(tokens[left] + tokens[right]);
        }
    }

    const auto special_id = static_cast<bpe::TokenId>(tokens.size());
    tokens.emplace_back(special);
    std::vector<bpe::Vocabulary::Entry> entries;
    std::array<bpe::TokenId, 256> byte_ids{};
    for (bpe::TokenId id = 0; id < tokens.size(); ++id) entries.push_back({id, tokens[id]});
    for (bpe::TokenId byte = 0; byte < 256; ++byte) byte_ids[byte] = byte;
    const bpe::Encoder encoder(bpe::Vocabulary(entries, rules, byte_ids, {}), specials, {special_id},
                               bpe::Pattern::gpt2);

    const auto alone = encoder.encode_all<std::uint16_t>(views, true, 1, keep_going);
    const auto together = encoder.encode_all<std::uint16_t>(views, true, 4, keep_going);
    for (std::size_t k = 0; k < documents.size(); ++k) {
        check(std::equal(alone[k].data.get(), alone[k].data.get() + alone[k].size, together[k].data.get(),
                         together[k].data.get() + together[k].size),
              "the same ids on one and four threads");
        std::string decoded;
        for (std::size_t i = 0; i < alone[k].size; ++i)
            decoded += encoder.vocabulary().bytes(alone[k].data[i]);
        check(decoded == documents[k], "decoding gives the text back");
        check(alone[k].size < documents[k].size() / 2, "merges are applied");
        check(std::count(alone[k].data.get(), alone[k].data.get() + alone[k].size, special_id) > 0,
              "special tokens become their ids");
    }
    std::cout << "engine: all checks passed\n";
}
