"""Chapter 1: what a tokenizer does to a model: spelling, digits, the space at the end of a prompt, unused tokens.

The models are as small as the question allows: a number per token, an n-gram model, a bigram model with embeddings.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn import functional

from course_lib.chapters.ch01_tokenizer.experiments.real_text import parts, sample
from course_lib.files import progress
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.ngrams import NGramModel
from course_lib.lab.small_runs import one_thread
from course_lib.tokenizer import Tokenizer, train_bpe

Cut = Callable[[str], Iterable[Hashable]]
"""A word to its tokens."""

_RIDGE = 1e-3


# --- spelling ---------------------------------------------------------------------------------------------------------


def spelling(
    cuts: Mapping[str, Cut],
    sizes: Sequence[int] = (100, 300, 1_000),
    *,
    seeds: Iterable[int] = (0, 1, 2, 3),
    tested: int = 1_000,
) -> pd.DataFrame:
    """Learn how many of each letter a word has, from its tokens: every token has 26 numbers, and a word their sums.

    The numbers are fitted by least squares to ``sizes`` words of the novels, and tested on ``tested`` other words.

    Columns: cut, words (learned from), seed, right (share of the new words with all 26 counts right), known (share of
    the new words all of whose tokens were in words learned from), and right_if_known, right_if_not: the shares among
    those words and among the others (NaN where there are none).
    """
    found = (re.findall(r"\b[a-z]{4,}\b", chapter) for chapter in parts("novels_en").training)
    every = sorted(set().union(*found))
    rows = []
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(len(every))
        shuffled = [every[place] for place in order]
        for name, cut in cuts.items():
            new = shuffled[-tested:]
            for size in sizes:
                right, known = _spell(cut, shuffled[:size], new)
                shares = (right.mean(), known.mean(), _share(right, known), _share(right, ~known))
                rows.append((name, size, seed, *shares))
    columns = ["cut", "words", "seed", "right", "known", "right_if_known", "right_if_not"]
    return pd.DataFrame(rows, columns=columns)


def _spell(
    cut: Cut, learned: Sequence[str], new: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For each new word: are all its letters counted right, and were all its tokens in a word learned from?"""
    columns = {
        token: n for n, token in enumerate(dict.fromkeys(token for word in learned for token in cut(word)))
    }

    def uses(words: Sequence[str]) -> NDArray[np.float64]:
        table = np.zeros((len(words), len(columns)))
        for row, word in enumerate(words):
            for token in cut(word):
                if token in columns:
                    table[row, columns[token]] += 1
        return table

    def letters(words: Sequence[str]) -> NDArray[np.float64]:
        return np.array([[word.count(letter) for letter in ascii_lowercase] for word in words], float)

    x = uses(learned)
    numbers = x.T @ np.linalg.solve(x @ x.T + _RIDGE * np.eye(len(x)), letters(learned))
    right = (np.rint(uses(new) @ numbers) == letters(new)).all(axis=1)
    return right, np.array([all(token in columns for token in cut(word)) for word in new])


def _share(of: NDArray[np.bool_], where: NDArray[np.bool_]) -> float:
    return float(of[where].mean()) if where.any() else float("nan")


# --- digits -----------------------------------------------------------------------------------------------------------


def aligned_sums(
    tokenizers: Mapping[str, Tokenizer], *, sums: int = 2_000, digits: int = 7, seed: int = 0
) -> pd.DataFrame:
    """Sums of random numbers with 1 to ``digits`` digits: do the last tokens of a, b and a + b hold the same places?

    They do if each holds the last three digits, or the whole number if it is shorter. Columns: tokenizer; 1234567 and
    1,234,567, how it cuts these; and plain and with_commas, the share of the sums in which all three do, written so.
    """
    random = np.random.default_rng(seed)
    lengths = random.integers(1, digits + 1, size=(sums, 2))
    pairs = [[int(random.integers(10 ** (n - 1), 10**n)) for n in row] for row in lengths.tolist()]
    triples = [(a, b, a + b) for a, b in pairs]
    rows = []
    for name, tokenizer in tokenizers.items():
        row: dict[str, str | float] = {"tokenizer": name}
        for example in ("1234567", "1,234,567"):
            row[example] = "|".join(tokenizer.decode([token]) for token in tokenizer.encode(example))
        for column, form in (("plain", "d"), ("with_commas", ",d")):
            written = [[format(number, form) for number in triple] for triple in triples]
            row[column] = float(
                np.mean([all(_ends_in_three(tokenizer, one) for one in sums) for sums in written])
            )
        rows.append(row)
    return pd.DataFrame(rows)


def _ends_in_three(tokenizer: Tokenizer, number: str) -> bool:
    last = tokenizer.decode(tokenizer.encode(number)[-1:])
    return len(last) == min(3, len(number))


# --- the space at the end of a prompt ---------------------------------------------------------------------------------

PATTERNS: Mapping[str, str] = {"with the next word": "gpt2", "a token of its own": " |[^ ]+"}
"""Where a space goes: the pattern that cuts the text before training and encoding."""


def trailing_space(
    *,
    vocab_size: int = 4_096,
    num_bytes: int = 1_000_000,
    places: int = 400,
    order: int = 3,
    seeds: Iterable[int] = (0, 1, 2, 3),
) -> pd.DataFrame:
    """Bits for the next word after a prompt that ends before the space, and after one that ends with it.

    For each of ``PATTERNS`` a BPE and an n-gram model of its tokens learn from the novels; ``seeds`` choose ``places``
    between two words of the held-out chapters. Columns: space (the pattern's name), seed, without and with_space: bits
    for the rest of the text up to the end of the next word, means over the places.
    """
    training = "\n".join(parts("novels_en").training)[:num_bytes]
    held_out = parts("novels_en").joined("held_out")
    between = [match.start() for match in re.finditer("(?<=[a-z]) (?=[a-z])", held_out)]
    rows = []
    for name, pattern in progress(PATTERNS.items(), description="training"):
        tokenizer = train_bpe([training], vocab_size, pattern=pattern, num_threads=1)
        model = NGramModel(tokenizer.encode_to_numpy(training), order, vocab_size)
        for seed in seeds:
            chosen = np.random.default_rng(seed).choice(between, places, replace=False)
            bits = [_next_word(tokenizer, model, held_out, int(place)) for place in chosen]
            rows.append((name, seed, *np.mean(bits, axis=0)))
    return pd.DataFrame(rows, columns=["space", "seed", "without", "with_space"])


def _next_word(tokenizer: Tokenizer, model: NGramModel, text: str, place: int) -> tuple[float, float]:
    """Bits of the word behind the space at ``place``: with the space before it, and when the prompt holds the space."""
    match = re.compile("[a-z]+").match(text, place + 1)
    word, prompt = match.group() if match else "", text[max(0, place - 200) : place]
    found = []
    for given, rest in ((prompt, f" {word}"), (f"{prompt} ", word)):
        ids = tokenizer.encode(given)
        whole = np.array(ids + tokenizer.encode(rest))
        found.append(float(-np.log2(model.probabilities(whole)[len(ids) :]).sum()))
    return found[0], found[1]


# --- tokens that no training text uses --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bigrams:
    """How a bigram model P(next | token) with embeddings is trained.

    ``cut``: the share of the places of a token with a rung that are cut in two. ``tied``: the head is the embedding
    behind a square matrix, not a table of its own. ``decay``: weight decay of the embedding (AdamW's).
    """

    cut: float = 0.0
    tied: bool = False
    decay: float = 0.0


BIGRAMS: Mapping[str, Bigrams] = {
    "BPE's tokens": Bigrams(),
    "half of them cut in two": Bigrams(cut=0.5),
    "a tied head": Bigrams(tied=True),
    "weight decay": Bigrams(decay=0.1),
}
"""The model that learns from BPE's tokens alone, and three that differ from it in one thing each."""

_LR, _WIDTH, _EPOCHS, _BATCH = 0.03, 24, 2, 512


@float32_on_cpu()
def unused_tokens(
    models: Mapping[str, Bigrams] = BIGRAMS,
    *,
    seeds: Iterable[int] = (0, 1, 2, 3),
    num_bytes: int = 100_000,
    learned: int = 800,
) -> pd.DataFrame:
    """Train bigram models with embeddings on BPE's tokens of a part of the novels; look at tokens that it never saw.

    A rung is a token that the text never uses, but that one used token ends with, as "oodhouse" in " Woodhouse".

    Columns: model, seed; moved, how far the rung that moved furthest went from its first random embedding, and
    moved_used, the token of the text that moved least; length, the mean length of the rungs' embeddings over that at
    the beginning, and turned, the largest angle between the two (degrees); decayed, what weight decay alone makes of a
    length; bits of the token that follows, at every place: after_token, the whole one, and after_rung, in its stead;
    and unigram, the bits by the frequency of the following token alone.
    """
    texts = sample("en", num_bytes=num_bytes)
    tokenizer = train_bpe(texts, 256 + learned, num_threads=1)
    ids = np.concatenate([tokenizer.encode_to_numpy(text) for text in texts]).astype(np.int64)
    counts = np.bincount(ids, minlength=tokenizer.vocab_size)
    rungs = rungs_of(tokenizer, counts)
    places = np.flatnonzero(np.isin(ids[:-1], list(rungs)))
    follows = ids[places + 1]
    unigram = float(-np.log2(counts[follows] / counts.sum()).mean())
    unused = [right for _, right in rungs.values()]
    rows = []
    jobs = [(name, seed) for name in models for seed in seeds]
    for name, seed in progress(jobs, description="training bigram models"):
        random = np.random.default_rng(seed)
        cut = {int(place) for place in places if random.random() < models[name].cut}
        stream = [part for n, one in enumerate(ids.tolist()) for part in (rungs[one] if n in cut else (one,))]
        first, last, bits, steps = _bigrams(torch.tensor(stream), tokenizer.vocab_size, seed, models[name])
        moved = np.linalg.norm(last - first, axis=1)
        lengths = np.linalg.norm(last[unused], axis=1) / np.linalg.norm(first[unused], axis=1)
        whole, rung = (
            float(bits(torch.tensor(before), torch.tensor(follows)).mean())
            for before in (ids[places], np.array([rungs[one][1] for one in ids[places].tolist()]))
        )
        rows.append(
            {
                "model": name,
                "seed": seed,
                "moved": moved[unused].max(),
                "moved_used": moved[counts > 0].min(),
                "length": lengths.mean(),
                "turned": _angles(first[unused], last[unused]).max(),
                "decayed": (1 - _LR * models[name].decay) ** steps,
                "after_token": whole,
                "after_rung": rung,
                "unigram": unigram,
            }
        )
    return pd.DataFrame(rows)


def rungs_of(
    tokenizer: Tokenizer, counts: NDArray[np.int64], *, shortest: int = 6
) -> dict[int, tuple[int, int]]:
    """Used tokens whose last merge adds a token that is never used: id → the ids of its two parts.

    ``counts``: uses by id. Only unused tokens of at least ``shortest`` bytes.
    """
    ids = {piece: number for number, piece in tokenizer.vocab.items()}
    merged = {left + right: (ids[left], ids[right]) for left, right in tokenizer.merges}
    return {
        ids[whole]: both
        for whole, both in merged.items()
        if counts[ids[whole]] and not counts[both[1]] and len(tokenizer.vocab[both[1]]) >= shortest
    }


def _bigrams(
    stream: torch.Tensor, vocab_size: int, seed: int, model: Bigrams
) -> tuple[
    NDArray[np.float64], NDArray[np.float64], Callable[[torch.Tensor, torch.Tensor], torch.Tensor], int
]:
    """Train a model: its embedding before and after (V, D), the bits of (token, next), and the number of steps."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(vocab_size, _WIDTH, generator=generator)
    rows = first.clone().requires_grad_()
    head = torch.zeros(_WIDTH if model.tied else vocab_size, _WIDTH, requires_grad=True)
    bias = torch.zeros(vocab_size, requires_grad=True)
    groups = [{"params": [rows], "weight_decay": model.decay}, {"params": [head, bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=_LR)

    def nats(before: torch.Tensor, after: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
        columns = rows @ head if model.tied else head  # (V, D)
        return functional.cross_entropy(rows[before] @ columns.T + bias, after, reduction=reduction)

    steps = 0
    with one_thread():
        for _ in range(_EPOCHS):
            for chosen in torch.split(torch.randperm(len(stream) - 1, generator=generator), _BATCH):
                optimizer.zero_grad()
                nats(stream[chosen], stream[chosen + 1]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                steps += 1
    before, after = (table.double().numpy() for table in (first, rows.detach()))
    return before, after, lambda token, following: nats(token, following, "none").detach() / np.log(2), steps


def _angles(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """The angle between the rows of two tables, in degrees."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = (first * second).sum(axis=1) / lengths
    return np.asarray(np.degrees(np.arccos(np.clip(cosines, -1, 1))), dtype=np.float64)
