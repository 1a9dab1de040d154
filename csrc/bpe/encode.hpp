// From text to ids: special tokens, pre-tokens, merges.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "bpe/bytes.hpp"
#include "bpe/id_batch.hpp"
#include "bpe/id_buffer.hpp"
#include "bpe/key16.hpp"
#include "bpe/parallel.hpp"
#include "bpe/pretokenize.hpp"
#include "bpe/special.hpp"
#include "bpe/vocabulary.hpp"

namespace bpe {

struct Workspace;

// Thread-safe: encoding only reads the vocabulary, and every call borrows a workspace from a pool, so
// that its caches stay warm.
class Encoder {
  public:
    // `special_ids[k]` is the id of special token k. Without a pattern, only encode_pretokens works.
    Encoder(Vocabulary vocabulary, SpecialTokens specials, std::vector<TokenId> special_ids,
            std::optional<Pattern> pattern);
    ~Encoder();

    const Vocabulary& vocabulary() const { return vocabulary_; }
    const SpecialTokens& specials() const { return specials_; }

    // Appends the ids of `text`. With `with_specials` false, special tokens are plain text.
    void encode(Bytes text, bool with_specials, IdBuffer& ids) const;

    // Appends the ids of one text given as its pre-tokens.
    void encode_pretokens(std::span<const Bytes> pretokens, IdBuffer& ids) const;

    // The ids of all texts in one array, encoded on `num_threads` threads. Ticks count bytes.
    template <class Id>
    IdBatch<Id> encode_all(std::span<const Bytes> texts, bool with_specials, std::size_t num_threads,
                           const Tick& tick) const;

  private:
    class Lease;
    // What a string of bytes is: only a whole pre-token may become a token without merging.
    enum class Span : bool { pretoken, part };

    void encode_text(Bytes text, bool with_specials, Workspace& workspace, IdBuffer& ids) const;
    void encode_ordinary(Bytes text, Workspace& workspace, IdBuffer& ids) const;
    void encode_wide(Bytes pretoken, Workspace& workspace, IdBuffer& ids) const;
    void encode_part(Bytes part, Bytes pretoken, Workspace& workspace, IdBuffer& ids) const;
    template <Span span>
    void encode_short(Bytes text, const Key16& key, Workspace& workspace, IdBuffer& ids) const;
    template <Span span>
    void encode_unknown(Bytes text, const Key16& key, std::uint64_t hash, Workspace& workspace,
                        IdBuffer& ids) const;
    template <Span span>
    void encode_long(Bytes text, Workspace& workspace, IdBuffer& ids) const;
    template <Span span>
    void encode_new(Bytes text, Workspace& workspace, IdBuffer& ids) const;

    Vocabulary vocabulary_;
    SpecialTokens specials_;
    std::vector<TokenId> special_ids_;
    std::optional<Pattern> pattern_;
    bool whole_tokens_first_;  // some whole token is not what merging its parts gives

    mutable std::mutex mutex_;
    mutable std::vector<std::unique_ptr<Workspace>> idle_;
};

}  // namespace bpe
