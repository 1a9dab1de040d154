#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bpe/encode.hpp"
#include "bpe/id_batch.hpp"
#include "bpe/parallel.hpp"
#include "bpe/train.hpp"
#include "bpe/vocabulary.hpp"
#include "engine.hpp"

namespace {

// The bytes, 60 merges learned from the documents, and a special token.
bpe::Encoder make_encoder(const std::vector<bpe::Bytes>& documents) {
    bpe::WordCounts counts = count(documents, 1);
    std::vector<std::string> tokens = byte_tokens();
    std::vector<bpe::Merge> rules;
    for (const auto& [left, right] : bpe::train(counts, 60, 1, keep_going).merges) {
        rules.push_back({left, right, static_cast<bpe::TokenId>(tokens.size())});
        tokens.push_back(tokens[left] + tokens[right]);
    }
    tokens.emplace_back(special);
    const auto special_id = static_cast<bpe::TokenId>(tokens.size() - 1);
    return {make_vocabulary(tokens, rules), special_tokens(), {special_id}, bpe::Pattern::gpt2};
}

}  // namespace

TEST_CASE("a batch has the ids of its texts, one after the other, on any number of threads") {
    std::vector<std::string> documents = make_documents();
    // Groups end inside of empty texts, and short texts share one.
    documents.insert(documents.begin() + 20, 300, "");
    documents.insert(documents.begin() + 30, 20'000, " the fox");
    documents.emplace_back();
    const std::vector<bpe::Bytes> views = as_bytes(documents);
    const bpe::Encoder encoder = make_encoder(as_bytes(make_documents()));
    const auto special_id = static_cast<bpe::TokenId>(encoder.vocabulary().size() - 1);

    std::vector<std::uint16_t> expected;
    std::vector<std::int64_t> offsets = {0};
    for (const bpe::Bytes text : views) {
        bpe::IdBuffer ids;
        encoder.encode(text, true, ids);
        expected.insert(expected.end(), ids.span().begin(), ids.span().end());
        offsets.push_back(static_cast<std::int64_t>(expected.size()));
    }
    std::string decoded;
    for (const bpe::TokenId id : expected) decoded += encoder.vocabulary().bytes(id);
    const auto pieces = std::accumulate(documents.begin(), documents.end(), std::string());
    CHECK((decoded == pieces));                   // in parentheses: a failure prints no megabytes
    CHECK(expected.size() < decoded.size() / 2);  // merges are applied
    CHECK(std::ranges::count(expected, special_id) > 0);

    for (const std::size_t num_threads : {0, 1, 2, 4, 9}) {
        CAPTURE(num_threads);
        const auto batch = encoder.encode_all<std::uint16_t>(views, true, num_threads, keep_going);
        CHECK((batch.offsets == offsets));
        CHECK(std::ranges::equal(batch.ids.span(), expected));
        const auto wide = encoder.encode_all<std::uint32_t>(views, true, num_threads, keep_going);
        CHECK((wide.offsets == offsets));
        CHECK(std::ranges::equal(wide.ids.span(), expected));
    }
}

TEST_CASE("a batch without texts, and one without bytes, has no ids") {
    const bpe::Encoder encoder = make_encoder(as_bytes(make_documents()));
    const auto none = encoder.encode_all<std::uint16_t>({}, true, 2, keep_going);
    CHECK(none.ids.size == 0);
    CHECK((none.offsets == std::vector<std::int64_t>{0}));
    const auto empty = encoder.encode_all<std::uint16_t>(std::vector<bpe::Bytes>(3), true, 2, keep_going);
    CHECK(empty.ids.size == 0);
    CHECK((empty.offsets == std::vector<std::int64_t>(4)));
}

TEST_CASE("a batch is cancelled by its tick") {
    const std::vector<std::string> documents = make_documents();
    std::vector<bpe::Bytes> views;
    for (int k = 0; k < 400; ++k) std::ranges::copy(as_bytes(documents), std::back_inserter(views));
    const bpe::Encoder encoder = make_encoder(as_bytes(documents));
    std::uint64_t total = 0;
    CHECK_THROWS_AS(encoder.encode_all<std::uint16_t>(views, true, 2,
                                                      [&](std::uint64_t done, std::uint64_t all) {
                                                          total = all;
                                                          CHECK(done < all);
                                                          return false;
                                                      }),
                    bpe::Cancelled);
    CHECK(total == 400 * std::accumulate(documents.begin(), documents.end(), std::uint64_t{0},
                                         [](auto sum, const auto& text) { return sum + text.size(); }));
}

TEST_CASE("a job on the calling thread is cancelled by its tick, too") {
    std::size_t rounds = 0;
    CHECK_THROWS_AS(bpe::run_here(
                        100, [](std::uint64_t done, std::uint64_t all) { return done == all; },
                        [&](std::size_t, bpe::Progress& progress) {
                            for (; rounds < 100; ++rounds) {
                                std::this_thread::sleep_for(std::chrono::milliseconds(30));
                                ++progress.done;
                                progress.tick_here();
                            }
                        }),
                    bpe::Cancelled);
    CHECK(rounds < 50);
}

TEST_CASE("ids come in the order of their groups, handed over in any order, also when the array must grow") {
    // Each has more ids than those before it, for as many bytes: always more than was expected.
    std::vector<std::vector<bpe::TokenId>> groups(60);
    for (std::size_t k = 0; k < groups.size(); ++k) {
        groups[k].assign(k * k * 4, static_cast<bpe::TokenId>(k));
    }
    std::vector<std::uint16_t> expected;
    for (const auto& group : groups) expected.insert(expected.end(), group.begin(), group.end());
    std::vector<std::size_t> order(groups.size());
    std::iota(order.begin(), order.end(), 0U);
    std::mt19937 random(3);
    for (int round = 0; round < 50; ++round) {
        std::ranges::shuffle(order, random);
        bpe::IdCollector<std::uint16_t> collected(20'000 * groups.size());
        bpe::run_parallel(3, 1, keep_going, [&](std::size_t worker, bpe::Progress&) {
            for (std::size_t k = worker; k < order.size(); k += 3) {
                collected.put(order[k], std::span<const bpe::TokenId>(groups[order[k]]), 20'000);
            }
        });
        CHECK(std::ranges::equal(collected.take().span(), expected));
    }
}

TEST_CASE("more words than the cache holds: it is emptied while pre-tokens of the same batch wait") {
    const std::vector<std::string> documents = make_documents();
    const bpe::Encoder encoder = make_encoder(as_bytes(documents));
    std::vector<std::string> words;
    for (std::size_t k = 0; k < 300'000; ++k) {
        std::string word = " thefx";
        for (std::size_t place = 1, rest = k * 7; place < word.size(); ++place, rest /= 26) {
            word[place] = static_cast<char>('a' + (static_cast<std::size_t>(word[place] - 'a') + rest) % 26);
        }
        words.push_back(std::move(word));
    }
    std::string text;
    for (const std::string& word : words) text += word;
    bpe::IdBuffer together;
    encoder.encode(bpe::as_bytes(text), false, together);
    bpe::IdBuffer alone;
    make_encoder(as_bytes(documents)).encode_pretokens(as_bytes(words), alone);
    CHECK(std::ranges::equal(together.span(), alone.span()));
}
