#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bpe/encode.hpp"
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

TEST_CASE("encoding gives the same ids on one and four threads, and decoding gives the text back") {
    const std::vector<std::string> documents = make_documents();
    const std::vector<bpe::Bytes> views = as_bytes(documents);
    const bpe::Encoder encoder = make_encoder(views);
    const auto special_id = static_cast<bpe::TokenId>(encoder.vocabulary().size() - 1);

    const auto alone = encoder.encode_all<std::uint16_t>(views, true, 1, keep_going);
    const auto together = encoder.encode_all<std::uint16_t>(views, true, 4, keep_going);
    REQUIRE(alone.size() == documents.size());
    REQUIRE(together.size() == documents.size());
    for (std::size_t k = 0; k < documents.size(); ++k) {
        CAPTURE(k);
        const auto ids = alone[k].span();
        CHECK(std::ranges::equal(ids, together[k].span()));
        std::string decoded;
        for (const bpe::TokenId id : ids) decoded += encoder.vocabulary().bytes(id);
        CHECK((decoded == documents[k]));             // in parentheses: a failure prints no 60 KB
        CHECK(ids.size() < documents[k].size() / 2);  // merges are applied
        CHECK(std::ranges::count(ids, special_id) > 0);
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
