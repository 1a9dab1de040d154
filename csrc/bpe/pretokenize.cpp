#include "bpe/pretokenize.hpp"

#include <array>

#include "bpe/avx2_blocks.hpp"
#include "bpe/avx512_blocks.hpp"
#include "bpe/block_cuts.hpp"
#include "bpe/contraction.hpp"
#include "bpe/ideographs.hpp"
#include "bpe/unicode.hpp"
#include "cpu/isa.hpp"

namespace bpe {
namespace {

using Pointer = const std::uint8_t*;

bool is_line_end(std::uint8_t byte) {
    return byte == '\r' || byte == '\n';
}

// The end of the run of characters from `at` that have one of the classes `wanted` and none of `unwanted`.
Pointer run_of(unsigned wanted, Pointer at, Pointer end, unsigned unwanted = 0) {
    while (at < end) {
        const Character next = character_at(at, end);
        if (!next.is(wanted) || next.is(unwanted)) break;
        at += next.length;
    }
    return at;
}

// The end of the run of characters from `at` that have none of the classes `unwanted`.
Pointer run_without(unsigned unwanted, Pointer at, Pointer end) {
    while (at < end) {
        const Character next = character_at(at, end);
        if (next.is(unwanted)) break;
        at += next.length;
    }
    return at;
}

// The end of the run of letters from `at`.
Pointer letters(Pointer at, Pointer end) {
    for (;;) {
        if (at < end && leads_ideograph(*at)) at = skip_ideographs(at, end);
        if (at == end) return at;
        const Character next = character_at(at, end);
        if (!next.is(letter)) return at;
        at += next.length;
    }
}

// \p{N}{1,count}, where `first` is at `at`.
Pointer digits(Pointer at, Pointer end, Character first, int count) {
    at += first.length;
    while (--count > 0 && at < end) {
        const Character next = character_at(at, end);
        if (!next.is(digit)) break;
        at += next.length;
    }
    return at;
}

// The end of the contraction at `at`, or `at` itself where there is none.
template <Case letter_case>
Pointer contraction(Pointer at, Pointer end) {
    if (at == end || *at != '\'') return at;
    return at + contraction_length<letter_case>(at, static_cast<std::size_t>(end - at));
}

// A run of white space from `at` on.
struct SpaceRun {
    Pointer end;
    Pointer last;            // where its last character begins
    Pointer after_line_end;  // after its last line end; nullptr if it has none

    SpaceRun(Pointer at, Pointer text_end) : end(at), last(at), after_line_end(nullptr) {
        while (end < text_end) {
            const Character next = character_at(end, text_end);
            if (!next.is(space)) break;
            if (is_line_end(*end)) after_line_end = end + 1;
            last = end;
            end += next.length;
        }
    }

    // \s+(?!\S)|\s+ : leaves out the last character if something visible follows.
    Pointer without_last(Pointer at, bool visible_follows) const {
        return visible_follows && last != at ? last : end;
    }
};

// GPT-2, and StarCoder, which first cuts out every digit and then treats each remaining segment like a
// separate text.
template <Pattern pattern>
Pointer next_gpt2(Pointer at, Pointer end) {
    constexpr bool single_digits = pattern == Pattern::starcoder;
    if (const Pointer stop = contraction<Case::sensitive>(at, end); stop != at) return stop;
    Pointer start = at;
    Character first = character_at(at, end);
    if (*at == ' ' && at + 1 < end) {
        const Character second = character_at(at + 1, end);
        if (!second.is(single_digits ? space | digit : space)) {
            start = at + 1;
            first = second;
        }
    }
    if (first.is(letter)) return letters(start, end);
    if (first.is(digit)) return single_digits ? start + first.length : run_of(digit, start, end);
    if (!first.is(space)) return run_without(letter | digit | space, start, end);
    const SpaceRun run(at, end);
    return run.without_last(at, run.end < end && !(single_digits && character_at(run.end, end).is(digit)));
}

// ` ?[^\s\p{L}\p{N}]+[\r\n]*`, with "/" among the line ends for o200k; `at` itself if it does not match.
Pointer symbols(Pointer at, Pointer end, Character first, bool slash) {
    Pointer start = at;
    if (*at == ' ' && at + 1 < end) {
        ++start;
        first = character_at(start, end);
    }
    if (first.is(letter | digit | space)) return at;
    Pointer stop = run_without(letter | digit | space, start + first.length, end);
    while (stop < end && (is_line_end(*stop) || (slash && *stop == '/'))) ++stop;
    return stop;
}

// \s*[\r\n]+|\s+(?!\S)|\s+
Pointer spaces(Pointer at, Pointer end) {
    const SpaceRun run(at, end);
    return run.after_line_end != nullptr ? run.after_line_end : run.without_last(at, run.end < end);
}

// cl100k, and Qwen2 and Llama 3, which lack its rule \s++$ before all other rules for white space. Qwen2 also
// takes digits one by one.
template <Pattern pattern>
Pointer next_cl100k(Pointer at, Pointer end) {
    if (const Pointer stop = contraction<Case::insensitive>(at, end); stop != at) return stop;
    const Character first = character_at(at, end);
    if (first.is(letter)) return letters(at + first.length, end);
    if (first.is(digit)) return digits(at, end, first, pattern == Pattern::qwen2 ? 1 : 3);
    if (!is_line_end(*at) && at + first.length < end) {
        const Character second = character_at(at + first.length, end);
        if (second.is(letter)) return letters(at + first.length + second.length, end);
    }
    if (const Pointer stop = symbols(at, end, first, false); stop != at) return stop;
    if constexpr (pattern == Pattern::cl100k) {
        const SpaceRun run(at, end);
        if (run.end == end) return end;
    }
    return spaces(at, end);
}

// The two alternatives of o200k for a word that starts at `at`, after the optional character before it.
struct O200kWord {
    Pointer capitalized = nullptr;  // [upper]*[lower]+ ends here; nullptr if it does not match
    Pointer all_upper = nullptr;    // [upper]+[lower]* ends here

    O200kWord(Pointer at, Pointer end) {
        Pointer stop = at;
        Pointer behind_lower = nullptr;  // after the last character of the run that is in both classes
        while (stop < end) {
            if (leads_ideograph(*stop)) {  // in both classes
                if (const Pointer behind = skip_ideographs(stop, end); behind != stop) {
                    stop = behind_lower = behind;
                    continue;
                }
            }
            const Character next = character_at(stop, end);
            if (!next.is(upper)) break;
            stop += next.length;
            if (next.is(lower)) behind_lower = stop;
        }
        const Pointer lower_end = run_of(lower, stop, end);
        // If nothing lower follows, [upper]* gives characters back until [lower]+ matches one.
        capitalized = lower_end != stop ? lower_end : behind_lower;
        if (stop != at) all_upper = lower_end;
    }
};

Pointer next_o200k(Pointer at, Pointer end) {
    const Character first = character_at(at, end);
    const bool may_precede = !first.is(letter | digit) && !is_line_end(*at);
    if (may_precede || first.is(letter)) {
        Pointer stop = nullptr;
        if (may_precede && at + first.length < end) {
            const O200kWord behind(at + first.length, end);
            stop = behind.capitalized;
            // A mark can itself begin the word, without a character before it.
            if (stop == nullptr && first.is(mark)) stop = O200kWord(at, end).capitalized;
            if (stop == nullptr) stop = behind.all_upper;
        } else if (first.is(letter | mark)) {
            const O200kWord word(at, end);
            stop = word.capitalized != nullptr ? word.capitalized : word.all_upper;
        }
        if (stop != nullptr) return contraction<Case::insensitive>(stop, end);
    }
    if (first.is(digit)) return digits(at, end, first, 3);
    if (const Pointer stop = symbols(at, end, first, true); stop != at) return stop;
    return spaces(at, end);
}

bool is_ascii_letter(std::uint8_t byte) {
    return static_cast<std::uint8_t>((byte | 0x20) - 'a') < 26;
}

// DeepSeek first cuts out digits, then ideographs and kana, and then treats each remaining segment like a
// separate text.
Pointer next_deepseek(Pointer at, Pointer end) {
    const Character first = character_at(at, end);
    if (first.is(digit)) return digits(at, end, first, 3);
    if (first.is(cjk)) return run_of(cjk, at + first.length, end);
    const Pointer behind = at + first.length;
    if (*at < 0x80 && first.is(punct_symbol) && behind < end && is_ascii_letter(*behind)) {
        Pointer stop = behind;
        while (stop < end && is_ascii_letter(*stop)) ++stop;
        return stop;
    }
    if (first.is(letter | mark)) return run_of(letter | mark, behind, end, cjk);
    if (!is_line_end(*at) && !first.is(punct_symbol) && behind < end) {
        const Character second = character_at(behind, end);
        if (second.is(letter | mark) && !second.is(cjk)) {
            return run_of(letter | mark, behind + second.length, end, cjk);
        }
    }
    const Pointer start = *at == ' ' && behind < end ? behind : at;
    if (Pointer stop = run_of(punct_symbol, start, end, cjk); stop != start) {
        while (stop < end && is_line_end(*stop)) ++stop;
        return stop;
    }
    if (first.is(space)) {
        const SpaceRun run(at, end);
        if (run.after_line_end != nullptr) return run.after_line_end;
        return run.without_last(at, run.end < end && !character_at(run.end, end).is(digit | cjk));
    }
    // No alternative matches a control or unassigned character. A run of them is one pre-token, except that
    // the last one belongs to the word that follows it, if any.
    Pointer stop = at;
    Pointer last = at;
    while (stop < end) {
        const Character next = character_at(stop, end);
        if (next.is(letter | mark | digit | space | punct_symbol | cjk)) {
            return next.is(letter | mark) && !next.is(cjk) && last != at ? last : stop;
        }
        last = stop;
        stop += next.length;
    }
    return stop;
}

template <Pattern pattern>
Pointer next_pretoken(Pointer at, Pointer end) {
    if constexpr (pattern == Pattern::gpt2 || pattern == Pattern::starcoder) {
        return next_gpt2<pattern>(at, end);
    } else if constexpr (pattern == Pattern::o200k) {
        return next_o200k(at, end);
    } else if constexpr (pattern == Pattern::deepseek) {
        return next_deepseek(at, end);
    } else {
        return next_cl100k<pattern>(at, end);
    }
}

template <Pattern pattern>
std::size_t scan([[maybe_unused]] BlockCutter cutter, Pointer begin, Pointer end, Pointer* ends,
                 std::size_t capacity) {
    auto* cut = cut_blocks<pattern>;
#ifdef BPE_HAS_AVX2_BLOCKS
    if (cutter == BlockCutter::avx2) cut = avx2::cut_blocks<pattern>;
#endif
#ifdef BPE_HAS_AVX512_BLOCKS
    if (cutter == BlockCutter::avx512) cut = avx512::cut_blocks<pattern>;
#endif
    std::size_t count = 0;
    while (begin < end && count < capacity) {
        if (is_worth_a_block(begin, end)) {
            // Return early: the next call has room for a whole block.
            if (capacity - count < AsciiBlock::size && capacity >= AsciiBlock::size) break;
            if (const std::size_t found = cut(begin, end, ends + count, capacity - count)) {
                count += found;
                continue;
            }
        }
        begin = next_pretoken<pattern>(begin, end);
        ends[count++] = begin;
    }
    return count;
}

}  // namespace

std::optional<Pattern> pattern_from_name(std::string_view name) {
    if (name == "gpt2") return Pattern::gpt2;
    if (name == "cl100k") return Pattern::cl100k;
    if (name == "o200k") return Pattern::o200k;
    if (name == "deepseek") return Pattern::deepseek;
    if (name == "qwen2") return Pattern::qwen2;
    if (name == "llama3") return Pattern::llama3;
    if (name == "starcoder") return Pattern::starcoder;
    return std::nullopt;
}

std::span<const BlockCutter> available_block_cutters() {
    static constexpr std::array cutters{BlockCutter::any_processor, BlockCutter::avx2, BlockCutter::avx512};
    static const std::size_t count = [] {
        std::size_t found = 1;
        [[maybe_unused]] const cpu::Isa best = cpu::available_isas().back();
#ifdef BPE_HAS_AVX2_BLOCKS
        if (best != cpu::Isa::portable && avx2_blocks_run()) found = 2;
#endif
#ifdef BPE_HAS_AVX512_BLOCKS
        if (best == cpu::Isa::avx512 && found == 2 && avx512_blocks_run()) found = 3;
#endif
        return found;
    }();
    return std::span(cutters).first(count);
}

std::size_t pretokenize(Pattern pattern, const std::uint8_t* begin, const std::uint8_t* end,
                        const std::uint8_t** ends, std::size_t capacity, BlockCutter cutter) {
    switch (pattern) {
        case Pattern::gpt2:
            return scan<Pattern::gpt2>(cutter, begin, end, ends, capacity);
        case Pattern::cl100k:
            return scan<Pattern::cl100k>(cutter, begin, end, ends, capacity);
        case Pattern::o200k:
            return scan<Pattern::o200k>(cutter, begin, end, ends, capacity);
        case Pattern::deepseek:
            return scan<Pattern::deepseek>(cutter, begin, end, ends, capacity);
        case Pattern::qwen2:
            return scan<Pattern::qwen2>(cutter, begin, end, ends, capacity);
        case Pattern::llama3:
            return scan<Pattern::llama3>(cutter, begin, end, ends, capacity);
        case Pattern::starcoder:
            return scan<Pattern::starcoder>(cutter, begin, end, ends, capacity);
    }
    return 0;
}

}  // namespace bpe
