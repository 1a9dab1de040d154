#include "bpe/chunks.hpp"

#include <algorithm>
#include <cstring>

namespace bpe {
namespace {

bool is_visible_ascii(std::uint8_t byte) {
    return byte > 0x20 && byte < 0x7f;
}

// The lead bytes of characters that are certainly not white space: white space beyond ASCII starts with C2,
// E1, E2 or E3 (U+0085, U+00A0, U+1680, U+2000..., U+3000).
bool leads_visible(std::uint8_t byte) {
    return is_visible_ascii(byte) || (byte >= 0xe4 && byte <= 0xef) || (byte >= 0xc3 && byte <= 0xdf) ||
           (byte >= 0xf0 && byte <= 0xf4);
}

// Whether the character that ends at `at` is certainly not white space.
bool visible_before(const std::uint8_t* begin, const std::uint8_t* at) {
    if (at == begin) return false;
    const std::uint8_t last = at[-1];
    if (last < 0x80) return is_visible_ascii(last);
    const std::uint8_t* lead = at - 1;
    while (lead > begin && at - lead < 4 && (*lead & 0xc0) == 0x80) --lead;
    return leads_visible(*lead);
}

// There are two kinds of places where every built-in pattern ends one pre-token and starts the next, whatever
// surrounds them:
//  - before a space that follows a visible character: no pattern continues across it, and no look-ahead sees
//    beyond that space;
//  - after a single line feed between two visible characters, unless the next one is "/" (o200k joins it
//    to the line feed): the letter, digit or symbol that follows starts a new pre-token.
bool is_safe_cut(const std::uint8_t* begin, const std::uint8_t* at) {
    if (*at == ' ') return visible_before(begin, at);
    return at - begin >= 2 && at[-1] == '\n' && *at != '/' && leads_visible(*at) &&
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

const std::uint8_t* first_safe_cut(Bytes text, const SpecialTokens& specials, std::size_t from) {
    const std::uint8_t* const begin = text.data();
    const std::uint8_t* const end = begin + text.size();
    for (const std::uint8_t* cut = begin + std::min(from, text.size()); cut < end; ++cut) {
        if (is_safe_cut(begin, cut) && !special_token_crosses(specials, begin, cut, end)) return cut;
    }
    return end;
}

}  // namespace

Bytes next_chunk(Bytes rest, const SpecialTokens& specials, std::size_t target_bytes) {
    return {rest.data(), first_safe_cut(rest, specials, target_bytes)};
}

Bytes part_of(Bytes text, const SpecialTokens& specials, std::size_t start, std::optional<std::size_t> stop) {
    const std::uint8_t* const begin = start == 0 ? text.data() : first_safe_cut(text, specials, start);
    return {begin, std::max(begin, first_safe_cut(text, specials, stop.value_or(text.size())))};
}

std::vector<Bytes> split_into_chunks(Bytes text, const SpecialTokens& specials, std::size_t target_bytes) {
    std::vector<Bytes> chunks;
    while (!text.empty()) {
        chunks.push_back(next_chunk(text, specials, target_bytes));
        text = text.subspan(chunks.back().size());
    }
    return chunks;
}

std::size_t last_safe_cut(Bytes text, const SpecialTokens& specials) {
    // Text behind the cut must be as long as a special token, to make sure that none crosses the cut.
    const std::size_t look_ahead = std::max<std::size_t>(1, specials.max_length());
    if (text.size() <= look_ahead) return 0;
    const std::uint8_t* const begin = text.data();
    const std::uint8_t* const end = begin + text.size();
    for (const std::uint8_t* cut = end - look_ahead; cut > begin; --cut) {
        if (is_safe_cut(begin, cut) && !special_token_crosses(specials, begin, cut, end)) {
            return static_cast<std::size_t>(cut - begin);
        }
    }
    return 0;
}

}  // namespace bpe
