// Counting and training against the definition, and packed counts.
#include "bpe/train.hpp"

#include "../csrc/engine.hpp"
#include "bpe/pack.hpp"
#include "fuzz.hpp"
#include "naive.hpp"

namespace {

void check_packing(bpe::WordCounts& counts, const Words& words) {
    const std::string packed = bpe::pack(counts);
    bpe::WordCounts unpacked;
    bpe::unpack(bpe::as_bytes(packed), unpacked);
    fuzz::check(words_of(unpacked) == words, "packed counts are unpacked as they were");
    fuzz::check(bpe::pack(unpacked) == packed, "equal counts are packed alike");
    const std::array twice = {bpe::as_bytes(packed), bpe::as_bytes(packed)};
    bpe::WordCounts doubled;
    bpe::unpack(bpe::as_bytes(bpe::merge_packed(twice)), doubled);
    Words expected = words;
    for (auto& [word, count] : expected) count *= 2;
    fuzz::check(words_of(doubled) == expected, "merged blocks hold the sums");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(data, size);
    const bpe::Pattern pattern = fuzz::patterns[input.number(fuzz::patterns.size())];
    const std::size_t num_merges = input.number(64);
    const std::size_t num_threads = input.number(64) == 63 ? 2 : 1;
    const std::size_t repeats = 1 + input.number(4);
    const bpe::SpecialTokens specials = special_tokens();

    bpe::WordCounts counts;
    Words words;
    for (std::size_t length = input.number(256); !input.empty(); length = input.number(256)) {
        const std::vector<std::uint8_t> document = input.bytes(length + 1);
        const std::vector<bpe::Bytes> documents(repeats, document);
        counts.add_documents(documents, pattern, specials, num_threads, keep_going);
        bpe::Bytes rest = document;
        while (!rest.empty()) {
            const std::size_t stop = std::min(bpe::as_string(rest).find(special), rest.size());
            for (const bpe::Bytes piece : fuzz::pretokens(pattern, rest.first(stop))) {
                words[std::string(bpe::as_string(piece))] += repeats;
            }
            rest = rest.subspan(std::min(stop + special.size(), rest.size()));
        }
    }
    fuzz::check(words_of(counts) == words, "every pre-token is counted");
    check_packing(counts, words);

    const bpe::TrainResult result = bpe::train(counts, num_merges, num_threads, keep_going);
    const auto expected = naive::train(words, num_merges);
    fuzz::check(result.merges.size() == expected.size(), "there are as many merges");
    std::vector<std::string> tokens = byte_tokens();
    for (std::size_t k = 0; k < expected.size(); ++k) {
        const auto [left, right] = result.merges[k];
        const auto& [pair, count] = expected[k];
        fuzz::check(naive::Pair{tokens[left], tokens[right]} == pair,
                    "the merges are those of the definition");
        fuzz::check(result.counts[k] == count, "the counts are those of the definition");
        tokens.push_back(tokens[left] + tokens[right]);
    }
    return 0;
}
