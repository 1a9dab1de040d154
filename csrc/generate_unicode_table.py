"""Write csrc/bpe/unicode_table.inc: the classes of every Unicode character that the pre-tokenization patterns use.

    python csrc/generate_unicode_table.py

``UNICODE_VERSION`` is the one place that says which Unicode the tokenizers follow: that of tiktoken and of Hugging
Face's tokenizers, since the ids of a published encoding are those that its own package gives. The same version serves
tokenizers that you train: saved as ``tokenizer.json``, they give the same ids in that package. A test compares every
character with both. When they follow a newer version, change the constant and the range of ``unicodedata2`` in
pyproject.toml, run this again, and say so in CHANGELOG.md, for some ids change.

The classes come from the official data, as ``unicodedata2`` holds them; its releases are numbered like Unicode's.
"""

from pathlib import Path

import unicodedata2

UNICODE_VERSION = "16.0.0"

TARGET = Path(__file__).parent / "bpe" / "unicode_table.inc"
BLOCK = 256
CODE_POINTS = 0x110000

# White_Space beyond the categories Zs, Zl and Zp.
SPACE_CONTROLS = frozenset("\t\n\v\f\r\x85")
CASELESS = frozenset({"Lm", "Lo", "Mn", "Mc", "Me"})


def class_bits(code: int) -> int:
    """The bits of CharClass in csrc/bpe/unicode.hpp. Surrogates, which do not occur in UTF-8 text, have none."""
    character = chr(code)
    category = unicodedata2.category(character)
    classes = (
        category[0] == "L",
        category in {"Lu", "Lt"} | CASELESS,
        category == "Ll" or category in CASELESS,
        category[0] == "N",
        category[0] == "Z" or character in SPACE_CONTROLS,
        category[0] == "M",
        category[0] in "PS",
        "一" <= character <= "龥" or "\u3040" <= character <= "ヿ",
    )
    return sum(1 << bit for bit, is_member in enumerate(classes) if is_member)


def render(table: bytes) -> str:
    """The table in two stages, as C++ initializers: equal blocks are stored once."""
    blocks = [table[start : start + BLOCK] for start in range(0, len(table), BLOCK)]
    distinct = list(dict.fromkeys(blocks))
    number = {block: index for index, block in enumerate(distinct)}
    if len(distinct) > 256:
        raise ValueError(f"{len(distinct)} distinct blocks do not fit one byte: choose another block size")

    def rows(values: list[int]) -> str:
        return "".join(
            f"    {', '.join(map(str, values[at : at + 24]))},\n" for at in range(0, len(values), 24)
        )

    return (
        "// Written by csrc/generate_unicode_table.py. Do not edit.\n"
        f'constexpr std::string_view version = "{UNICODE_VERSION}";\n'
        f"constexpr std::array<std::uint8_t, {len(blocks)}> block_of = {{\n"
        f"{rows([number[block] for block in blocks])}}};\n"
        f"constexpr std::array<std::uint8_t, {len(distinct) * BLOCK}> classes = {{\n"
        f"{rows(list(b''.join(distinct)))}}};\n"
    )


def main() -> None:
    """Write the table, from the version of the data that it is to follow."""
    if unicodedata2.unidata_version != UNICODE_VERSION:
        raise SystemExit(
            f"unicodedata2 is at Unicode {unicodedata2.unidata_version}: install unicodedata2=={UNICODE_VERSION}"
        )
    TARGET.write_text(render(bytes(map(class_bits, range(CODE_POINTS)))), encoding="ascii")


if __name__ == "__main__":
    main()
