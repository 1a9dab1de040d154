// Byte-pair merging of one pre-token while encoding.
#pragma once

#include <cstdint>
#include <vector>

#include "bpe/bytes.hpp"
#include "bpe/id_buffer.hpp"
#include "bpe/rank_queue.hpp"
#include "bpe/vocabulary.hpp"

namespace bpe {

// Repeatedly merges the pair with the lowest rank, the leftmost of equals, until no pair merges. Holds only
// scratch memory; use one per thread.
class Merger {
  public:
    // Appends the ids of `pretoken`. Throws std::length_error beyond 2^30 bytes. A long one is merged in
    // windows that overlap, so that its symbols stay in the first-level cache (DESIGN.md has the proof).
    void merge(const Vocabulary& vocabulary, Bytes pretoken, IdBuffer& ids);

  private:
    void merge_at_once(const Vocabulary& vocabulary, Bytes text, IdBuffer& ids);

    // Rescans all pairs for the lowest rank after every merge: quadratic, and fastest for short words.
    static void merge_short(const Vocabulary& vocabulary, Bytes pretoken, IdBuffer& ids);

    // A queue of candidate pairs over a linked list of symbols: linear but for sorting the places of a rank.
    void merge_long(const Vocabulary& vocabulary, Bytes pretoken, IdBuffer& ids);

    struct Symbol {
        TokenId id;
        std::uint32_t previous;
        std::uint32_t next;
        std::uint32_t rank;  // of the pair that starts here; no_rank if it does not merge
    };
    std::vector<Symbol> symbols_;
    RankQueue queue_;                    // of the places of left symbols
    std::vector<std::uint32_t> places_;  // scratch
};

}  // namespace bpe
