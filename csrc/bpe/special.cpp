#include "bpe/special.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace bpe {

SpecialTokens::SpecialTokens(std::vector<std::string> tokens) {
    for (std::size_t index = 0; index < tokens.size(); ++index) {
        if (tokens[index].empty()) throw std::invalid_argument("a special token must not be empty");
        const auto first = static_cast<std::uint8_t>(tokens[index].front());
        if (!starts_[first]) first_bytes_.push_back(first);
        starts_[first] = true;
        max_length_ = std::max(max_length_, tokens[index].size());
        tokens_.push_back({std::move(tokens[index]), static_cast<std::uint32_t>(index)});
    }
    std::sort(tokens_.begin(), tokens_.end(),
              [](const Token& a, const Token& b) { return a.bytes < b.bytes; });
    const auto repeated = std::adjacent_find(
        tokens_.begin(), tokens_.end(), [](const Token& a, const Token& b) { return a.bytes == b.bytes; });
    if (repeated != tokens_.end()) {
        throw std::invalid_argument("special token given twice: " + repeated->bytes);
    }
}

std::optional<SpecialTokens::Match> SpecialTokens::match_at(const std::uint8_t* begin,
                                                            const std::uint8_t* end) const {
    // Narrow the sorted list byte by byte to the tokens that agree with the text so far. A token that ends at
    // this byte is the first of them.
    auto low = tokens_.begin();
    auto high = tokens_.end();
    std::optional<Match> longest;
    for (const std::uint8_t* at = begin; at < end && low != high; ++at) {
        const auto depth = static_cast<std::size_t>(at - begin);
        const auto byte_at = [depth](const Token& token) {
            return static_cast<std::uint8_t>(token.bytes[depth]);
        };
        low = std::partition_point(low, high, [&](const Token& token) { return byte_at(token) < *at; });
        high = std::partition_point(low, high, [&](const Token& token) { return byte_at(token) == *at; });
        if (low != high && low->bytes.size() == depth + 1) {
            longest = Match{begin, at + 1, low->index};
            ++low;
        }
    }
    return longest;
}

std::optional<SpecialTokens::Match> SpecialTokens::find(const std::uint8_t* begin,
                                                        const std::uint8_t* end) const {
    if (tokens_.empty()) return std::nullopt;
    const bool one_first_byte = first_bytes_.size() == 1;
    for (const std::uint8_t* at = begin; at < end; ++at) {
        if (one_first_byte) {
            at = static_cast<const std::uint8_t*>(
                std::memchr(at, first_bytes_.front(), static_cast<std::size_t>(end - at)));
            if (at == nullptr) return std::nullopt;
        } else {
            while (at < end && !starts_[*at]) ++at;
            if (at == end) return std::nullopt;
        }
        if (auto match = match_at(at, end)) return match;
    }
    return std::nullopt;
}

}  // namespace bpe
