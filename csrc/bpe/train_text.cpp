#include "bpe/train_text.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

namespace bpe {
namespace {

constexpr std::size_t num_byte_pairs = std::size_t{1} << 16;

// Smaller weights are sorted by counting; few words have larger ones.
constexpr std::size_t small_weights = std::size_t{1} << 14;

struct Group {
    std::uint64_t weight = 0;
    std::uint64_t num_words = 0;
    std::uint64_t num_places = 0;
};

// Groups words of two bytes and more by weight, the largest weight first.
std::vector<Group> group_by_weight(const WordTable& words, const Progress& progress) {
    std::vector<Group> small(small_weights);
    std::vector<Group> groups;
    words.for_each([&](const std::uint8_t*, std::size_t length, std::uint64_t weight) {
        if (length < 2) return true;
        if (weight < small_weights) {
            ++small[weight].num_words;
            small[weight].num_places += length + 1;
        } else {
            groups.push_back({weight, 1, length + 1});
        }
        return !progress.cancelled.load(std::memory_order_relaxed);
    });
    std::sort(groups.begin(), groups.end(),
              [](const Group& a, const Group& b) { return a.weight > b.weight; });
    std::size_t last = 0;  // merge groups of equal weight
    for (std::size_t i = 1; i < groups.size(); ++i) {
        if (groups[i].weight == groups[last].weight) {
            groups[last].num_words += groups[i].num_words;
            groups[last].num_places += groups[i].num_places;
        } else {
            groups[++last] = groups[i];
        }
    }
    if (!groups.empty()) groups.resize(last + 1);
    for (std::size_t weight = small_weights - 1; weight > 0; --weight) {
        if (small[weight].num_words == 0) continue;
        small[weight].weight = weight;
        groups.push_back(small[weight]);
    }
    return groups;
}

}  // namespace

template <class Place>
TrainText<Place>::TrainText(const WordTable& words, const Progress& progress) : byte_pairs_(num_byte_pairs) {
    std::uint64_t end = 1;
    std::vector<Position> next;  // for each class: where its next word goes
    std::vector<std::uint32_t> class_of_small(small_weights);
    for (const Group& group : group_by_weight(words, progress)) {
        if (group.weight > (std::numeric_limits<std::uint64_t>::max() - total_weight_) / group.num_places) {
            throw std::length_error("the counts of the words are too large: their sum could exceed 64 bits");
        }
        total_weight_ += group.weight * group.num_places;
        if (group.weight < small_weights) {
            class_of_small[group.weight] = static_cast<std::uint32_t>(classes_.size());
        }
        next.push_back(static_cast<Position>(end));
        end += group.num_places;
        if (end >= std::numeric_limits<Position>::max()) {
            throw std::length_error(
                "the distinct words hold 4 GiB or more; training supports less than that");
        }
        classes_.push_back(
            {group.weight, static_cast<std::uint32_t>(group.num_words), static_cast<Position>(end)});
    }

    places_ = HugeArray<Place>(end);
    bytes_ = HugeArray<std::uint8_t>(end);
    places_[0] = static_cast<Place>(end_mark);
    words.for_each([&](const std::uint8_t* word, std::size_t length, std::uint64_t weight) {
        if (length < 2) return true;
        std::size_t index = 0;
        if (weight < small_weights) {
            index = class_of_small[weight];
        } else {
            const auto found =
                std::lower_bound(classes_.begin(), classes_.end(), weight,
                                 [](const WeightClass& a, std::uint64_t w) { return a.weight > w; });
            index = static_cast<std::size_t>(found - classes_.begin());
        }
        Place* const place = &places_[next[index]];
        std::uint8_t* const bytes = &bytes_[next[index]];
        next[index] += static_cast<Position>(length + 1);
        for (std::size_t i = 0; i < length; ++i) {
            place[i] = word[i];
            bytes[i] = word[i];
            if (i == 0) continue;
            BytePair& pair = byte_pairs_[std::size_t{word[i - 1]} << 8 | word[i]];
            pair.weight += weight;
            ++pair.number;
        }
        place[length] = static_cast<Place>(end_mark);
        return !progress.cancelled.load(std::memory_order_relaxed);
    });

    class_of_block_.resize(end / block_size + 1);
    std::uint32_t index = 0;
    for (std::size_t block = 0; block < class_of_block_.size(); ++block) {
        while (index + 1 < classes_.size() && classes_[index].end <= block * block_size) ++index;
        class_of_block_[block] = index;
    }
}

template <class Place>
std::uint64_t TrainText<Place>::least_winning_count(std::size_t num_merges) const {
    std::size_t words = 0;
    for (const WeightClass& group : classes_) {
        words += group.num_words;
        if (words > num_merges) return group.weight;
    }
    return 1;
}

template class TrainText<std::uint16_t>;
template class TrainText<std::uint32_t>;

}  // namespace bpe
