#include "bpe/encode.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "bpe/hash.hpp"
#include "bpe/key16.hpp"
#include "bpe/long_cache.hpp"
#include "bpe/merge.hpp"
#include "bpe/pretoken_cache.hpp"

namespace bpe {
namespace {

// Pre-tokens whose cache entries are prefetched before the first of them is looked up.
constexpr std::size_t batch_size = 256;

// A thread takes this much text at a time: enough that the cost of taking it is negligible, little enough
// that all threads end at about the same time and a cancelled job stops at once.
constexpr std::size_t grain_bytes = std::size_t{1} << 16;

}  // namespace

// The caches and scratch memory of one thread, kept from call to call.
struct Workspace {
    PretokenCache cache;
    LongCache long_cache;
    Merger merger;
};

// Borrows a workspace for one call, so that concurrent calls never share one.
class Encoder::Lease {
  public:
    explicit Lease(const Encoder& encoder) : encoder_(encoder) {
        {
            const std::lock_guard lock(encoder_.mutex_);
            if (!encoder_.idle_.empty()) {
                workspace_ = std::move(encoder_.idle_.back());
                encoder_.idle_.pop_back();
            }
        }
        if (!workspace_) workspace_ = std::make_unique<Workspace>();
    }
    ~Lease() {
        const std::lock_guard lock(encoder_.mutex_);
        encoder_.idle_.push_back(std::move(workspace_));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    Workspace& operator*() const { return *workspace_; }

  private:
    const Encoder& encoder_;
    std::unique_ptr<Workspace> workspace_;
};

Encoder::Encoder(Vocabulary vocabulary, SpecialTokens specials, std::vector<TokenId> special_ids,
                 std::optional<Pattern> pattern)
    : vocabulary_(std::move(vocabulary)),
      specials_(std::move(specials)),
      special_ids_(std::move(special_ids)),
      pattern_(pattern) {
    if (special_ids_.size() != specials_.size()) {
        throw std::invalid_argument("every special token needs exactly one id");
    }
}

Encoder::~Encoder() = default;

void Encoder::encode(Bytes text, bool with_specials, IdBuffer& ids) const {
    const Lease workspace(*this);
    encode_text(text, with_specials, *workspace, ids);
}

void Encoder::encode_pretokens(std::span<const Bytes> pretokens, IdBuffer& ids) const {
    const Lease workspace(*this);
    for (const Bytes pretoken : pretokens) {
        if (pretoken.empty()) continue;
        ids.reserve_more(PretokenCache::max_ids);
        if (pretoken.size() > Key16::max_length) {
            encode_long(pretoken, *workspace, ids);
        } else {
            const Key16 key =
                Key16::load(pretoken.data(), pretoken.size(), pretoken.data() + pretoken.size());
            encode_short(pretoken, key, key.hash(), *workspace, ids);
        }
    }
}

template <class Id>
std::vector<IdArray<Id>> Encoder::encode_all(std::span<const Bytes> texts, bool with_specials,
                                             std::size_t num_threads, const Tick& tick) const {
    std::vector<IdArray<Id>> results(texts.size());
    std::uint64_t total = 0;
    for (const Bytes text : texts) total += text.size();
    const std::size_t useful = std::max<std::size_t>(1, std::min(texts.size(), 1 + total / grain_bytes));
    std::atomic<std::size_t> next_text{0};
    std::mutex taking;
    const auto take = [&]() -> std::pair<std::size_t, std::size_t> {
        const std::lock_guard lock(taking);
        const std::size_t first = next_text;
        std::size_t last = first;
        for (std::size_t bytes = 0; last < texts.size() && bytes < grain_bytes; ++last)
            bytes += texts[last].size();
        next_text = last;
        return {first, last};
    };
    run_parallel(std::min(std::max<std::size_t>(1, num_threads), useful), total, tick,
                 [&](std::size_t, Progress& progress) {
                     const Lease workspace(*this);
                     IdBuffer ids;
                     for (auto [first, last] = take(); first < last && !progress.cancelled;
                          std::tie(first, last) = take()) {
                         for (std::size_t k = first; k < last; ++k) {
                             ids.clear();
                             encode_text(texts[k], with_specials, *workspace, ids);
                             results[k] = IdArray<Id>(ids.span());
                             progress.done += texts[k].size();
                         }
                     }
                 });
    return results;
}

template std::vector<IdArray<std::uint16_t>> Encoder::encode_all(std::span<const Bytes>, bool, std::size_t,
                                                                 const Tick&) const;
template std::vector<IdArray<std::uint32_t>> Encoder::encode_all(std::span<const Bytes>, bool, std::size_t,
                                                                 const Tick&) const;

void Encoder::encode_text(Bytes text, bool with_specials, Workspace& workspace, IdBuffer& ids) const {
    const std::uint8_t* begin = text.data();
    const std::uint8_t* const end = begin + text.size();
    while (with_specials) {
        const auto special = specials_.find(begin, end);
        if (!special) break;
        encode_ordinary({begin, special->begin}, workspace, ids);
        ids.push(special_ids_[special->index]);
        begin = special->end;
    }
    encode_ordinary({begin, end}, workspace, ids);
}

void Encoder::encode_ordinary(Bytes text, Workspace& workspace, IdBuffer& ids) const {
    if (!pattern_) throw std::logic_error("an encoder without a pattern cannot cut text");
    const std::uint8_t* begin = text.data();
    const std::uint8_t* const text_end = begin + text.size();
    std::array<const std::uint8_t*, batch_size> ends;
    std::array<Key16, batch_size> keys;
    std::array<std::uint64_t, batch_size> hashes;
    while (begin < text_end) {
        const std::size_t count = pretokenize(*pattern_, begin, text_end, ends.data(), batch_size);
        const std::uint8_t* start = begin;
        for (std::size_t i = 0; i < count; ++i) {
            const auto length = static_cast<std::size_t>(ends[i] - start);
            if (length <= Key16::max_length) {
                keys[i] = Key16::load(start, length, text_end);
                hashes[i] = keys[i].hash();
                workspace.cache.prefetch(hashes[i]);
            }
            start = ends[i];
        }
        ids.reserve_more(static_cast<std::size_t>(ends[count - 1] - begin) + PretokenCache::max_ids);
        start = begin;
        for (std::size_t i = 0; i < count; ++i) {
            const Bytes pretoken{start, ends[i]};
            start = ends[i];
            if (pretoken.size() <= Key16::max_length) {
                encode_short(pretoken, keys[i], hashes[i], workspace, ids);
            } else {
                encode_long(pretoken, workspace, ids);
            }
        }
        begin = start;
    }
}

// Needs room for PretokenCache::max_ids at the end of `ids`.
inline void Encoder::encode_short(Bytes pretoken, const Key16& key, std::uint64_t hash, Workspace& workspace,
                                  IdBuffer& ids) const {
    const std::size_t found = workspace.cache.find(key, hash, ids.end());
    if (found == PretokenCache::too_many) {
        encode_long(pretoken, workspace, ids);
    } else if (found != 0) {
        ids.advance(found);
    } else {
        const std::size_t before = ids.size();
        encode_new(pretoken, workspace, ids);
        workspace.cache.insert(key, hash, ids.data() + before, ids.size() - before);
    }
}

void Encoder::encode_long(Bytes pretoken, Workspace& workspace, IdBuffer& ids) const {
    if (pretoken.size() > LongCache::max_length) {
        encode_new(pretoken, workspace, ids);
        return;
    }
    const std::uint64_t hash = hash_bytes(pretoken);
    if (workspace.long_cache.find(pretoken, hash, ids)) return;
    const std::size_t before = ids.size();
    encode_new(pretoken, workspace, ids);
    const std::size_t count = ids.size() - before;
    if (pretoken.size() > Key16::max_length || count > PretokenCache::max_ids) {
        workspace.long_cache.insert(pretoken, hash, ids.data() + before, count);
    }
}

void Encoder::encode_new(Bytes pretoken, Workspace& workspace, IdBuffer& ids) const {
    if (const auto whole = vocabulary_.whole_token(pretoken)) {
        ids.push(*whole);
    } else {
        workspace.merger.merge(vocabulary_, pretoken, ids);
    }
}

}  // namespace bpe
