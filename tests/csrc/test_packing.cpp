#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bpe/chunks.hpp"
#include "bpe/pack.hpp"
#include "engine.hpp"

namespace {

std::string whole_text() {
    std::string text;
    for (const std::string& document : make_documents()) text += document;
    return text;
}

// The text in parts of random size, as bpe::part_of cuts it.
std::vector<bpe::Bytes> random_parts(bpe::Bytes text, std::mt19937& random) {
    std::vector<bpe::Bytes> parts;
    std::size_t covered = 0;
    for (std::size_t start = 0; start < text.size();) {
        const std::size_t stop = std::min<std::size_t>(text.size(), start + 1 + random() % 100'000);
        parts.push_back(bpe::part_of(text, special_tokens(), start, stop));
        REQUIRE(parts.back().data() == text.data() + covered);  // parts meet
        covered += parts.back().size();
        start = stop;
    }
    REQUIRE(covered == text.size());
    return parts;
}

}  // namespace

TEST_CASE("blocks of parts, merged in any order, equal the block of the whole text") {
    const std::string text = whole_text();
    bpe::WordCounts counts = count({bpe::as_bytes(text)}, 1);
    const std::string whole = bpe::pack(counts);

    std::mt19937 random(8);
    std::vector<std::string> packed;
    for (const bpe::Bytes part : random_parts(bpe::as_bytes(text), random)) {
        bpe::WordCounts some = count({part}, 1);
        packed.push_back(bpe::pack(some));
    }
    while (packed.size() > 1) {
        std::ranges::shuffle(packed, random);
        const std::size_t taken = std::min<std::size_t>(packed.size(), 1 + random() % 5);
        const auto end = packed.begin() + static_cast<std::ptrdiff_t>(taken);
        std::string merged = bpe::merge_packed(as_bytes({packed.begin(), end}));
        packed.erase(packed.begin(), end);
        packed.push_back(std::move(merged));
    }
    CHECK((packed[0] == whole));
}

TEST_CASE("unpacking gives the counts back, and refuses truncated blocks") {
    const std::string text = whole_text();
    bpe::WordCounts counts = count({bpe::as_bytes(text)}, 1);
    const std::string whole = bpe::pack(counts);

    bpe::WordCounts unpacked;
    bpe::unpack(bpe::as_bytes(whole), unpacked);
    CHECK((words_of(unpacked) == words_of(counts)));
    for (std::size_t size = 0; size < whole.size(); size += 1 + size / 50) {
        CAPTURE(size);
        const bpe::Bytes truncated = bpe::as_bytes(std::string_view(whole).substr(0, size));
        CHECK_THROWS_AS(bpe::unpack(truncated, unpacked), std::invalid_argument);
    }
}

TEST_CASE("pruning keeps the most frequent words and says how much it dropped") {
    const std::string text = whole_text();
    bpe::WordCounts counts = count({bpe::as_bytes(text)}, 1);
    const std::string whole = bpe::pack(counts);

    for (std::size_t max_words = 0; max_words <= counts.distinct() + 1; ++max_words) {
        CAPTURE(max_words);
        const bpe::Pruned pruned = bpe::prune_packed(bpe::as_bytes(whole), max_words);
        bpe::WordCounts kept;
        bpe::unpack(bpe::as_bytes(pruned.packed), kept);
        CHECK(kept.distinct() <= max_words);
        CHECK(kept.total() + pruned.total_dropped == counts.total());
        Words expected = words_of(counts);
        std::erase_if(expected, [&](const auto& word) { return word.second <= pruned.largest_dropped; });
        CHECK((words_of(kept) == expected));
    }
}
