#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpe/encode.hpp"
#include "bpe/hash.hpp"
#include "bpe/key16.hpp"
#include "bpe/long_cache.hpp"
#include "bpe/pretoken_cache.hpp"
#include "engine.hpp"

namespace {

using Alphabet = std::span<const std::string_view>;

// Bytes that characters of three bytes share, among others, so that random strings of them hold many.
constexpr std::array<std::string_view, 9> wide = {"学", "习", "字", "一", "丁", "가", "\xe5", "\xad", "a"};

// Nothing is cut.
constexpr std::array<std::string_view, 2> narrow = {"a", "b"};

std::string random_text(std::mt19937& random, Alphabet alphabet, std::size_t length) {
    std::string text;
    for (std::size_t k = 0; k < length; ++k) text += alphabet[random() % alphabet.size()];
    return text;
}

struct Rules {
    std::vector<std::string> tokens = byte_tokens();
    std::vector<bpe::Merge> merges;

    // Adds merges of pieces of random text, cut anywhere; in any order, if `shuffled`.
    Rules(std::mt19937& random, Alphabet alphabet, bool shuffled) {
        std::map<std::string, bpe::TokenId> ids;
        for (bpe::TokenId id = 0; id < tokens.size(); ++id) ids[tokens[id]] = id;
        for (int trial = 0; trial < 400 && merges.size() < 40; ++trial) {
            const std::string text = random_text(random, alphabet, 6);
            const std::size_t start = random() % (text.size() - 1);
            const std::size_t size = 2 + random() % (text.size() - start - 1);
            const std::string token = text.substr(start, size);
            const std::size_t cut = 1 + random() % (token.size() - 1);
            const auto left = ids.find(token.substr(0, cut));
            const auto right = ids.find(token.substr(cut));
            if (left == ids.end() || right == ids.end() || ids.contains(token)) continue;
            const auto id = static_cast<bpe::TokenId>(tokens.size());
            merges.push_back({left->second, right->second, id});
            ids[token] = id;
            tokens.push_back(token);
        }
        if (shuffled) std::ranges::shuffle(merges, random);
    }

    // Adds merges of equal halves: runs of "a" up to 2^doublings bytes.
    void add_runs(int doublings) {
        auto run = static_cast<bpe::TokenId>('a');
        for (int k = 0; k < doublings; ++k) {
            const auto known = std::ranges::find_if(
                merges, [=](const bpe::Merge& m) { return m.left == run && m.right == run; });
            if (known != merges.end()) {
                run = known->result;
                continue;
            }
            const auto id = static_cast<bpe::TokenId>(tokens.size());
            merges.push_back({run, run, id});
            tokens.push_back(tokens[run] + tokens[run]);
            run = id;
        }
    }

    // The lowest rank first, the leftmost of equals, until no pair merges.
    std::vector<bpe::TokenId> encode(std::string_view text) const {
        std::vector<bpe::TokenId> ids;
        for (const char byte : text) ids.push_back(static_cast<std::uint8_t>(byte));
        for (std::size_t rank = 0; rank < merges.size();) {
            std::size_t at = 0;
            while (at + 1 < ids.size() && (ids[at] != merges[rank].left || ids[at + 1] != merges[rank].right))
                ++at;
            if (at + 1 >= ids.size()) {
                ++rank;
                continue;
            }
            ids[at] = merges[rank].result;
            ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
            rank = 0;
        }
        return ids;
    }

    bpe::Encoder encoder() const {
        return {make_vocabulary(tokens, merges), bpe::SpecialTokens(), {}, std::nullopt};
    }
};

}  // namespace

TEST_CASE("merging and cutting between characters of three bytes give the ids of the definition") {
    std::mt19937 random(3);
    for (int vocabulary = 0; vocabulary < 60; ++vocabulary) {
        const Alphabet alphabet = vocabulary % 3 == 0 ? Alphabet(narrow) : Alphabet(wide);
        const Rules rules(random, alphabet, vocabulary % 2 == 0);
        const bpe::Encoder encoder = rules.encoder();
        for (int trial = 0; trial < 20; ++trial) {
            // In memory of exactly its size: the sanitizer sees every byte that is read behind it.
            const std::string text = random_text(random, alphabet, 1 + random() % (trial < 15 ? 30 : 150));
            const std::vector<std::uint8_t> exact(text.begin(), text.end());
            const std::vector<bpe::Bytes> pretokens = {exact};
            const std::vector<bpe::TokenId> expected = rules.encode(text);
            for (int pass = 0; pass < 2; ++pass) {
                bpe::IdBuffer ids;
                encoder.encode_pretokens(pretokens, ids);
                CHECK(std::vector<bpe::TokenId>(ids.span().begin(), ids.span().end()) == expected);
            }
        }
    }
}

TEST_CASE("a long pre-token, merged in windows, has the ids of the definition") {
    std::mt19937 random(5);
    for (int vocabulary = 0; vocabulary < 30; ++vocabulary) {
        // A few letters: what is merged at one place depends on much of what is before it.
        Rules rules(random, narrow, vocabulary % 2 == 0);
        const bool runs = vocabulary % 3 == 0;
        if (runs) rules.add_runs(7);  // tokens that are longer than a window
        const bpe::Encoder encoder = rules.encoder();
        for (int trial = 0; trial < 20; ++trial) {
            std::string text = random_text(random, narrow, 40 + random() % 300);
            if (runs) text.insert(random() % text.size(), 30 + random() % 300, 'a');
            bpe::IdBuffer ids;
            const std::vector<bpe::Bytes> pretokens = {bpe::as_bytes(text)};
            encoder.encode_pretokens(pretokens, ids);
            CAPTURE(text);
            CHECK(std::ranges::equal(ids.span(), rules.encode(text)));
        }
    }
}

TEST_CASE("a cache forgets nothing until it is full, and never gives other ids") {
    const auto ids_of = [](bpe::TokenId k) {
        std::vector<bpe::TokenId> ids(1 + k % 7);  // in the entry, and beside it
        std::iota(ids.begin(), ids.end(), k);
        return ids;
    };
    SUBCASE("short") {
        constexpr bpe::TokenId kept = 1U << 18;
        bpe::PretokenCache cache(kept / 10);
        const auto key_of = [](bpe::TokenId k) {
            const std::string text = std::to_string(k);
            const bpe::Bytes bytes = bpe::as_bytes(text);
            return bpe::Key16::load(bytes.data(), bytes.size(), bytes.data() + bytes.size());
        };
        const auto known = [&](bpe::TokenId k) {
            const bpe::Key16 key = key_of(k);
            std::array<bpe::TokenId, bpe::PretokenCache::max_ids> ids;
            const std::size_t count = bpe::PretokenCache::View(cache).find(key, key.hash(), ids.data());
            if (count != 0) REQUIRE(std::vector(ids.begin(), ids.begin() + count) == ids_of(k));
            if (count == 0) cache.insert(key, key.hash(), ids_of(k).data(), ids_of(k).size());
            return count != 0;
        };
        // Those with one id are known from the start, and make way for others.
        for (bpe::TokenId k = 0; k < kept; k += 7) cache.insert_seed(key_of(k), key_of(k).hash(), k);
        for (bpe::TokenId k = 0; k < kept; ++k) REQUIRE(known(k) == (k % 7 == 0));
        for (bpe::TokenId k = 0; k < kept; ++k) REQUIRE(known(k));
        for (bpe::TokenId k = kept; k < 600'000; ++k) REQUIRE_FALSE(known(k));
        for (bpe::TokenId k = 0; k < 600'000; ++k) known(k);
    }
    SUBCASE("long") {
        bpe::LongCache cache;
        const auto known = [&](bpe::TokenId k) {
            const std::string text = std::to_string(k) + std::string(20 + k % 200, '-');
            const std::uint64_t hash = bpe::hash_bytes(bpe::as_bytes(text));
            bpe::IdBuffer ids;
            if (cache.find(bpe::as_bytes(text), hash, ids)) {
                REQUIRE(std::vector(ids.span().begin(), ids.span().end()) == ids_of(k));
                return true;
            }
            cache.insert(bpe::as_bytes(text), hash, ids_of(k).data(), ids_of(k).size());
            return false;
        };
        constexpr bpe::TokenId kept = 60'000;
        for (bpe::TokenId k = 0; k < kept; ++k) REQUIRE_FALSE(known(k));
        for (bpe::TokenId k = 0; k < kept; ++k) REQUIRE(known(k));
        for (bpe::TokenId k = kept; k < 300'000; ++k) REQUIRE_FALSE(known(k));
        for (bpe::TokenId k = 0; k < 300'000; ++k) known(k);
    }
}
