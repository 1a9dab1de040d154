#include "bpe/merge.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace bpe {
namespace {

// Up to this length the rescan is faster than the queue (measured on English and Chinese pre-tokens).
constexpr std::size_t longest_short = 48;

constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

}  // namespace

void Merger::merge(const Vocabulary& vocabulary, Bytes pretoken, IdBuffer& ids) {
    // Each byte takes up to three places in the queue, which are counted in 32 bits.
    if (pretoken.size() > std::size_t{1} << 30) {
        throw std::length_error("a single pre-token is longer than 1 GiB");
    }
    std::size_t window = longest_short;
    std::size_t begin = ids.size();  // where the ids of the window begin
    merge_at_once(vocabulary, pretoken.first(std::min(window, pretoken.size())), ids);
    while (pretoken.size() > window) {
        // The next window begins where one of the last tokens does.
        std::size_t kept = ids.size();
        std::size_t behind = 0;
        while (kept > begin && behind < window / 4) behind += vocabulary.bytes(ids.data()[--kept]).size();
        const std::size_t next = ids.size();
        if (kept > begin) {
            const Bytes rest = pretoken.subspan(window - behind);
            merge_at_once(vocabulary, rest.first(std::min(window, rest.size())), ids);
            if (ids.data()[next] == ids.data()[kept]) {
                ids.erase(kept, next);
                begin = kept;
                pretoken = rest;
                continue;
            }
        }
        ids.erase(begin, ids.size());
        window *= 2;
        merge_at_once(vocabulary, pretoken.first(std::min(window, pretoken.size())), ids);
    }
}

void Merger::merge_at_once(const Vocabulary& vocabulary, Bytes text, IdBuffer& ids) {
    if (text.size() <= longest_short) {
        merge_short(vocabulary, text, ids);
    } else {
        merge_long(vocabulary, text, ids);
    }
}

void Merger::merge_short(const Vocabulary& vocabulary, Bytes pretoken, IdBuffer& ids) {
    // symbol[i] and the rule of the pair (symbol[i], symbol[i + 1]); the last symbol has no rule.
    std::array<TokenId, longest_short> symbol;
    std::array<std::uint32_t, longest_short> rank;
    std::size_t count = pretoken.size();
    for (std::size_t i = 0; i < count; ++i) symbol[i] = vocabulary.byte_id(pretoken[i]);
    for (std::size_t i = 0; i + 1 < count; ++i) rank[i] = vocabulary.byte_rank(pretoken[i], pretoken[i + 1]);
    while (count > 1) {
        std::size_t best = 0;
        for (std::size_t i = 1; i + 1 < count; ++i) {
            if (rank[i] < rank[best]) best = i;
        }
        if (rank[best] == MergeTable::no_rank) break;
        symbol[best] = vocabulary.result(rank[best]);
        --count;
        const std::size_t tail = count - best - 1;
        std::memmove(&symbol[best] + 1, &symbol[best] + 2, tail * sizeof(TokenId));
        std::memmove(&rank[best], &rank[best] + 1, tail * sizeof(std::uint32_t));
        if (best > 0) rank[best - 1] = vocabulary.rank(symbol[best - 1], symbol[best]);
        if (best + 1 < count) rank[best] = vocabulary.rank(symbol[best], symbol[best + 1]);
    }
    ids.reserve_more(count);
    std::memcpy(ids.end(), symbol.data(), count * sizeof(TokenId));
    ids.advance(count);
}

void Merger::merge_long(const Vocabulary& vocabulary, Bytes pretoken, IdBuffer& ids) {
    const auto count = static_cast<std::uint32_t>(pretoken.size());
    symbols_.resize(count);
    queue_.prepare(vocabulary.num_rules());
    for (std::uint32_t i = count; i-- > 0;) {
        const bool last = i + 1 == count;
        const std::uint32_t rank =
            last ? MergeTable::no_rank : vocabulary.byte_rank(pretoken[i], pretoken[i + 1]);
        symbols_[i] = {vocabulary.byte_id(pretoken[i]), i - 1, last ? none : i + 1, rank};
        if (rank != MergeTable::no_rank) queue_.push(rank, i);
    }
    std::uint32_t rank = 0;
    bool overtaken = false;  // a pair that is to be merged before the remaining ones of this rank
    const auto update = [&](std::uint32_t place) {
        Symbol& left = symbols_[place];
        left.rank =
            left.next == none ? MergeTable::no_rank : vocabulary.rank(left.id, symbols_[left.next].id);
        if (left.rank == MergeTable::no_rank) return;
        queue_.push(left.rank, place);
        if (left.rank <= rank) overtaken = true;
    };
    while (queue_.pop(rank, places_)) {
        const TokenId made = vocabulary.result(rank);
        for (std::size_t k = 0; k < places_.size(); ++k) {
            const std::uint32_t place = places_[k];
            Symbol& left = symbols_[place];
            // Stale if the pair has changed since; a consumed symbol no longer has a rank.
            if (left.rank != rank) continue;
            Symbol& right = symbols_[left.next];
            left.id = made;
            left.next = right.next;
            if (left.next != none) symbols_[left.next].previous = place;
            right.rank = MergeTable::no_rank;
            update(place);
            if (place != 0) update(left.previous);
            if (!overtaken) continue;
            // Does not happen with learned merges: there, rules for a token come after the rule that makes
            // it.
            for (std::size_t rest = places_.size(); rest-- > k + 1;) queue_.push(rank, places_[rest]);
            overtaken = false;
            break;
        }
    }
    for (std::uint32_t i = 0; i != none; i = symbols_[i].next) ids.push(symbols_[i].id);
}

}  // namespace bpe
