// The rules of a vocabulary by the pair of ids that they merge.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <unordered_map>
#include <vector>

#include "bpe/huge_array.hpp"

namespace bpe {

using TokenId = std::uint32_t;

// A merge rule: `left` next to `right` becomes `result`. Rules come in the order of their priority.
struct Merge {
    TokenId left;
    TokenId right;
    TokenId result;
};

// Finds the rule for a pair of ids. Most look-ups are for pairs that do not merge, and which ones do cannot
// be predicted. A pair belongs to one cache line, a bucket of eight, and all eight are compared at once; the
// only branch is for a full bucket without the pair, which is rare. Multiplication by an odd number maps
// pairs one to one; the upper bits of the product choose the bucket, so only the others need to be stored.
class MergeTable {
  public:
    static constexpr std::uint32_t no_rank = std::numeric_limits<std::uint32_t>::max();

    // Ids have so many bits at most.
    static constexpr unsigned max_id_bits = 24;
    static constexpr std::size_t max_rules = std::size_t{1} << 24;

    static constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;

    // Throws std::invalid_argument for a pair with two rules, for an id above `largest`, for too many rules,
    // and if `largest` needs more than max_id_bits.
    MergeTable(const std::vector<Merge>& merges, TokenId largest);

    std::size_t size() const { return results_.size(); }

    // The number of the rule for two ids up to `largest`, the lowest of which is merged first; no_rank if
    // there is no rule.
    std::uint32_t rank(TokenId left, TokenId right) const {
        const std::uint64_t product = mixed(left, right);
        const Bucket& bucket = buckets_[product >> bucket_shift_];
        const std::uint32_t wanted = rest(product);
        const Four found =
            ((bucket.rests[0] == wanted) & bucket.ranks[0]) | ((bucket.rests[1] == wanted) & bucket.ranks[1]);
        const std::uint32_t one = found[0] | found[1] | found[2] | found[3];
        if (static_cast<unsigned>(one == 0) & static_cast<unsigned>(bucket.full())) [[unlikely]] {
            return other_rank(product);
        }
        return one - 1;
    }

    // Makes rank() of the same ids faster a little later.
    void prefetch(TokenId left, TokenId right) const {
        __builtin_prefetch(&buckets_[mixed(left, right) >> bucket_shift_]);
    }

    // What the rule of this number makes.
    TokenId result(std::uint32_t rank) const { return results_[rank]; }

  private:
    using Four = std::uint32_t __attribute__((vector_size(16)));

    // The lower bits of the products of eight pairs, and 1 + their ranks, 0 where there is none. At most one
    // used place has the wanted bits; unused places may have them too, but their 0 does not change what "or"
    // gives.
    struct alignas(64) Bucket {
        Four rests[2];
        Four ranks[2];

        bool full() const { return ranks[1][3] != 0; }
    };

    std::uint64_t mixed(TokenId left, TokenId right) const {
        return (std::uint64_t{left} << id_bits_ | right) * multiplier_;
    }
    std::uint32_t rest(std::uint64_t product) const {
        return static_cast<std::uint32_t>(product << bucket_bits_ >> 32);
    }
    std::uint32_t other_rank(std::uint64_t product) const;

    HugeArray<Bucket> buckets_;
    std::vector<TokenId> results_;
    std::unordered_map<std::uint64_t, std::uint32_t> others_;  // ranks by product, where a bucket was full
    std::uint64_t multiplier_;  // so large that the product of a pair fills 64 bits, from above
    unsigned id_bits_;
    unsigned bucket_bits_;
    unsigned bucket_shift_;
};

}  // namespace bpe
