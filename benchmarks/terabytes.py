"""The page benchmarks/terabytes.md, from what cluster_arithmetic.py has measured."""

import math
import os
import platform
import textwrap
from collections.abc import Sequence
from typing import Any

from heaps import Heaps, predicted_missed, share_at_least, tree_levels

from course_lib.tokenizer.cluster import FAN_IN

VOCAB_SIZE = 32_000
TABLE_FILE = 1_000_000  # bytes; larger files of packages are dictionaries and test data
CORES = {10**12: 64, 10**14: 1024}
NETWORK = 1.25e9  # bytes per second: 10 Gbit/s
BLOCK = 1 << 28  # bytes a task counts, as cluster.py chooses for large texts
TRAINER_LIMIT = 1 << 32  # bytes of distinct pre-tokens
# Bytes in the table of counts (csrc/bpe/word_table.hpp) of a slot for a word up to 15 bytes, and for a longer one,
# whose text is stored separately. Each of the table's two parts starts with FIRST_SLOTS and quadruples when half full.
SHORT_SLOT, LONG_SLOT, FIRST_SLOTS = 24, 32, 1 << 12
# Google's Web 1T 5-gram (Brants and Franz 2006, LDC2006T13): words that occur at least 200 times among these.
WEB_TOKENS, WEB_WORDS, WEB_LEAST = 1_024_908_267_229, 13_588_391, 200
MAX_WORDS = 1 << 24


def page(found: dict[str, Any]) -> str:
    """The Markdown page."""
    law: Heaps = found["law"]
    expected = law(WEB_TOKENS) * share_at_least(WEB_LEAST, law.beta)
    web = Heaps(law.scale * WEB_WORDS / expected, law.beta)
    blocks = [
        "# What training on a terabyte takes",
        paragraph(f"""
            One run of `python benchmarks/cluster_arithmetic.py` measured or computed every number here and wrote
            this page ({platform.system()} {platform.machine()}, {os.cpu_count()} processors, Python
            {platform.python_version()}). `course_lib.tokenizer.cluster` divides files into parts, counts the
            pre-tokens of each on a worker, merges the counts in a tree, {FAN_IN} at a time, and learns the merges
            where the job was started. The text costs time; distinct pre-tokens cost memory and network. How many
            are there?"""),
        *distinct_section(found, law, expected),
        *cost_section(found),
        "## Exact counts",
        paragraph(f"""
            Parts of {amount(BLOCK)}B; a network of {amount(NETWORK)}B a second at each machine; "reading meanwhile"
            is what the disks must deliver to keep the cores busy. Slower disks decide the time."""),
        exact_table(found, law, web),
        paragraph(f"""
            The trainer takes {amount(TRAINER_LIMIT)}B of distinct pre-tokens and refuses more. The CPU times are
            for tables of the size measured; larger ones miss the caches more often."""),
        *pruning_section(found, law, web),
        *simulation_section(found),
        "## Encoding",
        encoding(found["packages"]["bytes_a_token"]),
    ]
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def distinct_section(found: dict[str, Any], law: Heaps, expected: float) -> list[str]:
    points = found["points"]
    growth = 10**12 / found["bytes_a_pretoken"] / points[-1][0]
    return [
        "## Distinct pre-tokens",
        paragraph(f"""
            Real text: the Python and text files of the packages installed here, files above {amount(TABLE_FILE)}B
            left out, in random order; GPT-2's pattern. Distinct pre-tokens are means over three orders."""),
        table(
            ("text", "pre-tokens", "distinct", "Heaps' law"),
            [
                (f"{amount(size)}B", f"{pretokens:,}", f"{distinct:,.0f}", f"{law(pretokens):,.0f}")
                for size, (pretokens, distinct) in zip(found["sizes"], points, strict=True)
            ],
        ),
        paragraph(f"""
            Heaps' law, V = {law.scale:.2f} · N^{law.beta:.3f}, is fitted to all but the two smallest. Fitted
            without the three largest, it predicts the largest, 8 times as much text, {off(found["check"])}. Slopes
            over three octaves lie between {min(found["slopes"]):.3f} and {max(found["slopes"]):.3f}. At 1 TB,
            {growth:,.0f} times the text measured, an error of 0.02 in the exponent is a factor of
            {growth**0.02:.2f}."""),
        paragraph(f"""
            How far does a law of source code carry? Google counted {WEB_TOKENS:,} words of English web pages and
            published the {WEB_WORDS:,} that occur {WEB_LEAST} times or more (LDC2006T13). Our law and Karlin's
            (1967) share of the words that occur so often give {amount(expected)}: {WEB_WORDS / expected:.1f} times
            too few. The tables below have both: "packages", and "web", the same law times that factor. Karlin's
            share is an approximation, too. By it, {law.beta:.0%} of the distinct pre-tokens occur once;
            {found["once"]:.0%} of those of the packages do, since real words come in bursts. (Of the generated text
            below, without bursts, {found["open"]["once"]:.0%}; the law says {found["open_law"].beta:.0%}.)"""),
    ]


def cost_section(found: dict[str, Any]) -> list[str]:
    packages, simulation, root = found["packages"], found["open"], found["open"]["root"]
    return [
        "## What one of them costs",
        table(
            ("", "bytes", "ns of CPU"),
            [
                ("packed, on the network or a disk", f"{packages['packed_word']:.1f}", ""),
                ("read from a block while blocks are merged", "", f"{simulation['merge_s'] * 1e9:.0f}"),
                ("in the table of counts", f"{root['table_bytes']:.0f}", f"{root['unpack_s'] * 1e9:.0f}"),
                (
                    f"there, while {VOCAB_SIZE - 257:,} merges are learnt",
                    f"{root['train_bytes']:.0f}",
                    f"{root['train_s'] * 1e9:.0f}",
                ),
            ],
        ),
        paragraph(f"""
            The first line is from the packages, the others from the {amount(simulation["bytes"])}B of the
            simulation below, with {simulation["levels"][-1][1]:,} distinct pre-tokens. Counting takes a second of
            one core for {amount(found["count_speed"])}B. A pre-token has {found["bytes_a_pretoken"]:.2f} bytes, a
            distinct one {found["word_bytes"]:.1f} in the mean."""),
        paragraph(f"""
            The table quadruples when it is half full: a word of up to 15 bytes has {2 * SHORT_SLOT} to
            {8 * SHORT_SLOT} bytes of it, a longer one ({found["long"]:.0%} of the packages' words, with
            {found["long_bytes"]:.0f} bytes in the mean) {2 * LONG_SLOT} to {8 * LONG_SLOT} and its text. For the
            simulation that makes
            {table_bytes(found, simulation["levels"][-1][1], 0) / simulation["levels"][-1][1]:.0f} bytes a word;
            below, tables are computed so, and what learning takes on top is as measured."""),
    ]


def pruning_section(found: dict[str, Any], law: Heaps, web: Heaps) -> list[str]:
    packages, points = found["packages"], found["points"]
    density = 1 / found["bytes_a_pretoken"]
    rows = [
        (
            row["how"],
            f"{row['distinct']:,}",
            f"{row['dropped']:.2%}" if "dropped" in row else "",
            *(f"{row[name]:,.0f}" if name in row else "" for name in ("largest", "missed", "bound")),
            f"{predicted_missed(found['sizes'][-1], packages['block'], density, law, row['max_words']):,}"
            if "max_words" in row
            else "",
            f"{row['comparison'].first_difference + 1:,}",
            f"{row['comparison'].shared:.1%}",
            f"{row['comparison'].tokens - 1:+.2%}",
        )
        for row in packages["rows"]
    ]
    titles = (
        *("counts", "distinct", "dropped", "undercount", "reported", "bound", "predicted"),
        *("first other merge", "merges shared", "tokens"),
    )
    return [
        "## Pruning",
        paragraph("""
            With `max_words = k`, each step of the tree keeps the k most frequent pre-tokens at most. What a step
            drops occurs t times there or less, and more than k words occur t times or more: of n occurrences, t ≤ n
            / (k + 1). A pre-token is undercounted by at most the sum of all t, and that is at most N / (k + 1) for
            each level of the tree: the bound of lossy counting (Manku and Motwani 2002), once per level.
            `count_pretokens` returns the sum of the t that occurred (`missed`), and how many occurrences were
            dropped in all (`dropped`). The count of a pair misses what the dropped words contain of it, so merges
            can change from the first place on where two pairs are closer than that."""),
        paragraph(f"""
            On the packages, in {packages["parts"]} parts of {amount(packages["block"])}B, with {VOCAB_SIZE:,}
            tokens: the largest undercount that there was, the sum reported, the bound, and the sum that Heaps' law
            and Karlin's shares predict. Merges are compared with the exact ones: the place of the first that
            differs, the share that is found at any place, and how many more tokens held-out files have. The last
            lines train on some of the parts instead."""),
        table(titles, rows),
        paragraph(f"""
            The lists differ early and matter little: the share of common merges tells what is learnt, the tokens
            what it is worth. The rarest merge rests on {packages["last_merge"]} occurrences here,
            {packages["last_merge"] / points[-1][0]:.1e} of the pre-tokens; the same part of a larger text is the
            last column below. With {MAX_WORDS:,} words, a merge of {FAN_IN} packed counts holds
            {amount((FAN_IN + 1) * MAX_WORDS * packages["packed_word"])}B and learning takes
            {amount(learning_bytes(found, MAX_WORDS))}B, whatever the text:"""),
        pruned_table(found, law, web),
        paragraph(f"""
            Choose k above the words of one part ({amount(law(BLOCK * density))} in {amount(BLOCK)}B of packages,
            {amount(web(BLOCK * density))} of web text): every part that drops anything adds its t to the sum."""),
    ]


def simulation_section(found: dict[str, Any]) -> list[str]:
    simulation, law = found["open"], found["open_law"]
    total, size = simulation["total"], simulation["bytes"]
    merged = sum(packed for *_, packed in simulation["levels"][:-1])
    return [
        "## Simulation",
        paragraph(f"""
            {amount(size)}B of generated words, {total:,} pre-tokens, whose distinct ones grow as those of the
            packages (fitted without the three largest of sizes that double, the law is {off(found["open_check"])}
            at the largest), in parts of {amount(simulation["block"])}B. What each level of the tree holds, and what
            the law says:"""),
        table(
            ("level", "results", "words in them", "predicted", "packed"),
            [
                (
                    str(number),
                    str(results),
                    f"{words:,}",
                    f"{results * law(total / results):,.0f}",
                    f"{amount(packed)}B",
                )
                for number, (results, words, packed) in enumerate(simulation["levels"])
            ],
        ),
        paragraph(f"""
            Two worker processes of a local Dask cluster gave the same bytes as one process, in
            {simulation["dask_s"]:.1f} s of wall time, and sent each other {amount(simulation["dask_sent"])}B of the
            {amount(merged)}B that were merged. Pruned at each step, with the sum of what the steps dropped
            (reported), the prediction and the bound:"""),
        table(
            ("max_words", "kept", "dropped", "reported", "predicted", "bound", "all results, packed"),
            [
                (
                    f"{row['max_words']:,}",
                    f"{row['kept']:,}",
                    f"{row['dropped']:.2%}",
                    f"{row['missed']:,}",
                    f"{predicted_missed(size, simulation['block'], total / size, law, row['max_words']):,}",
                    f"{row['bound']:,.0f}",
                    f"{amount(row['sent'])}B",
                )
                for row in simulation["pruned"]
            ],
        ),
    ]


def encoding(bytes_a_token: float) -> str:
    ids = 2e12 / bytes_a_token
    return paragraph(f"""
        Ids are written where the job was started: with {bytes_a_token:.2f} bytes of text per token and two bytes
        per id, {amount(ids)}B for 1 TB, {clock(ids / NETWORK)} on its network, and {clock(100 * ids / NETWORK)} for 100
        TB. From there on, encode the files one by one from several machines.""")


def paragraph(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def exact_table(found: dict[str, Any], *laws: Heaps) -> str:
    root, packed = found["open"]["root"], found["packages"]["packed_word"]
    columns = []
    for size, cores in CORES.items():
        for name, law in zip(("packages", "web"), laws, strict=True):
            distinct = law(size / found["bytes_a_pretoken"])
            levels = tree_levels(size, BLOCK)
            words = [law(text / found["bytes_a_pretoken"]) for _, text in levels]
            sent = sum(number * each * packed for (number, _), each in zip(levels, words, strict=True))
            merging = sum(FAN_IN * each * found["open"]["merge_s"] for each in words[:-1])
            columns.append(
                (
                    f"{amount(size)}B, {name}",
                    amount(distinct),
                    f"{amount(distinct * found['word_bytes'])}B",
                    "yes" if distinct * found["word_bytes"] < TRAINER_LIMIT else "no",
                    f"{amount(table_bytes(found, distinct, found['long']))}B",
                    f"{amount(learning_bytes(found, distinct))}B",
                    f"{len(levels)}",
                    f"{amount(sent)}B",
                    f"{amount(FAN_IN * words[-2] * packed)}B, {clock(FAN_IN * words[-2] * packed / NETWORK)}",
                    f"{size / found['count_speed'] / 3600:,.1f}",
                    f"{cores:,} cores: {clock(size / found['count_speed'] / cores)}",
                    f"{amount(found['count_speed'] * cores)}B/s",
                    clock(merging),
                    clock(distinct * (root["unpack_s"] + root["train_s"])),
                )
            )
    titles = (
        "",
        "distinct pre-tokens",
        "their bytes",
        "within the trainer's limit",
        "table of counts",
        "learning the merges",
        "levels of the tree",
        "sent in all, packed",
        "sent to the last merge",
        "CPU hours of counting",
        "counting",
        "reading meanwhile",
        "merging counts, the longest path",
        "learning the merges, one core",
    )
    rows = list(zip(titles, *columns, strict=True))
    return table(rows[0], rows[1:])


def table_bytes(found: dict[str, Any], distinct: float, long_share: float) -> float:
    """The memory of the counts of ``distinct`` words, of which a share ``long_share`` has more than 15 bytes."""

    def slots(words: float) -> int:
        number = FIRST_SLOTS
        while 2 * words > number:
            number *= 4
        return number

    long = distinct * long_share
    return SHORT_SLOT * slots(distinct - long) + LONG_SLOT * slots(long) + long * found["long_bytes"]


def learning_bytes(found: dict[str, Any], distinct: float) -> float:
    """The memory of learning the merges: the table, and the measured additional memory per word."""
    root = found["open"]["root"]
    return table_bytes(found, distinct, found["long"]) + distinct * (
        root["train_bytes"] - root["table_bytes"]
    )


def pruned_table(found: dict[str, Any], *laws: Heaps) -> str:
    rows = []
    for size in CORES:
        for name, law in zip(("packages", "web"), laws, strict=True):
            density = 1 / found["bytes_a_pretoken"]
            levels = tree_levels(size, BLOCK)
            sent = sum(
                number * min(MAX_WORDS, law(text * density)) * found["packages"]["packed_word"]
                for number, text in levels
            )
            rows.append(
                (
                    f"{amount(size)}B, {name}",
                    f"{amount(sent)}B",
                    f"{predicted_missed(size, BLOCK, density, law, MAX_WORDS):,}",
                    f"{len(levels) * size * density / (MAX_WORDS + 1):,.0f}",
                    amount(found["packages"]["last_merge"] / found["points"][-1][0] * size * density),
                )
            )
    return table(("", "sent in all, packed", "undercount, predicted", "bound", "rarest merge"), rows)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def amount(number: float) -> str:
    """About three digits and a prefix k, M, G, T or P, for the unit that follows."""
    power = min(5, max(0, math.floor(math.log10(max(number, 1)) / 3)))
    scaled = number / 1000**power
    digits = f"{scaled:.{2 if scaled < 10 else 1 if scaled < 100 else 0}f}"
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return f"{digits} {' kMGTP'[power].strip()}"


def clock(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def off(ratio: float) -> str:
    return f"{abs(ratio - 1):.1%} too {'high' if ratio > 1 else 'low'}"
