"""Write csrc/bpe/unicode_table.inc: the classes of every Unicode character that the pre-tokenization patterns use.

    python csrc/generate_unicode_table.py

The classes come from the ``regex`` package itself, so the compiled scanners and the package agree by construction. Run
this again when ``regex`` moves to a newer version of Unicode; a test fails then.
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
    """One byte per code point. Surrogates, which do not occur in UTF-8 text, have no class."""
    characters = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    table = bytearray(0x110000)
    for bit, pattern in enumerate(CLASSES):
        for run in regex.finditer(f"{pattern}+", characters):
            for character in run.group():
                table[ord(character)] |= 1 << bit
    return table


def render(table: bytearray) -> str:
    """The table in two stages, as C++ initializers: equal blocks are stored once."""
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
        "// Written by csrc/generate_unicode_table.py with the regex package "
        f"{regex.__version__}. Do not edit.\n"
        f"constexpr std::array<std::uint8_t, {len(blocks)}> block_of = {{\n"
        f"{rows([number[block] for block in blocks])}}};\n"
        f"constexpr std::array<std::uint8_t, {len(distinct) * BLOCK}> classes = {{\n"
        f"{rows(list(b''.join(distinct)))}}};\n"
    )


if __name__ == "__main__":
    TARGET.write_text(render(classes()), encoding="ascii")
