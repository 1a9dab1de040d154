// The definitions that the engine must equal, with no thought for speed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace naive {

using Symbols = std::vector<std::string>;
using Pair = std::pair<std::string, std::string>;

inline Symbols split_bytes(std::string_view word) {
    Symbols symbols;
    for (const char byte : word) symbols.emplace_back(1, byte);
    return symbols;
}

// Joins `pair` wherever it stands, from left to right.
inline Symbols merge(const Symbols& word, const Pair& pair) {
    Symbols result;
    for (std::size_t k = 0; k < word.size(); ++k) {
        if (k + 1 < word.size() && word[k] == pair.first && word[k + 1] == pair.second) {
            result.push_back(word[k] + word[k + 1]);
            ++k;
        } else {
            result.push_back(word[k]);
        }
    }
    return result;
}

// Always the pair with the lowest rank now, at its first place.
inline Symbols encode(std::string_view word, const std::map<Pair, std::size_t>& ranks) {
    Symbols symbols = split_bytes(word);
    while (true) {
        std::optional<std::size_t> lowest;
        std::size_t place = 0;
        for (std::size_t k = 0; k + 1 < symbols.size(); ++k) {
            const auto found = ranks.find({symbols[k], symbols[k + 1]});
            if (found != ranks.end() && (!lowest || found->second < *lowest)) {
                lowest = found->second;
                place = k;
            }
        }
        if (!lowest) return symbols;
        symbols[place] += symbols[place + 1];
        symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(place) + 1);
    }
}

// Count all pairs, merge the most frequent one, of equals the greatest; start again.
inline std::vector<std::pair<Pair, std::uint64_t>> train(const std::map<std::string, std::uint64_t>& words,
                                                         std::size_t num_merges) {
    std::vector<std::pair<Symbols, std::uint64_t>> counted;
    counted.reserve(words.size());
    for (const auto& [word, count] : words) counted.emplace_back(split_bytes(word), count);
    std::vector<std::pair<Pair, std::uint64_t>> merges;
    while (merges.size() < num_merges) {
        std::map<Pair, std::uint64_t> pairs;
        for (const auto& [word, count] : counted) {
            for (std::size_t k = 0; k + 1 < word.size(); ++k) pairs[{word[k], word[k + 1]}] += count;
        }
        if (pairs.empty()) break;
        auto best = pairs.begin();
        for (auto pair = pairs.begin(); pair != pairs.end(); ++pair) {
            if (pair->second >= best->second) best = pair;  // in ascending order: the last of equals
        }
        merges.emplace_back(*best);
        for (auto& [word, count] : counted) word = merge(word, best->first);
    }
    return merges;
}

}  // namespace naive
