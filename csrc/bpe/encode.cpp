#include "bpe/encode.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "bpe/hash.hpp"
#include "bpe/key16.hpp"
#include "bpe/long_cache.hpp"
#include "bpe/merge.hpp"
#include "bpe/merge_words.hpp"
#include "bpe/pretoken_cache.hpp"
#include "bpe/wide_cache.hpp"
#include "bpe/wide_char.hpp"

namespace bpe {
namespace {

// Pre-tokens whose cache entries are prefetched before the first of them is looked up.
constexpr std::size_t batch_size = 512;

// At most half of a cache's entries are known from the start.
constexpr std::size_t max_seeds = PretokenCache::max_keys / 2;

// A thread takes this much text at a time: enough that the cost of taking it is negligible, little enough
// that all threads end at about the same time and a cancelled job stops at once.
constexpr std::size_t grain_bytes = std::size_t{1} << 16;

// Less than this is encoded on the calling thread: a new one takes a good part of a millisecond.
constexpr std::size_t min_bytes_for_a_thread = std::size_t{4} << 20;

// Appends the ids of the first pre-tokens, as far as the cache knows them; returns how many these are. A key
// of zeros is never known.
std::size_t find_known(const PretokenCache& known, std::span<const Key16> keys, const std::uint32_t* homes,
                       IdBuffer& ids) {
    // Copies in registers: the compiler must assume that writing ids could change what is in memory.
    const PretokenCache::View cache(known);
    TokenId* end = ids.end();
    std::size_t k = 0;
    for (; k < keys.size(); ++k) {
        std::size_t found = cache.try_home(keys[k], homes[k], end);
        if (found - 1 >= PretokenCache::ids_inside) [[unlikely]] {
            if (keys[k].high == 0) break;
            found = cache.find(keys[k], keys[k].hash(), end);
            if (found == 0) break;
        }
        end += found;
    }
    ids.set_end(end);
    return k;
}

// Whether a pre-token may be a whole token and yet become other ids when it is cut, or when its only
// character is merged.
bool some_whole_token_is_not_merged(const Vocabulary& vocabulary) {
    if (!vocabulary.has_whole_tokens()) return false;
    Merger merger;
    IdBuffer ids;
    for (TokenId id = 0; id < vocabulary.size(); ++id) {
        const Bytes token = as_bytes(vocabulary.bytes(id));
        if (std::ranges::none_of(token, leads_wide)) continue;
        if (token.size() == wide_bytes) {
            if (!wide_char_at(token.data(), token.data() + wide_bytes)) continue;
            ids.clear();
            merger.merge(vocabulary, token, ids);
            if (ids.size() == 1 && ids.data()[0] == id) continue;
        } else if (!vocabulary.joins().has_cut(token)) {
            continue;
        }
        if (vocabulary.whole_token(token)) return true;
    }
    return false;
}

// A cache that knows the tokens which pre-tokens of the same bytes become: most of the words of a text are
// among them, and need not be merged once.
PretokenCache make_cache(const Vocabulary& vocabulary) {
    std::vector<TokenId> seeds;
    for (const TokenId id : vocabulary.known_tokens()) {
        const Bytes token = as_bytes(vocabulary.bytes(id));
        if (token.empty() || token.size() > Key16::max_length || leads_wide(token[0])) continue;
        seeds.push_back(id);
        if (seeds.size() == max_seeds) break;
    }
    PretokenCache cache(seeds.size());
    std::array<TokenId, PretokenCache::max_ids> ids;
    for (const TokenId id : seeds) {
        const Bytes token = as_bytes(vocabulary.bytes(id));
        const Key16 key = Key16::load(token.data(), token.size(), token.data() + token.size());
        const std::uint64_t hash = key.hash();
        if (PretokenCache::View(cache).find(key, hash, ids.data()) == 0) cache.insert_seed(key, hash, id);
    }
    return cache;
}

// Texts that one thread takes at a time.
struct Group {
    std::size_t number;
    std::size_t first;
    std::size_t last;  // the one after the last
    std::size_t bytes;

    bool empty() const { return first == last; }
};

// Hands the texts out in groups, in order.
class Groups {
  public:
    explicit Groups(std::span<const Bytes> texts) : texts_(texts) {}

    Group take() {
        const std::lock_guard lock(mutex_);
        Group group{next_++, end_, end_, 0};
        while (group.last < texts_.size() && group.bytes < grain_bytes)
            group.bytes += texts_[group.last++].size();
        end_ = group.last;
        return group;
    }

  private:
    std::mutex mutex_;
    std::span<const Bytes> texts_;
    std::size_t next_ = 0;
    std::size_t end_ = 0;
};

// The short pre-tokens of a batch that the cache does not know. Their ids are left out and put in at its end,
// so that all can be merged together.
class NewWords {
  public:
    bool empty() const { return num_gaps_ == 0; }

    // A word whose ids are missing behind the first `place` ones.
    void add(const Key16& key, std::size_t place) {
        // A new word often occurs again soon.
        std::uint16_t& recent = recent_[key.hash() % recent_.size()];
        if (recent == 0 || !(words_[recent - 1U].key == key)) {
            words_[num_words_] = {key, 0, {}};
            recent = static_cast<std::uint16_t>(++num_words_);
        }
        gaps_[num_gaps_++] = {place, recent - 1U};
    }

    // Finds the ids, puts them where they are missing and remembers them. No words are left.
    void finish(const Vocabulary& vocabulary, PretokenCache& cache, IdBuffer& ids) {
        const std::span words(words_.data(), num_words_);
        find_whole_tokens(vocabulary, words);
        merge_words(vocabulary, words);
        fill_gaps(ids);
        std::array<TokenId, PretokenCache::max_ids> known;
        for (const Word& word : words) {
            const std::uint64_t hash = word.key.hash();
            // Not if it was new twice, or is part of a Chinese pre-token too.
            if (PretokenCache::View(cache).find(word.key, hash, known.data()) != 0) continue;
            cache.insert(word.key, hash, word.ids.data(), word.num_ids);
        }
        num_gaps_ = num_words_ = 0;
        recent_.fill(0);
    }

  private:
    static void find_whole_tokens(const Vocabulary& vocabulary, std::span<Word> words) {
        if (!vocabulary.has_whole_tokens()) return;
        for (const Word& word : words) vocabulary.prefetch_whole_token(word.key.bytes());
        for (Word& word : words) {
            if (const auto whole = vocabulary.whole_token(word.key.bytes())) {
                word.ids[0] = *whole;
                word.num_ids = 1;
            }
        }
    }

    void fill_gaps(IdBuffer& ids) const {
        std::size_t missing = 0;
        for (std::size_t k = 0; k < num_gaps_; ++k) missing += words_[gaps_[k].word].num_ids;
        std::size_t end = ids.size();
        ids.reserve_more(missing);
        ids.advance(missing);
        // From the last gap to the first, so that no ids are overwritten that have not been moved.
        for (std::size_t k = num_gaps_; k-- > 0;) {
            const std::size_t place = gaps_[k].place;
            const Word& word = words_[gaps_[k].word];
            TokenId* const from = ids.data() + place;
            std::memmove(from + missing, from, (end - place) * sizeof(TokenId));
            missing -= word.num_ids;
            std::memcpy(from + missing, word.ids.data(), word.num_ids * sizeof(TokenId));
            end = place;
        }
    }

    struct Gap {
        std::size_t place;  // counts the ids that are there
        std::size_t word;
    };
    std::array<Word, batch_size> words_;
    std::array<Gap, batch_size> gaps_;
    std::array<std::uint16_t, 256> recent_{};  // by hash: 1 + the number of a word; 0: none
    std::size_t num_words_ = 0;
    std::size_t num_gaps_ = 0;
};

}  // namespace

// Pre-tokens that are looked up together.
struct Batch {
    std::array<const std::uint8_t*, batch_size> ends;
    std::array<Key16, batch_size> keys;
    std::array<std::uint32_t, batch_size> homes;
};

// The caches and scratch memory of one thread, kept from call to call.
struct Workspace {
    explicit Workspace(const Vocabulary& vocabulary) : cache(make_cache(vocabulary)) {}

    Batch batch;
    NewWords new_words;
    PretokenCache cache;
    LongCache long_cache;
    WideCache wide_cache;
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
        if (!workspace_) workspace_ = std::make_unique<Workspace>(encoder.vocabulary_);
    }
    ~Lease() {
        // After an exception, words may wait for their ids: the next text must not get them.
        if (std::uncaught_exceptions() > exceptions_) return;
        const std::lock_guard lock(encoder_.mutex_);
        encoder_.idle_.push_back(std::move(workspace_));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    Workspace& operator*() const { return *workspace_; }

  private:
    const Encoder& encoder_;
    int exceptions_ = std::uncaught_exceptions();
    std::unique_ptr<Workspace> workspace_;
};

Encoder::Encoder(Vocabulary vocabulary, SpecialTokens specials, std::vector<TokenId> special_ids,
                 std::optional<Pattern> pattern)
    : vocabulary_(std::move(vocabulary)),
      specials_(std::move(specials)),
      special_ids_(std::move(special_ids)),
      pattern_(pattern),
      whole_tokens_first_(some_whole_token_is_not_merged(vocabulary_)) {
    if (special_ids_.size() != specials_.size()) {
        throw std::invalid_argument("every special token needs exactly one id");
    }
    if (!std::ranges::all_of(special_ids_, [&](TokenId id) { return vocabulary_.contains(id); })) {
        throw std::invalid_argument("a special token has an id that is not in the vocabulary");
    }
    idle_.push_back(std::make_unique<Workspace>(vocabulary_));  // else the first text would wait for it
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
        ids.reserve_more(pretoken.size() + PretokenCache::max_ids);
        if (pretoken.size() > Key16::max_length || leads_wide(pretoken[0])) {
            encode_wide(pretoken, *workspace, ids);
        } else {
            const Key16 key =
                Key16::load(pretoken.data(), pretoken.size(), pretoken.data() + pretoken.size());
            encode_short<Span::pretoken>(pretoken, key, *workspace, ids);
        }
    }
}

template <class Id>
IdBatch<Id> Encoder::encode_all(std::span<const Bytes> texts, bool with_specials, std::size_t num_threads,
                                const Tick& tick) const {
    std::uint64_t total = 0;
    for (const Bytes text : texts) total += text.size();
    const std::size_t useful = std::max<std::size_t>(1, std::min(texts.size(), 1 + total / grain_bytes));
    IdBatch<Id> batch{{}, std::vector<std::int64_t>(texts.size() + 1)};
    IdCollector<Id> collected(total);
    Groups groups(texts);
    const auto work = [&](std::size_t, Progress& progress) {
        const Lease workspace(*this);
        IdBuffer ids;
        for (auto group = groups.take(); !group.empty() && !progress.cancelled; group = groups.take()) {
            ids.clear();
            for (std::size_t k = group.first; k < group.last; ++k) {
                const std::size_t before = ids.size();
                encode_text(texts[k], with_specials, *workspace, ids);
                batch.offsets[k + 1] = static_cast<std::int64_t>(ids.size() - before);
            }
            collected.put(group.number, ids.span(), group.bytes);
            progress.done += group.bytes;
            if (progress.tick_here) progress.tick_here();
        }
    };
    const std::size_t workers = std::min(std::max<std::size_t>(1, num_threads), useful);
    if (workers == 1 && total < min_bytes_for_a_thread) {
        run_here(total, tick, work);
    } else {
        run_parallel(workers, total, tick, work);
    }
    batch.ids = collected.take();
    std::partial_sum(batch.offsets.begin(), batch.offsets.end(), batch.offsets.begin());
    return batch;
}

template IdBatch<std::uint16_t> Encoder::encode_all(std::span<const Bytes>, bool, std::size_t,
                                                    const Tick&) const;
template IdBatch<std::uint32_t> Encoder::encode_all(std::span<const Bytes>, bool, std::size_t,
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
    auto& [ends, keys, homes] = workspace.batch;
    while (begin < text_end) {
        const std::size_t count = pretokenize(*pattern_, begin, text_end, ends.data(), batch_size);
        const PretokenCache::View cache(workspace.cache);
        const std::uint8_t* start = begin;
        for (std::size_t i = 0; i < count; ++i) {
            const auto length = static_cast<std::size_t>(ends[i] - start);
            if (length > Key16::max_length || leads_wide(*start)) {
                keys[i] = Key16{};
                homes[i] = 0;
            } else {
                keys[i] = Key16::load(start, length, text_end);
                homes[i] = cache.home_of(keys[i].hash());
                cache.prefetch(homes[i]);
            }
            start = ends[i];
        }
        ids.reserve_more(static_cast<std::size_t>(start - begin) + PretokenCache::max_ids);
        std::size_t cache_size = cache.size();
        for (std::size_t i = 0; i < count; ++i) {
            if (keys[i].high != 0) {  // else find_known() would find nothing
                i += find_known(workspace.cache, {&keys[i], count - i}, &homes[i], ids);
                if (i == count) break;
            }
            const Bytes pretoken{i == 0 ? begin : ends[i - 1], ends[i]};
            if (keys[i].high != 0) {  // holds the length of a short pre-token
                workspace.new_words.add(keys[i], ids.size());
                continue;
            }
            encode_wide(pretoken, workspace, ids);
            const PretokenCache::View now(workspace.cache);
            if (now.size() == cache_size) [[likely]]
                continue;
            // The cache grew, or was full and emptied: the rest of the batch begins elsewhere now.
            cache_size = now.size();
            for (std::size_t k = i + 1; k < count; ++k) homes[k] = now.home_of(keys[k].hash());
        }
        if (!workspace.new_words.empty()) workspace.new_words.finish(vocabulary_, workspace.cache, ids);
        begin = ends[count - 1];
    }
}

// Cuts a pre-token wherever no merge can join two characters of three bytes. Needs room for one id per byte
// and PretokenCache::max_ids more at the end of `ids`.
void Encoder::encode_wide(Bytes pretoken, Workspace& workspace, IdBuffer& ids) const {
    if (whole_tokens_first_) {
        if (const auto whole = vocabulary_.whole_token(pretoken)) {
            ids.push(*whole);
            return;
        }
    }
    const WideJoins& joins = vocabulary_.joins();
    const std::uint8_t* const end = pretoken.data() + pretoken.size();
    const std::uint8_t* part = pretoken.data();
    const std::uint8_t* at = part;
    while (at < end) {
        auto character = wide_char_at(at, end);
        if (!character) {
            ++at;
            continue;
        }
        // A run of such characters.
        const WideCache::Entry* entry =
            &workspace.wide_cache.at(*character, vocabulary_, joins, workspace.merger);
        for (;;) {
            at += wide_bytes;
            const auto next = wide_char_at(at, end);
            const WideCache::Entry* next_entry = nullptr;
            if (next) {
                next_entry = &workspace.wide_cache.at(*next, vocabulary_, joins, workspace.merger);
            } else if (at < end) {
                break;
            }
            if (!next || !(joins.whole(*character, *next) || entry->may_join(*next_entry))) {
                if (at - part == wide_bytes) {
                    std::memcpy(ids.end(), entry->ids, sizeof(entry->ids));
                    ids.advance(entry->count());
                } else {
                    encode_part({part, at}, pretoken, workspace, ids);
                }
                part = at;
            }
            if (!next) break;
            character = next;
            entry = next_entry;
        }
    }
    if (part < end) encode_part({part, end}, pretoken, workspace, ids);
}

void Encoder::encode_part(Bytes part, Bytes pretoken, Workspace& workspace, IdBuffer& ids) const {
    const bool whole = part.size() == pretoken.size() || !vocabulary_.has_whole_tokens();
    if (part.size() > Key16::max_length) {
        whole ? encode_long<Span::pretoken>(part, workspace, ids)
              : encode_long<Span::part>(part, workspace, ids);
        return;
    }
    const Key16 key = Key16::load(part.data(), part.size(), pretoken.data() + pretoken.size());
    if (whole) {
        encode_short<Span::pretoken>(part, key, workspace, ids);
    } else {
        encode_short<Span::part>(part, key.marked(), workspace, ids);
    }
}

template <Encoder::Span span>
void Encoder::encode_short(Bytes text, const Key16& key, Workspace& workspace, IdBuffer& ids) const {
    const std::uint64_t hash = key.hash();
    if (const std::size_t found = PretokenCache::View(workspace.cache).find(key, hash, ids.end())) {
        ids.advance(found);
    } else {
        encode_unknown<span>(text, key, hash, workspace, ids);
    }
}

template <Encoder::Span span>
void Encoder::encode_unknown(Bytes text, const Key16& key, std::uint64_t hash, Workspace& workspace,
                             IdBuffer& ids) const {
    const std::size_t before = ids.size();
    encode_new<span>(text, workspace, ids);
    workspace.cache.insert(key, hash, ids.data() + before, ids.size() - before);
}

template <Encoder::Span span>
void Encoder::encode_long(Bytes text, Workspace& workspace, IdBuffer& ids) const {
    if (text.size() > LongCache::max_length) {
        encode_new<span>(text, workspace, ids);
        return;
    }
    // Ids of parts and of whole pre-tokens are kept apart by their hashes.
    const std::uint64_t hash = hash_bytes(text) ^ std::uint64_t{span == Span::part};
    if (workspace.long_cache.find(text, hash, ids)) return;
    const std::size_t before = ids.size();
    encode_new<span>(text, workspace, ids);
    workspace.long_cache.insert(text, hash, ids.data() + before, ids.size() - before);
}

template <Encoder::Span span>
void Encoder::encode_new(Bytes text, Workspace& workspace, IdBuffer& ids) const {
    if constexpr (span == Span::pretoken) {
        if (const auto whole = vocabulary_.whole_token(text)) {
            ids.push(*whole);
            return;
        }
    }
    workspace.merger.merge(vocabulary_, text, ids);
}

}  // namespace bpe
