"""Write csrc/bpe/unicode_table.inc: what the pre-tokenization patterns ask about every Unicode character.

    python csrc/generate_unicode_table.py

The ``regex`` package itself is asked, character by character, so that the compiled scanners and the package agree by
construction. Run it again when ``regex`` moves to a newer Unicode; a test says when.
"""

from pathlib import Path

import regex

TARGET = Path(__file__).parent / "bpe" / "unicode_table.inc"
BLOCK = 256

# In the order of the bits of CharClass in csrc/bpe/unicode.hpp.
CLASSES = [
    r"\p{L}",
    r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]",
    r"\p{N}",
    r"\s",
    r"\p{M}",
    r"[\p{P}\p{S}]",
    "[一-龥\u3040-ゟ゠-ヿ]",
]


def classes() -> bytearray:
    """One byte for each code point; surrogates, which no UTF-8 text holds, have none of the classes."""
    characters = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    table = bytearray(0x110000)
    for bit, pattern in enumerate(CLASSES):
        for run in regex.finditer(f"{pattern}+", characters):
            for character in run.group():
                table[ord(character)] |= 1 << bit
    return table


def render(table: bytearray) -> str:
    """The table in two stages, as C++ initializers: equal blocks are kept once."""
    blocks = [bytes(table[start : start + BLOCK]) for start in range(0, len(table), BLOCK)]
    distinct = list(dict.fromkeys(blocks))
    number = {block: index for index, block in enumerate(distinct)}
    if len(distinct) > 256:
        raise ValueError(f"{len(distinct)} distinct blocks do not fit one byte: choose another block size")

    def rows(values: list[int]) -> str:
        return "".join(
            f"    {', '.join(map(str, values[at : at + 24]))},\n" for at in range(0, len(values), 24)
        )

    return (
        "// Made by csrc/generate_unicode_table.py with the regex package "
        f"{regex.__version__}. Not to be edited.\n"
        f"constexpr std::array<std::uint8_t, {len(blocks)}> block_of = {{\n"
        f"{rows([number[block] for block in blocks])}}};\n"
        f"constexpr std::array<std::uint8_t, {len(distinct) * BLOCK}> classes = {{\n"
        f"{rows(list(b''.join(distinct)))}}};\n"
    )


if __name__ == "__main__":
    TARGET.write_text(render(classes()), encoding="ascii")
