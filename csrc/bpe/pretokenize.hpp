// Pre-tokenizers as hand-written scanners: the same cuts as the `regex` package makes with the published
// patterns (course_lib/tokenizer/patterns.py holds them), without a regular-expression engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace bpe {

enum class Pattern : std::uint8_t { gpt2, cl100k, o200k, deepseek, qwen2, llama3, starcoder };

std::optional<Pattern> pattern_from_name(std::string_view name);

// How runs of ASCII are cut; the ends are the same.
enum class BlockCutter : std::uint8_t { any_processor, avx2, avx512 };

// Those that this processor can run and COURSE_CPU_CAPABILITY allows (cpu/isa.hpp), the fastest last.
std::span<const BlockCutter> available_block_cutters();

// Cuts [begin, end) into pre-tokens and writes the end of each one to `ends`, at most `capacity` of them (at
// least 64 for full speed). Returns the number written: at least one while text is left, but it may be less
// than `capacity`. Pre-tokens are contiguous: number k is [ends[k - 1], ends[k]), and the first one starts at
// `begin`. To continue, call again with the last end as `begin`; no pattern looks behind that place. A byte
// that is not part of valid UTF-8 counts as a symbol character (neither letter, digit nor space).
std::size_t pretokenize(Pattern pattern, const std::uint8_t* begin, const std::uint8_t* end,
                        const std::uint8_t** ends, std::size_t capacity,
                        BlockCutter cutter = available_block_cutters().back());

}  // namespace bpe
