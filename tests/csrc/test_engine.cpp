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
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bpe/chunks.hpp"
#include "bpe/count.hpp"
#include "bpe/encode.hpp"
#include "bpe/pack.hpp"
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

// The counts of parts of the text, each packed by itself, are those of the whole, in whichever order they are
// merged.
void check_packing(const std::vector<std::string>& documents, const bpe::SpecialTokens& specials) {
    std::string text;
    for (const std::string& document : documents) text += document;
    bpe::WordCounts counts;
    counts.add_documents(std::vector{as_bytes(text)}, bpe::Pattern::gpt2, specials, 1, keep_going);
    const std::string whole = bpe::pack(counts);

    std::mt19937 random(8);
    std::vector<std::string> packed;
    std::size_t covered = 0;
    for (std::size_t start = 0; start < text.size();) {
        const std::size_t stop = std::min(text.size(), start + 1 + random() % 100'000);
        const bpe::Bytes part = bpe::part_of(as_bytes(text), specials, start, stop);
        check(part.data() == as_bytes(text).data() + covered, "parts meet");
        covered += part.size();
        bpe::WordCounts some;
        some.add_documents(std::vector{part}, bpe::Pattern::gpt2, specials, 1, keep_going);
        packed.push_back(bpe::pack(some));
        start = stop;
    }
    check(covered == text.size(), "parts cover the text");
    while (packed.size() > 1) {
        std::ranges::shuffle(packed, random);
        const std::size_t taken = std::min<std::size_t>(packed.size(), 1 + random() % 5);
        std::vector<bpe::Bytes> blocks;
        for (std::size_t k = 0; k < taken; ++k) blocks.push_back(as_bytes(packed[k]));
        std::string merged = bpe::merge_packed(blocks);
        packed.erase(packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(taken));
        packed.push_back(std::move(merged));
    }
    check(packed[0] == whole, "merged blocks equal the block of the whole");

    bpe::WordCounts unpacked;
    bpe::unpack(as_bytes(whole), unpacked);
    check(split(unpacked) == split(counts), "unpacking gives the counts back");
    for (std::size_t size = 0; size < whole.size(); size += 1 + size / 50) {
        bool refused = false;
        try {
            bpe::unpack(as_bytes(std::string_view(whole).substr(0, size)), unpacked);
        } catch (const std::invalid_argument&) {
            refused = true;
        }
        check(refused, "a truncated block is refused");
    }

    for (std::size_t max_words = 0; max_words <= counts.distinct() + 1; ++max_words) {
        const bpe::Pruned pruned = bpe::prune_packed(as_bytes(whole), max_words);
        bpe::WordCounts kept;
        bpe::unpack(as_bytes(pruned.packed), kept);
        check(kept.distinct() <= max_words, "pruning keeps no more words than asked for");
        check(kept.total() + pruned.total_dropped == counts.total(), "pruning says what it dropped");
        Words expected = split(counts);
        std::erase_if(expected, [&](const auto& word) { return word.second <= pruned.largest_dropped; });
        check(split(kept) == expected, "pruning drops the rarest words");
    }
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
    check_packing(documents, specials);
    std::cout << "engine: all checks passed\n";
}
