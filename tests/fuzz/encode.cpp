// Encoding against its definition, with caches cold, warm and shared by all inputs: special tokens, cuts of a
// text that change nothing, threads, and decoding.
#include "bpe/encode.hpp"

#include <map>
#include <memory>
#include <numeric>

#include "../csrc/engine.hpp"
#include "bpe/chunks.hpp"
#include "bpe/train.hpp"
#include "fuzz.hpp"
#include "naive.hpp"

namespace {

using Ids = std::vector<bpe::TokenId>;

// One of a few tokenizers: two for each pattern, one of which takes whole tokens first and has ids with gaps.
class Subject {
  public:
    explicit Subject(std::size_t kind) : pattern_(fuzz::patterns[kind % fuzz::patterns.size()]) {
        const bool whole = kind >= fuzz::patterns.size();
        const bpe::TokenId stride = whole ? 3 : 1;
        bpe::WordCounts counts;
        const std::string document = make_documents().front().substr(0, 5000);
        const std::array documents = {bpe::as_bytes(document)};
        counts.add_documents(documents, pattern_, special_tokens(), 1, keep_going);
        std::vector<std::string> tokens = byte_tokens();
        std::vector<bpe::Merge> merges;
        for (const auto& [left, right] : bpe::train(counts, 150, 1, keep_going).merges) {
            ranks_[{tokens[left], tokens[right]}] = merges.size();
            merges.push_back(
                {left * stride, right * stride, static_cast<bpe::TokenId>(tokens.size()) * stride});
            tokens.push_back(tokens[left] + tokens[right]);
        }
        if (whole)
            tokens.insert(tokens.end(), {" the fox", "\xff\x80\xff", "学语", "'", "aaaaaaaaaaaaaaaaa"});
        std::vector<bpe::Vocabulary::Entry> entries;
        std::vector<bpe::TokenId> whole_ids;
        for (bpe::TokenId k = 0; k < tokens.size(); ++k) {
            const bpe::TokenId id = k * stride;
            if (!ids_.try_emplace(tokens[k], id).second) continue;
            entries.push_back({id, tokens[k]});
            if (whole) whole_ids.push_back(id);
        }
        whole_tokens_ = whole;
        std::vector<bpe::TokenId> special_ids;
        for (const std::string& token : specials_) {
            special_ids_[token] = static_cast<bpe::TokenId>(tokens.size() + special_ids.size()) * stride;
            special_ids.push_back(special_ids_[token]);
            entries.push_back({special_ids.back(), token});
        }
        std::array<bpe::TokenId, 256> byte_ids{};
        for (bpe::TokenId byte = 0; byte < 256; ++byte) byte_ids[byte] = byte * stride;
        encoder_ =
            std::make_unique<bpe::Encoder>(bpe::Vocabulary(std::move(entries), merges, byte_ids, whole_ids),
                                           bpe::SpecialTokens(specials_), special_ids, pattern_);
    }

    const bpe::Encoder& encoder() const { return *encoder_; }
    bpe::Pattern pattern() const { return pattern_; }

    Ids encode(bpe::Bytes text, bool with_specials = true) const {
        bpe::IdBuffer ids;
        encoder_->encode(text, with_specials, ids);
        return {ids.span().begin(), ids.span().end()};
    }

    Ids expected(bpe::Bytes text, bool with_specials) const {
        Ids ids;
        std::size_t start = 0;
        for (std::size_t at = 0; with_specials && at < text.size();) {
            const std::string* longest = nullptr;
            for (const std::string& token : specials_) {
                if (bpe::as_string(text.subspan(at)).starts_with(token) &&
                    (longest == nullptr || token.size() > longest->size())) {
                    longest = &token;
                }
            }
            if (longest == nullptr) {
                ++at;
                continue;
            }
            append_ordinary(text.subspan(start, at - start), ids);
            ids.push_back(special_ids_.at(*longest));
            start = at += longest->size();
        }
        append_ordinary(text.subspan(start), ids);
        return ids;
    }

  private:
    void append_ordinary(bpe::Bytes text, Ids& ids) const {
        for (const bpe::Bytes piece : fuzz::pretokens(pattern_, text)) {
            const std::string word(bpe::as_string(piece));
            if (whole_tokens_ && ids_.contains(word)) {
                ids.push_back(ids_.at(word));
                continue;
            }
            for (const std::string& symbol : naive::encode(word, ranks_)) ids.push_back(ids_.at(symbol));
        }
    }

    // Prefixes of each other, an ordinary byte, white space at both ends, and a part of a character. None is
    // a line feed or a space, at which a text may be cut.
    const std::vector<std::string> specials_ = {
        std::string(special), "<|end|><|end|>", "<|", " <s> ", "\n\n\n", "x", "\xe5\xad", "学习 学"};
    bpe::Pattern pattern_;
    bool whole_tokens_ = false;
    std::map<naive::Pair, std::size_t> ranks_;
    std::map<std::string, bpe::TokenId> ids_;
    std::map<std::string, bpe::TokenId> special_ids_;
    std::unique_ptr<bpe::Encoder> encoder_;
};

const Subject& subject(std::size_t kind) {
    static std::map<std::size_t, std::unique_ptr<Subject>> subjects;
    std::unique_ptr<Subject>& found = subjects[kind];
    if (!found) found = std::make_unique<Subject>(kind);
    return *found;
}

void check_cuts(const Subject& subject, bpe::Bytes text, const Ids& whole, std::size_t place) {
    const bpe::SpecialTokens& specials = subject.encoder().specials();
    Ids joined;
    const auto add = [&](bpe::Bytes part) {
        const Ids ids = subject.encode(part);
        joined.insert(joined.end(), ids.begin(), ids.end());
    };
    for (const bpe::Bytes chunk : bpe::split_into_chunks(text, specials, place)) add(chunk);
    fuzz::check(joined == whole, "chunks give the ids of the whole text");

    // Few cuts between pre-tokens show in the ids.
    std::vector<const std::uint8_t*> ends;
    for (const bpe::Bytes chunk : bpe::split_into_chunks(text, {}, place)) {
        for (const bpe::Bytes piece : fuzz::pretokens(subject.pattern(), chunk)) {
            ends.push_back(piece.data() + piece.size());
        }
    }
    fuzz::check(std::ranges::equal(ends, fuzz::pretokens(subject.pattern(), text), {}, {},
                                   [](bpe::Bytes piece) { return piece.data() + piece.size(); }),
                "chunks give the pre-tokens of the whole text");

    joined.clear();
    const std::size_t length = std::max(place + 1, text.size() / 4);
    for (std::size_t start = 0; start < text.size(); start += length) {
        add(bpe::part_of(text, specials, start, start + length));
    }
    fuzz::check(joined == whole, "adjacent ranges give the ids of the whole text");

    joined.clear();
    const std::size_t cut = bpe::last_safe_cut(text.first(std::min(place, text.size())), specials);
    add(text.first(cut));
    add(text.subspan(cut));
    fuzz::check(joined == whole, "the beginning of a text can be encoded before the rest is known");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input input(data, size);
    const Subject& tokenizer = subject(input.number(2 * fuzz::patterns.size()));
    const std::size_t place = input.number(256);
    const bool threads = input.number(64) == 63;
    const std::vector<std::uint8_t> text = input.rest();

    const Ids ids = tokenizer.encode(text);
    fuzz::check(ids == tokenizer.expected(text, true), "the ids are those of the definition");
    fuzz::check(ids == tokenizer.encode(text), "ids from the cache are the same");
    fuzz::check(tokenizer.encode(text, false) == tokenizer.expected(text, false),
                "without special tokens, the ids are those of the definition");
    std::string decoded;
    for (const bpe::TokenId id : ids) decoded += tokenizer.encoder().vocabulary().bytes(id);
    fuzz::check(decoded == bpe::as_string(text), "decoding gives the text back");
    check_cuts(tokenizer, text, ids, place);
    if (threads) {
        const std::vector<bpe::Bytes> texts(7, text);
        const auto batch = tokenizer.encoder().encode_all<std::uint32_t>(texts, true, 2, keep_going);
        fuzz::check(batch.offsets.size() == texts.size() + 1 && batch.offsets.front() == 0 &&
                        batch.offsets.back() == static_cast<std::int64_t>(batch.ids.size),
                    "the offsets of a batch span its ids");
        for (std::size_t k = 0; k < texts.size(); ++k) {
            fuzz::check(std::ranges::equal(ids, std::span(&batch.ids.span()[0] + batch.offsets[k],
                                                          &batch.ids.span()[0] + batch.offsets[k + 1])),
                        "a batch gives the same ids");
        }
    }
    return 0;
}
