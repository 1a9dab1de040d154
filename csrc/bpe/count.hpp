// Counting pre-tokens: all that training needs to know about a text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "bpe/chunks.hpp"
#include "bpe/parallel.hpp"
#include "bpe/pretokenize.hpp"
#include "bpe/special.hpp"
#include "bpe/word_table.hpp"

namespace bpe {

// How often each distinct pre-token ("word") occurs. Memory grows only with the number of distinct words, so
// a text of any size can be counted, batch by batch. Not safe for concurrent calls; each call starts its own
// threads.
class WordCounts {
  public:
    // Counts the pre-tokens of each document on its own: no pre-token and no special token crosses from one
    // document into the next. Special tokens cut the text and are not counted. The tick gets bytes of
    // this batch. Small batches (below about 1 MB) run on the calling thread. After an exception the batch
    // may be partly counted: discard the object.
    void add_documents(std::span<const Bytes> documents, Pattern pattern, const SpecialTokens& specials,
                       std::size_t num_threads, const Tick& tick);

    // Adds a word that was cut out elsewhere. An empty word or a zero count changes nothing.
    void add(std::string_view word, std::uint64_t count);

    // The number of distinct words, and of all words. distinct() merges the counts of the threads first.
    std::size_t distinct();
    std::uint64_t total() const;

    // Calls visit(word, count) for every distinct word, in no particular order.
    void for_each(const std::function<void(std::string_view, std::uint64_t)>& visit);

    // One table with everything in it, for the trainer.
    const WordTable& merged(std::size_t num_threads, const Tick& tick);

  private:
    std::vector<WordTable> tables_;  // one per thread, merged when needed
};

}  // namespace bpe
