// Merges recovered from ranks, against their definition.
#include "bpe/ranks.hpp"

#include <set>

#include "../csrc/engine.hpp"
#include "fuzz.hpp"
#include "naive.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(data, size);
    std::vector<std::string> tokens = byte_tokens();
    std::set<std::string> seen(tokens.begin(), tokens.end());
    while (!input.empty()) {
        const std::vector<std::uint8_t> bytes = input.bytes(1 + input.number(12));
        std::string token(bpe::as_string(bytes));
        if (!token.empty() && seen.insert(token).second) tokens.push_back(std::move(token));
    }
    const std::vector<std::string_view> views(tokens.begin(), tokens.end());
    const auto merges = bpe::recover_merges(views);

    // A rank is the place of the product, whatever its parts.
    std::map<std::string, std::size_t> ranks;
    std::size_t found = 0;
    for (std::size_t rank = 0; rank < tokens.size(); ++rank) {
        naive::Symbols parts = naive::split_bytes(tokens[rank]);
        while (parts.size() > 1) {
            std::size_t place = 0;
            std::size_t lowest = rank;
            for (std::size_t k = 0; k + 1 < parts.size(); ++k) {
                const auto product = ranks.find(parts[k] + parts[k + 1]);
                if (product != ranks.end() && product->second < lowest) {
                    lowest = product->second;
                    place = k;
                }
            }
            if (lowest == rank) break;
            parts[place] += parts[place + 1];
            parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(place) + 1);
        }
        ranks[tokens[rank]] = rank;
        if (parts.size() != 2) continue;
        fuzz::check(found < merges.size() && tokens[merges[found].first] == parts[0] &&
                        tokens[merges[found].second] == parts[1],
                    "the two parts of a token are those that lower ranks leave");
        ++found;
    }
    fuzz::check(found == merges.size(), "no other token has two parts");
    return 0;
}
