#include "bpe/merge_table.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>

namespace bpe {
namespace {

// Buckets hold so many rules on average, at most: then few are full.
constexpr std::size_t rules_per_bucket = 4;

unsigned bits_for_buckets(std::size_t num_rules, unsigned id_bits) {
    const auto wanted = static_cast<unsigned>(std::bit_width(num_rules / rules_per_bucket));
    // The bits of two ids that do not choose the bucket are stored in 32.
    return std::max({1U, wanted, 2 * id_bits > 32 ? 2 * id_bits - 32 : 0});
}

}  // namespace

MergeTable::MergeTable(const std::vector<Merge>& merges, TokenId largest)
    : id_bits_(std::max(1U, static_cast<unsigned>(std::bit_width(largest)))),
      bucket_bits_(bits_for_buckets(merges.size(), std::min(id_bits_, max_id_bits))),
      bucket_shift_(64 - bucket_bits_) {
    if (id_bits_ > max_id_bits) {
        throw std::invalid_argument("token id " + std::to_string(largest) +
                                    " is above the largest allowed, " +
                                    std::to_string((TokenId{1} << max_id_bits) - 1));
    }
    if (merges.size() > max_rules) {
        throw std::invalid_argument("there are " + std::to_string(merges.size()) + " merges, more than the " +
                                    std::to_string(max_rules) + " allowed");
    }
    multiplier_ = odd << (64 - 2 * id_bits_);
    buckets_ = HugeArray<Bucket>(std::size_t{1} << bucket_bits_);
    results_.reserve(merges.size());
    for (const auto& [left, right, result] : merges) {
        const std::string number = std::to_string(results_.size());
        if (std::max({left, right, result}) > largest) {
            throw std::invalid_argument("merge " + number + " has an id that is not in the vocabulary");
        }
        if (const std::uint32_t other = rank(left, right); other != no_rank) {
            throw std::invalid_argument("merge " + number + " repeats merge " + std::to_string(other));
        }
        const auto rank = static_cast<std::uint32_t>(results_.size());
        const std::uint64_t product = mixed(left, right);
        Bucket& bucket = buckets_[product >> bucket_shift_];
        results_.push_back(result);
        if (bucket.full()) {
            others_.emplace(product, rank);
            continue;
        }
        unsigned place = 0;
        while (bucket.ranks[place / 4][place % 4] != 0) ++place;
        bucket.rests[place / 4][place % 4] = rest(product);
        bucket.ranks[place / 4][place % 4] = rank + 1;
    }
}

std::uint32_t MergeTable::other_rank(std::uint64_t product) const {
    const auto found = others_.find(product);
    return found == others_.end() ? no_rank : found->second;
}

}  // namespace bpe
