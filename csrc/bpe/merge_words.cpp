#include "bpe/merge_words.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace bpe {
namespace {

// So many words take turns.
constexpr std::size_t num_lanes = 16;

// Place k is for the symbol that begins with byte k - 1 of a word; place 0 is before its first.
constexpr std::uint32_t num_places = 16;
static_assert(Key16::max_length < num_places);

// A pair of neighbouring symbols as one number: the rank of its rule, and below it the place of the first
// symbol. The least of all is the pair to be merged next, the lowest rank, the leftmost of equals.
using Pair = std::int32_t;
constexpr unsigned place_bits = 4;
constexpr Pair no_pair = std::numeric_limits<Pair>::max();
static_assert(MergeTable::max_rules << place_bits < std::size_t{no_pair});

Pair make_pair(std::uint32_t rank, std::uint32_t place) {
    return static_cast<Pair>((rank << place_bits | place) & std::uint32_t{no_pair});  // no_pair for no_rank
}

using FourPairs = Pair __attribute__((vector_size(4 * sizeof(Pair))));

FourPairs least(FourPairs a, FourPairs b) {
    return a < b ? a : b;
}

// A word while it is merged.
struct Lane {
    Word* word;
    alignas(64) std::array<Pair, num_places> pairs;  // by the place of the first symbol
    std::array<TokenId, num_places> symbols;
    std::uint32_t
        begins;  // a bit for each place where a symbol begins, for place 0 and the one behind the word
    std::uint32_t behind;  // that place

    // Where the last merge was: its neighbours and itself.
    std::uint32_t left;
    std::uint32_t place;
    std::uint32_t right;

    TokenId left_symbol() const { return symbols[left]; }
    TokenId right_symbol() const { return symbols[right % num_places]; }
};

void start(const Vocabulary& vocabulary, Word& word, Lane& lane) {
    const Bytes bytes = word.key.bytes();
    const auto length = static_cast<std::uint32_t>(bytes.size());
    lane.word = &word;
    lane.behind = length + 1;
    lane.begins = (std::uint32_t{2} << lane.behind) - 1;
    lane.pairs.fill(no_pair);
    lane.symbols.fill(0);
    for (std::uint32_t k = 1; k <= length; ++k) lane.symbols[k] = vocabulary.byte_id(bytes[k - 1]);
    for (std::uint32_t k = 1; k < length; ++k) {
        lane.pairs[k] = make_pair(vocabulary.byte_rank(bytes[k - 1], bytes[k]), k);
    }
}

// Merges the next pair; false if there is none. Without a branch but for that.
bool merge(const Vocabulary& vocabulary, Lane& lane) {
    std::array<FourPairs, num_places / 4> pairs;
    std::memcpy(pairs.data(), lane.pairs.data(), sizeof pairs);
    const FourPairs four = least(least(pairs[0], pairs[1]), least(pairs[2], pairs[3]));
    const Pair next = std::min(std::min(four[0], four[1]), std::min(four[2], four[3]));
    if (next >> place_bits == no_pair >> place_bits) return false;
    lane.place = static_cast<std::uint32_t>(next) % num_places;
    const TokenId made = vocabulary.result(static_cast<std::uint32_t>(next) >> place_bits);
    const std::uint32_t until = (std::uint32_t{2} << lane.place) - 1;
    const std::uint32_t after = lane.begins & ~until;
    const std::uint32_t after_pair = after & (after - 1);  // without the second symbol
    lane.pairs[static_cast<std::size_t>(std::countr_zero(after))] = no_pair;
    lane.symbols[lane.place] = made;
    lane.begins ^= after ^ after_pair;
    lane.left = static_cast<std::uint32_t>(std::bit_width(lane.begins & until >> 1)) - 1;
    lane.right = static_cast<std::uint32_t>(std::countr_zero(after_pair));
    vocabulary.prefetch_rank(lane.left_symbol(), made);
    vocabulary.prefetch_rank(made, lane.right_symbol());
    return true;
}

// Looks up the pairs on both sides of what has been merged.
void look_up(const Vocabulary& vocabulary, Lane& lane) {
    const TokenId made = lane.symbols[lane.place];
    const Pair before = make_pair(vocabulary.rank(lane.left_symbol(), made), lane.left);
    const Pair after = make_pair(vocabulary.rank(made, lane.right_symbol()), lane.place);
    lane.pairs[lane.left] = lane.left == 0 ? no_pair : before;
    lane.pairs[lane.place] = lane.right == lane.behind ? no_pair : after;
}

void finish(const Lane& lane) {
    std::uint32_t places = lane.begins & ~(1U | std::uint32_t{1} << lane.behind);
    for (; places != 0; places &= places - 1) {
        lane.word->ids[lane.word->num_ids++] =
            lane.symbols[static_cast<std::size_t>(std::countr_zero(places))];
    }
}

}  // namespace

void merge_words(const Vocabulary& vocabulary, std::span<Word> words) {
    std::array<Lane, num_lanes> lanes;
    std::size_t used = 0;
    auto next = words.begin();
    for (;;) {
        for (; used < num_lanes && next != words.end(); ++next) {
            if (next->num_ids == 0) start(vocabulary, *next, lanes[used++]);
        }
        if (used == 0) return;
        for (std::size_t k = 0; k < used;) {
            if (merge(vocabulary, lanes[k])) {
                ++k;
            } else {
                finish(lanes[k]);
                lanes[k] = lanes[--used];
            }
        }
        for (std::size_t k = 0; k < used; ++k) look_up(vocabulary, lanes[k]);
    }
}

}  // namespace bpe
