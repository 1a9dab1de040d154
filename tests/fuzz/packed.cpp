// Blocks of packed counts that may be anything: refused with std::invalid_argument, or read the same in every
// way.
#include <optional>
#include <stdexcept>

#include "../csrc/engine.hpp"
#include "bpe/pack.hpp"
#include "fuzz.hpp"

namespace {

template <class Read>
auto refused_or(Read read) -> std::optional<decltype(read())> {
    try {
        return read();
    } catch (const std::invalid_argument&) {
        return std::nullopt;
    }
}

Words words_in(bpe::Bytes packed) {
    bpe::WordCounts counts;
    bpe::unpack(packed, counts);
    return words_of(counts);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(data, size);
    const std::size_t max_words = input.number(8);
    std::vector<std::uint8_t> packed = input.rest();
    const auto words = refused_or([&] { return words_in(packed); });
    const std::array<bpe::Bytes, 1> blocks = {packed};
    const auto merged = refused_or([&] { return bpe::merge_packed(blocks); });
    fuzz::check(words.has_value() == merged.has_value(), "the same blocks are refused");
    if (words) fuzz::check(words_in(bpe::as_bytes(*merged)) == *words, "merging one block changes no count");
    const auto pruned = refused_or([&] { return bpe::prune_packed(packed, max_words); });
    fuzz::check(words.has_value() == pruned.has_value(), "the same blocks are refused when pruned");
    if (pruned) {
        const Words left = words_in(bpe::as_bytes(pruned->packed));
        std::uint64_t dropped = 0;
        for (const auto& [word, count] : *words) {
            const auto kept = left.find(word);
            if (kept == left.end()) {
                dropped += count;
                fuzz::check(count <= pruned->largest_dropped, "no dropped word was more frequent");
            } else {
                fuzz::check(count == kept->second && count > pruned->largest_dropped,
                            "the words that stay are the most frequent");
            }
        }
        fuzz::check(dropped == pruned->total_dropped, "the dropped counts are added up");
    }
    return 0;
}
