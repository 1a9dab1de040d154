"""Chapter 1: controls of what the chapter says about the work of training."""

from collections import Counter
from collections.abc import Callable, Sequence

import pandas as pd

from course_lib.chapters.ch01_tokenizer.experiments import real_text
from course_lib.chapters.ch01_tokenizer.experiments.waterfall import distinct_words
from course_lib.tokenizer import Tokenizer, reference

UNCUT = r"[\s\S]+"
"""The pattern that leaves every document in one piece."""

FIVES = r"[\s\S]{1,5}"
"""The pattern that cuts after every fifth character, wherever words end."""


def counted_pairs(
    train: Callable[..., Tokenizer], documents: Sequence[str], vocab_size: int, *, pattern: str = "gpt2"
) -> int:
    """The pairs of neighbours that a trainer of ``reference`` looks at to learn ``vocab_size`` tokens."""
    work: Counter[str] = Counter()
    train(documents, vocab_size, pattern=pattern, work=work)
    return work["pairs"]


def saved_by_index(num_bytes: int = 4_000, *, num_merges: int = 40, seed: int = 0) -> pd.DataFrame:
    """Pairs counted by the naive and the incremental trainer, on pieces of which few or most hold a merged pair.

    The same text is cut into words, after every fifth character, or not at all; then also as eight documents, each
    the whole text turned round to begin at another place. Columns: cut, pieces (distinct ones), holding (the mean
    share of the pieces that hold the pair to be merged), naive, incremental, saved (their ratio).
    """
    text = "".join(real_text.sample("en", num_bytes=num_bytes, seed=seed))
    places = [n * len(text) // 8 for n in range(8)]
    turned = [text[place:] + text[:place] for place in places]
    rows = []
    for cut, documents, pattern in (
        ("into words", [text], "gpt2"),
        ("every fifth character", [text], FIVES),
        ("not at all, one document", [text], UNCUT),
        ("not at all, eight documents", turned, UNCUT),
    ):
        naive, incremental = (
            counted_pairs(train, documents, 256 + num_merges, pattern=pattern)
            for train in (reference.train_naive, reference.train_incremental)
        )
        index = reference.WordIndex(reference.count_words(documents, pattern=pattern))
        holding = _holding(index, num_merges)
        rows.append((cut, len(index.words), holding, naive, incremental, naive / incremental))
    return pd.DataFrame(rows, columns=["cut", "pieces", "holding", "naive", "incremental", "saved"])


def _holding(index: reference.WordIndex, num_merges: int) -> float:
    """The share of the pieces that hold the pair that is merged next, the mean over the merges."""
    shares = []
    for _ in range(num_merges):
        best = max(index.pair_counts, key=lambda pair: (index.pair_counts[pair], pair))
        shares.append(len(index.words_with[best]) / len(index.words))
        index.merge(best)
    return sum(shares) / len(shares)


def growth_of_work(num_bytes: int = 25_000, *, num_merges: int = 50, seed: int = 0) -> pd.DataFrame:
    """How the naive trainer's work grows when the text is doubled, on the novels and on words that never repeat.

    Columns: text, half and whole (pairs counted), growth (their ratio).
    """
    texts = {
        "novels": "".join(real_text.sample("en", num_bytes=num_bytes, seed=seed)),
        "no word twice": "".join(distinct_words(seed))[:num_bytes],
    }
    rows = []
    for name, text in texts.items():
        half, whole = (
            counted_pairs(reference.train_naive, [part], 256 + num_merges)
            for part in (text[: len(text) // 2], text)
        )
        rows.append((name, half, whole, whole / half))
    return pd.DataFrame(rows, columns=["text", "half", "whole", "growth"])


def winners(documents: Sequence[str], num_merges: int) -> dict[str, float]:
    """The bound of the engine: no pair that occurs fewer times than the bound is ever merged.

    The bound is the largest count that more than ``num_merges`` distinct words of two bytes or more reach.

    Returns:
        bound, least (the count of the rarest pair that was merged), and below (the share of all pairs that ever
        occurred whose count never reached the bound).
    """
    words = reference.count_words(documents)
    long_enough = sorted((count for word, count in words.items() if len(word) > 1), reverse=True)
    bound = long_enough[num_merges] if len(long_enough) > num_merges else 0
    index = reference.WordIndex(words)
    highest = Counter(index.pair_counts)
    heap = reference.LazyMaxHeap(index.pair_counts)
    least = max(highest.values())
    for _ in range(num_merges):
        best = heap.pop()
        if best is None:
            break
        least = min(least, index.pair_counts[best])
        for pair in index.merge(best):
            count = index.pair_counts.get(pair, 0)
            if best[0] + best[1] in pair and count:
                heap.raised(pair)
            highest[pair] = max(highest[pair], count)
    return {
        "bound": bound,
        "least": least,
        "below": sum(count < bound for count in highest.values()) / len(highest),
    }
