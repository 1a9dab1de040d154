// Merges recovered from ranks, against their definition.
#include "bpe/ranks.hpp"

#include <set>

#include "../csrc/engine.hpp"
#include "fuzz.hpp"
#include "naive.hpp"

namespace {

// tiktoken's rule: a rank is that of the product, whatever its parts. Stops when `least` parts are left.
naive::Symbols by_joined_rank(const std::string& word, const std::map<std::string, std::size_t>& ranks,
                              std::size_t least) {
    naive::Symbols parts = naive::split_bytes(word);
    while (parts.size() > least) {
        std::size_t place = 0;
        std::size_t lowest = ranks.size();
        for (std::size_t k = 0; k + 1 < parts.size(); ++k) {
            const auto product = ranks.find(parts[k] + parts[k + 1]);
            if (product != ranks.end() && product->second < lowest) {
                lowest = product->second;
                place = k;
            }
        }
        if (lowest == ranks.size()) break;
        parts[place] += parts[place + 1];
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(place) + 1);
    }
    return parts;
}

}  // namespace

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

    std::map<std::string, std::size_t> ranks;
    for (std::size_t rank = 0; rank < tokens.size(); ++rank) ranks[tokens[rank]] = rank;
    std::map<naive::Pair, std::size_t> rules;
    std::size_t found = 0;
    for (const std::string& token : tokens) {
        const naive::Symbols parts = by_joined_rank(token, ranks, 2);
        if (parts.size() != 2) continue;
        fuzz::check(found < merges.size() && tokens[merges[found].first] == parts[0] &&
                        tokens[merges[found].second] == parts[1],
                    "the two parts of a token are those that its bytes are merged into");
        rules[{parts[0], parts[1]}] = found;
        ++found;
    }
    fuzz::check(found == merges.size(), "no other token has two parts");
    for (std::size_t k = 256; k + 1 < tokens.size(); ++k) {
        for (const std::string& text :
             {tokens[k], tokens[k] + tokens[k + 1], tokens[k + 1] + tokens[k].substr(1)}) {
            fuzz::check(naive::encode(text, rules) == by_joined_rank(text, ranks, 1),
                        "the merges give what the ranks of joined tokens give");
        }
    }
    return 0;
}
