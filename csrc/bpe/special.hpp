// Special tokens: strings that cut the text before pre-tokenization.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bpe {

class SpecialTokens {
  public:
    struct Match {
        const std::uint8_t* begin;
        const std::uint8_t* end;
        std::uint32_t index;  // position in the list given to the constructor
    };

    SpecialTokens() = default;

    // Throws std::invalid_argument for an empty or repeated token.
    explicit SpecialTokens(std::vector<std::string> tokens);

    bool empty() const { return tokens_.empty(); }
    std::size_t size() const { return tokens_.size(); }
    std::size_t max_length() const { return max_length_; }

    // The leftmost special token in [begin, end), the longest of those that start there.
    std::optional<Match> find(const std::uint8_t* begin, const std::uint8_t* end) const;

    // The longest special token that starts exactly at `begin`.
    std::optional<Match> match_at(const std::uint8_t* begin, const std::uint8_t* end) const;

  private:
    // Sorted by bytes, so that tokens with a common prefix are adjacent.
    struct Token {
        std::string bytes;
        std::uint32_t index;
    };
    std::vector<Token> tokens_;
    std::array<bool, 256> starts_{};
    std::vector<std::uint8_t> first_bytes_;  // the distinct ones; if there is only one, memchr finds it
    std::size_t max_length_ = 0;
};

}  // namespace bpe
