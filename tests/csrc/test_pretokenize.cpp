#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "bpe/bytes.hpp"
#include "bpe/pretokenize.hpp"

namespace {

constexpr std::array patterns{bpe::Pattern::gpt2,     bpe::Pattern::cl100k, bpe::Pattern::o200k,
                              bpe::Pattern::deepseek, bpe::Pattern::qwen2,  bpe::Pattern::llama3,
                              bpe::Pattern::starcoder};

// The ends of the pre-tokens, found with room for `capacity` of them at a time.
std::vector<std::size_t> cuts(bpe::Pattern pattern, bpe::Bytes text, std::size_t capacity,
                              bpe::BlockCutter cutter) {
    std::vector<const std::uint8_t*> ends(capacity);
    std::vector<std::size_t> places;
    const std::uint8_t* begin = text.data();
    const std::uint8_t* const end = begin + text.size();
    while (begin < end) {
        const std::size_t count = bpe::pretokenize(pattern, begin, end, ends.data(), capacity, cutter);
        REQUIRE((count > 0 && count <= capacity));
        for (std::size_t k = 0; k < count; ++k)
            places.push_back(static_cast<std::size_t>(ends[k] - text.data()));
        begin = ends[count - 1];
    }
    return places;
}

// Every way to cut blocks against the scanner without blocks, which is used where there is room for one end.
void check_all(const std::string& text) {
    const bpe::Bytes bytes = bpe::as_bytes(text);
    for (const bpe::Pattern pattern : patterns) {
        const auto expected = cuts(pattern, bytes, 1, bpe::BlockCutter::any_processor);
        for (const bpe::BlockCutter cutter : bpe::available_block_cutters()) {
            for (const std::size_t capacity : {64U, 100U, 1000U}) {
                CAPTURE(text);
                CAPTURE(static_cast<int>(pattern));
                CHECK(cuts(pattern, bytes, capacity, cutter) == expected);
            }
        }
    }
}

}  // namespace

TEST_CASE("blocks of ASCII are cut as without blocks, whatever they contain") {
    constexpr std::string_view alphabets[] = {
        "abcdefgh tuvwxyz'ST", "ab 'sltdmrve", "a '",       "aB1 \n/'.",
        "0123456789 a",        " \n\r\t a.",   "'\"!? /\n", "ab \x1f\x7f",
    };
    std::mt19937 random(1);
    for (int round = 0; round < 400; ++round) {
        const std::string_view alphabet = alphabets[random() % std::size(alphabets)];
        std::string text;
        const std::size_t size = random() % 400;
        while (text.size() < size) {
            if (random() % 300 == 0) {
                text += random() % 2 == 0 ? "\u00e9" : "\u2019\u4e2d";
            } else {
                text += alphabet[random() % alphabet.size()];
            }
        }
        check_all(text);
    }
}

TEST_CASE("a contraction, a run of blanks, digits or symbols at every place of two blocks") {
    for (const std::string_view piece :
         {"'ll", "'s", "'re ", " 's", "''ve", "'s'd", "'l", "  ", " \n ", "12345", "?!'", "\u00e9"}) {
        for (std::size_t place = 0; place < 140; ++place) {
            std::string text(150, 'x');
            text.insert(place, piece);
            check_all(text);
            for (std::size_t k = 5; k < text.size(); k += 7) {
                if (text[k] == 'x') text[k] = ' ';
            }
            check_all(text);
        }
    }
}
