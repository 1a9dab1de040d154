// What the fuzz targets share: the bytes of an input taken piece by piece, and a check that stops the fuzzer.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bpe/bytes.hpp"
#include "bpe/pretokenize.hpp"

namespace fuzz {

inline void check(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "fuzz target: it does not hold that %s\n", what);
    std::abort();
}

class Input {
  public:
    Input(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}

    // A number below `limit`, at most 256; 0 when nothing is left.
    std::size_t number(std::size_t limit) { return rest_.empty() ? 0 : take(1)[0] % limit; }

    // The next bytes in memory of their own, so that AddressSanitizer sees a read beyond them.
    std::vector<std::uint8_t> bytes(std::size_t count) {
        const bpe::Bytes taken = take(count);
        return {taken.begin(), taken.end()};
    }
    std::vector<std::uint8_t> rest() { return bytes(rest_.size()); }
    bool empty() const { return rest_.empty(); }

  private:
    bpe::Bytes take(std::size_t count) {
        const bpe::Bytes taken = rest_.first(std::min(count, rest_.size()));
        rest_ = rest_.subspan(taken.size());
        return taken;
    }

    bpe::Bytes rest_;
};

inline constexpr std::array patterns = {bpe::Pattern::gpt2,     bpe::Pattern::cl100k, bpe::Pattern::o200k,
                                        bpe::Pattern::deepseek, bpe::Pattern::qwen2,  bpe::Pattern::llama3,
                                        bpe::Pattern::starcoder};

// The pre-tokens of `text`, found with room for `capacity` of them at a time.
inline std::vector<bpe::Bytes> pretokens(bpe::Pattern pattern, bpe::Bytes text, std::size_t capacity = 64,
                                         bpe::BlockCutter cutter = bpe::available_block_cutters().back()) {
    std::vector<bpe::Bytes> pieces;
    std::vector<const std::uint8_t*> ends(capacity);
    const std::uint8_t* begin = text.data();
    const std::uint8_t* const end = begin + text.size();
    while (begin < end) {
        const std::size_t count = bpe::pretokenize(pattern, begin, end, ends.data(), capacity, cutter);
        check(count > 0 && count <= capacity, "pretokenize moves on within its capacity");
        for (std::size_t k = 0; k < count; ++k) {
            check(begin < ends[k] && ends[k] <= end, "pre-tokens are contiguous and not empty");
            pieces.emplace_back(begin, ends[k]);
            begin = ends[k];
        }
    }
    return pieces;
}

}  // namespace fuzz
