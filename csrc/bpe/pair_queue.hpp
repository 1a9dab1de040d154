// A priority queue for the next pair to merge; it relies on counts that only fall.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "bpe/candidate_table.hpp"
#include "bpe/train_text.hpp"

namespace bpe {

struct Candidate {
    std::uint64_t count;
    Symbol left;
    Symbol right;
};

// A radix heap (Ahuja, Mehlhorn, Orlin, Tarjan 1990). No pair is ever pushed with a higher count than that of
// the last one popped, so candidates wait unsorted in buckets, by the highest bit in which their count
// differs from that count. Counts are brought up to date only when a bucket is opened: the queue is lazy.
// Candidates with equal counts are compared by `less`, in a heap of their own (bucket 0).
template <class Less>
class PairQueue {
  public:
    PairQueue(CandidateTable& table, Less less) : table_(table), less_(less) {}

    void push(const Candidate& candidate) {
        const std::size_t bucket = bucket_of(candidate.count);
        buckets_[bucket].push_back(candidate);
        if (bucket == 0) std::push_heap(buckets_[0].begin(), buckets_[0].end(), less_);
    }

    // The pair with the highest current count; of equals, the greatest by `less`. False if none is left.
    bool pop(Candidate& best) {
        std::vector<Candidate>& equals = buckets_[0];
        do {
            while (!equals.empty()) {
                std::pop_heap(equals.begin(), equals.end(), less_);
                best = equals.back();
                equals.pop_back();
                const std::uint64_t count = current_count(best);
                if (count == best.count) return true;
                best.count = count;
                if (count != 0) push(best);
            }
        } while (open_next_bucket());
        return false;
    }

  private:
    std::size_t bucket_of(std::uint64_t count) const {
        return static_cast<std::size_t>(std::bit_width(count ^ last_));
    }

    std::uint64_t current_count(const Candidate& candidate) const {
        const TrainPair* pair = table_.find(candidate.left, candidate.right);
        return pair == nullptr ? 0 : pair->count;
    }

    // Distributes the next bucket that is not empty over the buckets below it, its maxima to bucket 0.
    bool open_next_bucket() {
        for (std::size_t bucket = 1; bucket < buckets_.size(); ++bucket) {
            std::swap(opened_, buckets_[bucket]);
            std::uint64_t highest = 0;
            std::size_t kept = 0;
            for (std::size_t i = 0; i < opened_.size(); ++i) {
                if (i + look_ahead < opened_.size()) {
                    table_.prefetch(opened_[i + look_ahead].left, opened_[i + look_ahead].right);
                }
                Candidate candidate = opened_[i];
                candidate.count = current_count(candidate);
                if (candidate.count == 0) continue;
                if (const std::size_t now = bucket_of(candidate.count); now != bucket) {
                    buckets_[now].push_back(candidate);
                } else {
                    highest = std::max(highest, candidate.count);
                    opened_[kept++] = candidate;
                }
            }
            opened_.resize(kept);
            if (kept == 0) continue;
            last_ = highest;
            for (const Candidate& candidate : opened_)
                buckets_[bucket_of(candidate.count)].push_back(candidate);
            opened_.clear();
            std::make_heap(buckets_[0].begin(), buckets_[0].end(), less_);
            return true;
        }
        return false;
    }

    static constexpr std::size_t look_ahead = 8;

    CandidateTable& table_;
    Less less_;
    std::uint64_t last_ = std::numeric_limits<std::uint64_t>::max();
    std::array<std::vector<Candidate>, 65> buckets_;
    std::vector<Candidate> opened_;
};

}  // namespace bpe
