#include "bpe/chunks.hpp"

#include <algorithm>
#include <cstring>

namespace bpe {
namespace {

bool is_visible_ascii(std::uint8_t byte) {
    return byte > 0x20 && byte < 0x7f;
}

// The lead bytes of the characters that are not white space for sure: white space beyond ASCII starts with
// C2, E1, E2 or E3 (U+0085, U+00A0, U+1680, U+2000..., U+3000).
bool leads_visible(std::uint8_t byte) {
    return is_visible_ascii(byte) || (byte >= 0xe4 && byte <= 0xef) || (byte >= 0xc3 && byte <= 0xdf) ||
           (byte >= 0xf0 && byte <= 0xf4);
}

// Whether the character that ends right before `at` is surely not white space.
bool visible_before(const std::uint8_t* begin, const std::uint8_t* at) {
    if (at == begin) return false;
    const std::uint8_t last = at[-1];
    if (last < 0x80) return is_visible_ascii(last);
    const std::uint8_t* lead = at - 1;
    while (lead > begin && at - lead < 4 && (*lead & 0xc0) == 0x80) --lead;
    return leads_visible(*lead);
}

// Two places where every built-in pattern ends one pre-token and starts the next, whatever surrounds them:
//  - before a space that follows a visible character: no pattern continues over it, and no look-ahead sees
//    further than that space;
//  - after a single line feed between two visible characters, unless the next one is "/" (o200k takes it with
//    the line feed): the letter, digit or symbol that follows starts afresh.
bool is_safe_cut(const std::uint8_t* begin, const std::uint8_t* at, const std::uint8_t* end) {
    if (*at == ' ') return visible_before(begin, at);
    return at - begin >= 2 && at[-1] == '\n' && *at != '/' && leads_visible(*at) && at < end &&
           visible_before(begin, at - 1);
}

bool special_token_crosses(const SpecialTokens& specials, const std::uint8_t* begin, const std::uint8_t* at,
                           const std::uint8_t* end) {
    if (specials.empty()) return false;
    const auto reach = std::min<std::size_t>(specials.max_length() - 1, static_cast<std::size_t>(at - begin));
    for (const std::uint8_t* start = at - reach; start < at; ++start) {
        const auto match = specials.match_at(start, end);
        if (match && match->end > at) return true;
    }
    return false;
}

}  // namespace

std::vector<Bytes> split_into_chunks(Bytes text, const SpecialTokens& specials, std::size_t target_bytes) {
    std::vector<Bytes> chunks;
    const std::uint8_t* begin = text.data();
    const std::uint8_t* const end = begin + text.size();
    while (static_cast<std::size_t>(end - begin) > target_bytes) {
        const std::uint8_t* cut = begin + target_bytes;
        while (cut < end &&
               !(is_safe_cut(begin, cut, end) && !special_token_crosses(specials, begin, cut, end)))
            ++cut;
        if (cut == end) break;
        chunks.emplace_back(begin, cut);
        begin = cut;
    }
    if (begin < end) chunks.emplace_back(begin, end);
    return chunks;
}

}  // namespace bpe
