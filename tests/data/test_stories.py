"""The generated story corpus: its contract, its grammar and its statistics."""

import itertools
import math
import re
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.data import SEPARATOR, stories, write_stories
from course_lib.data.stories import _storyteller
from course_lib.data.story_grammar import Bindings
from course_lib.data.story_words import parse_words, plural, with_article

LANGUAGES = ["en", "zh", "both"]
DATA = Path(__file__).parents[2] / "data"


def size(documents: list[str]) -> int:
    return sum(len(document.encode()) for document in documents)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_seed_decides_the_corpus(language: str) -> None:
    first, again, other = (list(stories(50_000, seed, language)) for seed in (7, 7, 8))
    assert first == again
    assert not set(first) & set(other)


@settings(deadline=None, max_examples=30)
@given(
    small=st.integers(0, 20_000),
    more=st.integers(0, 20_000),
    seed=st.integers(0, 2**70),
    language=st.sampled_from(LANGUAGES),
)
def test_size_and_prefix(small: int, more: int, seed: int, language: str) -> None:
    short, long = (list(stories(n, seed, language)) for n in (small, small + more))
    assert long[: len(short)] == short
    assert size(short) >= small
    assert size(short[:-1]) < small or not short


@pytest.mark.parametrize("language", LANGUAGES)
def test_documents_are_clean_text(language: str) -> None:
    for document in stories(1_000_000, 3, language):
        assert document.strip() == document
        assert document
        assert SEPARATOR not in document
        assert re.sub(r"\n\n?", "", document).isprintable()
        assert not re.search(r"[{}%|@\[\]]|  |\n\n\n", document)


def test_languages() -> None:
    assert all(document.isascii() for document in stories(500_000, 1, "en"))
    for document in stories(500_000, 1, "zh"):
        assert not re.search(r"[A-Za-z ,.!?\"']", document)
        assert document.count("“") == document.count("”")
    both = Counter(document.isascii() for document in stories(1_000_000, 1, "both"))
    assert 0.4 < both[True] / both.total() < 0.6


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_line_of_the_grammar_can_be_told(language: str) -> None:
    teller = _storyteller(language)
    uniform = np.random.default_rng(0).random
    assert len(teller.scenes) >= 10
    for stage in itertools.chain.from_iterable(teller.scenes):
        assert len(stage.alternatives) > stage.picks
        for template in itertools.chain.from_iterable(stage.alternatives):
            told = template % Bindings(teller.classes, uniform)
            assert not re.search(r"[{}\[\]|@%]", told), template


def test_english_agrees_with_itself() -> None:
    sums = 0
    names = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    numbers = {name: value for value, name in enumerate(names, start=2)}
    for document in stories(2_000_000, 5, "en"):
        assert not re.search(r"\ba ([aeiou]|honest\b|hour\b)", document, re.IGNORECASE)
        assert not re.search(r"\ban (?!honest\b|hour\b)[^aeiou]", document, re.IGNORECASE)
        assert document.count('"') % 2 == 0
        assert not re.search(r"([a-z])\1\1|\b(\w+) \2\b", document)
        for sentence in re.split(r"(?<=[.!?])\s+", document):
            assert sentence[0].isupper() or sentence[0] in '"' or sentence[0].isdigit(), sentence
        for match in re.finditer(r"(\w+) times (\w+) is (\w+)\.", document):
            factors = [numbers[word] for word in match.groups()[:2]]
            if match[3] in numbers:
                assert math.prod(factors) == numbers[match[3]]
                sums += 1
    assert sums > 10


@pytest.mark.parametrize(
    ("noun", "expected"),
    [("fox", "foxes"), ("cherry", "cherries"), ("key", "keys"), ("frostmouse", "frostmice"), ("mossleaf", "mossleaves"),
     ("goldfish", "goldfish"), ("brush", "brushes"), ("potato", "potatoes"), ("peach", "peaches"), ("piano", "pianos")],
)  # fmt: skip
def test_plural(noun: str, expected: str) -> None:
    assert plural(noun) == expected


def test_article() -> None:
    assert [with_article(word) for word in ("owl", "fox", "Elm", "honest")] == [
        "an owl",
        "a fox",
        "an Elm",
        "an honest",
    ]


def words(document: str, language: str) -> list[str]:
    """English words; for Chinese, which does not mark them, all runs of three characters."""
    if language == "en":
        return re.findall(r"[a-z]+", document.lower())
    runs = re.findall(r"[\u4e00-\u9fff]+", document)
    return [run[i : i + 3] for run in runs for i in range(len(run) - 2)]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_vocabulary_grows_as_a_power_of_the_size(language: str, seed: int) -> None:
    seen: set[str] = set()
    tokens, sizes = 0, []
    checkpoints = iter([500_000, 2_000_000])
    checkpoint, total = next(checkpoints), 0
    for document in stories(2_000_000, seed, language):
        found = words(document, language)
        seen.update(found)
        tokens += len(found)
        total += len(document.encode())
        if total >= checkpoint:
            sizes.append((tokens, len(seen)))
            checkpoint = next(checkpoints, checkpoint)
    (tokens_small, types_small), (tokens_large, types_large) = sizes
    beta = math.log(types_large / types_small) / math.log(tokens_large / tokens_small)
    assert 0.45 < beta < 0.75


@pytest.mark.parametrize("seed", [0, 1])
def test_word_frequencies_follow_zipfs_law(seed: int) -> None:
    counts = Counter(
        itertools.chain.from_iterable(words(document, "en") for document in stories(2_000_000, seed))
    )
    frequencies = np.array(sorted(counts.values(), reverse=True)[:2000], dtype=float)
    ranks = np.unique(np.geomspace(1, len(frequencies), 50).astype(int))
    slope = np.polyfit(np.log(ranks), np.log(frequencies[ranks - 1]), 1)[0]
    assert -1.3 < slope < -0.8
    assert 3.8 < sum(len(word) * count for word, count in counts.items()) / counts.total() < 5.2


def test_open_classes_spell_each_rank_differently() -> None:
    levels = "open thing 10\n= colour\n= colour + shape\n= colour + shape + shape\n"
    lexicon = parse_words("list colour\nred, blue, green\nlist shape\nball, cube\n" + levels)
    spelled = [lexicon["thing"].word(rank) for rank in range(3 + 6 + 12)]
    assert spelled[:3] == ["red", "blue", "green"]
    assert len(set(spelled)) == len(spelled)


def test_memory_does_not_grow_with_the_size() -> None:
    def peak(num_bytes: int) -> int:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        for _ in stories(num_bytes, 2, "both"):
            pass
        return tracemalloc.get_traced_memory()[1] - before

    list(stories(1000, 0, "both"))  # loads the grammar once
    tracemalloc.start()
    try:
        assert peak(2_000_000) < peak(200_000) + 200_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("arguments", "named", "allowed"),
    [((-1,), "not -1", "at least 0"), ((1.5,), "not 1.5", "integer"), (("9",), "'9'", "integer"),
     ((True,), "not True", "integer"), ((1, -3), "not -3", "at least 0"),
      ((1, None), "not None", "integer"),
     ((1, 0, "de"), "not 'de'", "'en', 'zh', 'both'"), ((1, 0, ["en"]), "not ['en']", "'both'")],
)  # fmt: skip
def test_wrong_arguments_are_named_at_the_call(
    arguments: tuple[object, ...], named: str, allowed: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(named)) as caught:
        stories(*arguments)
    assert allowed in str(caught.value)


def test_write_stories(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    count = write_stories(path, 30_000, seed=4, language="both")
    documents = path.read_bytes().decode().split(f"\n{SEPARATOR}\n")
    assert documents == [*stories(30_000, 4, "both"), ""]
    assert count == len(documents) - 1
    write_stories(path, 0)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("separator", ["", "two\nlines", "the"])
def test_a_useless_separator_is_refused_and_nothing_written(tmp_path: Path, separator: str) -> None:
    with pytest.raises(ValueError, match="separator must be"):
        write_stories(tmp_path / "corpus.txt", 10_000, separator=separator)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_committed_samples_are_what_the_generator_makes(tmp_path: Path, language: str) -> None:
    path = tmp_path / "sample.txt"
    write_stories(path, 150_000, seed=0, language=language)
    assert path.read_bytes() == (DATA / f"stories_{language}.txt").read_bytes()


def test_importing_stories_does_not_import_torch() -> None:
    code = "import sys, course_lib.data; sys.exit(bool({'torch', 'pandas', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
