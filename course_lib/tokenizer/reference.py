"""Byte-level BPE in plain Python, to be read; use :func:`course_lib.tokenizer.train_bpe`, which is fast.

There are three trainers, each with less work for the same merges: count everything again for every merge
(``train_naive``), keep the counts and correct them where a merge changed a word (``train_incremental``), and find the
best pair without looking at all pairs (``train_heap``). There are two ways to encode a word: look through it again
after each merge (``encode_word``), or keep the candidates in a heap (``encode_long_word``).

A word is a pre-token; its symbols are byte strings. All three trainers take the arguments of ``train_bpe`` and give the
same merges: the most frequent pair wins, and of equally frequent ones the lexicographically greater. ``work``, if
given, counts the pairs that were looked at.
"""

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from course_lib.checks import check_text
from course_lib.tokenizer.patterns import resolve_pattern, split_by_regex
from course_lib.tokenizer.piecewise import SpecialCuts
from course_lib.tokenizer.source import Source, no_text, read_source
from course_lib.tokenizer.tokenizer import Tokenizer
from course_lib.tokenizer.training import Learned, check_sizes, count_by_regex, make_tokenizer

Pair = tuple[bytes, bytes]
Word = tuple[bytes, ...]


def count_words(
    source: Source, special_tokens: Sequence[str] = (), *, pattern: str = "gpt2"
) -> Counter[bytes]:
    """The pre-tokens of ``source`` with their counts: all that BPE training needs of a text."""
    expression = resolve_pattern(pattern)[1]
    counts: Counter[bytes] = Counter()
    for file_or_documents in read_source(source):
        counts.update(count_by_regex(file_or_documents, expression, special_tokens))
    if not counts:
        raise ValueError(no_text(source))
    return counts


def split_bytes(word: bytes) -> Word:
    """The single bytes of a word, its symbols before any merge."""
    return tuple(bytes([byte]) for byte in word)


def merge(word: Sequence[bytes], pair: Pair) -> Word:
    """Replace each occurrence of ``pair`` in ``word`` by its concatenation, from left to right.

    >>> merge((b"a", b"a", b"a"), (b"a", b"a"))
    (b'aa', b'a')
    """
    merged: list[bytes] = []
    place = 0
    while place < len(word):
        width = 2 if tuple(word[place : place + 2]) == pair else 1
        merged.append(b"".join(word[place : place + width]))
        place += width
    return tuple(merged)


# --- training ---------------------------------------------------------------------------------------------------------


def train_naive(
    source: Source,
    vocab_size: int,
    special_tokens: Sequence[str] = (),
    *,
    pattern: str = "gpt2",
    work: Counter[str] | None = None,
) -> Tokenizer:
    """The definition (Sennrich et al. 2016, algorithm 1): count all pairs, merge the best, start again.

    Arguments, result and errors are those of :func:`~course_lib.tokenizer.train_bpe`. ``work`` counts "pairs", the
    pairs of neighbours in distinct words that were looked at, and "candidates", the distinct pairs that were compared.
    """
    specials, num_merges = check_sizes(vocab_size, special_tokens)
    words = {
        split_bytes(word): count for word, count in count_words(source, specials, pattern=pattern).items()
    }
    merges: list[Pair] = []
    while len(merges) < num_merges:
        counts: Counter[Pair] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                counts[pair] += count
        _note(work, pairs=sum(len(word) - 1 for word in words), candidates=len(counts))
        if not counts:
            break
        best = max(counts, key=lambda pair: (counts[pair], pair))
        words = {merge(word, best): count for word, count in words.items()}
        merges.append(best)
    return make_tokenizer(Learned.of(merges), num_merges, specials, pattern)


class WordIndex:
    """The words as they are split so far, the count of every pair, and the words that hold it.

    ``merge`` touches only the words that hold the pair and corrects the counts for what changed in them.
    """

    def __init__(self, word_counts: Mapping[bytes, int]) -> None:
        self.words = [split_bytes(word) for word in word_counts]
        self.word_counts = list(word_counts.values())
        self.pair_counts: Counter[Pair] = Counter()
        self.words_with: defaultdict[Pair, set[int]] = defaultdict(set)
        for index, word in enumerate(self.words):
            for pair in pairwise(word):
                self.pair_counts[pair] += self.word_counts[index]
                self.words_with[pair].add(index)

    def merge(self, best: Pair, work: Counter[str] | None = None) -> set[Pair]:
        """Merge ``best`` everywhere and return the pairs whose count changed."""
        changed: set[Pair] = set()
        for index in self.words_with.pop(best):
            word, count = self.words[index], self.word_counts[index]
            self.words[index] = merge(word, best)
            for pair in pairwise(word):
                self.pair_counts[pair] -= count
                changed.add(pair)
            for pair in pairwise(self.words[index]):
                self.pair_counts[pair] += count
                self.words_with[pair].add(index)
                changed.add(pair)
            _note(work, pairs=len(word) + len(self.words[index]) - 2)
        for pair in changed:
            if not self.pair_counts[pair]:
                del self.pair_counts[pair]
        return changed


def train_incremental(
    source: Source,
    vocab_size: int,
    special_tokens: Sequence[str] = (),
    *,
    pattern: str = "gpt2",
    work: Counter[str] | None = None,
) -> Tokenizer:
    """Count once, then correct the counts: a merge only touches the words that hold its pair.

    Otherwise as :func:`train_naive`.
    """
    specials, num_merges = check_sizes(vocab_size, special_tokens)
    index = WordIndex(count_words(source, specials, pattern=pattern))
    _note(work, pairs=sum(len(word) - 1 for word in index.words))
    merges: list[Pair] = []
    while len(merges) < num_merges and index.pair_counts:
        counts = index.pair_counts
        _note(work, candidates=len(counts))
        best = max(counts, key=lambda pair: (counts[pair], pair))
        index.merge(best, work)
        merges.append(best)
    return make_tokenizer(Learned.of(merges), num_merges, specials, pattern)


class LazyMaxHeap:
    """The pair with the highest count, without looking at all pairs and without repairing the heap at each change.

    ``counts`` is authoritative and changes freely: an entry of the heap is stale if its count differs from the one in
    ``counts``. A count that falls costs nothing at that moment: its entry is too high, so it comes up early enough, is
    found stale and is pushed again with the right count. A count that rises needs a new entry. Each push or pop takes
    logarithmic time.
    """

    def __init__(self, counts: Mapping[Pair, int]) -> None:
        self.counts = counts
        self._heap = [_Entry(count, pair) for pair, count in counts.items()]
        heapq.heapify(self._heap)

    def raised(self, pair: Pair) -> None:
        """Note that the count of ``pair`` rose, or that the pair is new."""
        heapq.heappush(self._heap, _Entry(self.counts[pair], pair))

    def pop(self, work: Counter[str] | None = None) -> Pair | None:
        """Remove and return the pair with the highest count, of equals the greatest; None if none is left."""
        while self._heap:
            entry = heapq.heappop(self._heap)
            _note(work, candidates=1)
            count = self.counts.get(entry.pair, 0)
            if count == entry.count:
                return entry.pair
            if 0 < count < entry.count:
                heapq.heappush(self._heap, _Entry(count, entry.pair))
        return None


class _Entry:
    """A heap entry; heapq returns the least first, so the greatest compares as least."""

    __slots__ = ("count", "pair")

    def __init__(self, count: int, pair: Pair) -> None:
        self.count, self.pair = count, pair

    def __lt__(self, other: "_Entry") -> bool:
        return (self.count, self.pair) > (other.count, other.pair)


def train_heap(
    source: Source,
    vocab_size: int,
    special_tokens: Sequence[str] = (),
    *,
    pattern: str = "gpt2",
    work: Counter[str] | None = None,
) -> Tokenizer:
    """Incremental counts and a lazily updated heap: no merge looks at all pairs.

    Otherwise as :func:`train_naive`; here "candidates" counts the entries taken from the heap.
    """
    specials, num_merges = check_sizes(vocab_size, special_tokens)
    index = WordIndex(count_words(source, specials, pattern=pattern))
    _note(work, pairs=sum(len(word) - 1 for word in index.words))
    merges = merge_best(index, num_merges, work)
    return make_tokenizer(Learned.of(merges), num_merges, specials, pattern)


def merge_best(index: WordIndex, num_merges: int, work: Counter[str] | None = None) -> list[Pair]:
    """Merge the most frequent pair ``num_merges`` times, fewer if no pair is left; return the merges in order."""
    heap = LazyMaxHeap(index.pair_counts)
    merges: list[Pair] = []
    while len(merges) < num_merges and (best := heap.pop(work)):
        made = best[0] + best[1]
        for pair in index.merge(best, work):
            if made in pair and pair in index.pair_counts:
                heap.raised(pair)
        merges.append(best)
    return merges


def _note(work: Counter[str] | None, **amounts: int) -> None:
    if work is not None:
        work.update(amounts)


# --- encoding ---------------------------------------------------------------------------------------------------------


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of ``text``, as ``tokenizer.encode(text)`` gives them: special tokens, pre-tokens, merges.

    Raises TypeError unless ``text`` is a str.
    """
    check_text("text", text)
    specials = tokenizer.special_token_ids
    special_ids = set(specials.values())
    # The ordinary id wins over a special token with the same bytes.
    by_kind = sorted(tokenizer.vocab.items(), key=lambda item: item[0] not in special_ids)
    ids_of = {token: token_id for token_id, token in by_kind}
    ranks = merge_ranks(tokenizer.merges)
    ids: list[int] = []
    for word, is_special in _words(text, tokenizer):
        if is_special:
            ids.append(specials[word])
            continue
        data = word.encode()
        whole = tokenizer.ignore_merges and data in ids_of
        ids += [ids_of[symbol] for symbol in ((data,) if whole else encode_word(data, ranks))]
    return ids


def merge_ranks(merges: Sequence[Pair]) -> dict[Pair, int]:
    """Each merge with its place in the list; lower ranks apply first."""
    return {pair: rank for rank, pair in enumerate(merges)}


def encode_word(word: bytes, ranks: Mapping[Pair, int]) -> Word:
    """Merge a word's symbols: always the pair that has the lowest rank *now*, at its first place.

    A merge changes the neighbouring pairs, so all are looked at again after it: up to len(word)² looks.
    """
    symbols = list(split_bytes(word))
    while len(symbols) > 1:
        pairs = list(pairwise(symbols))
        best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        place = pairs.index(best)
        symbols[place : place + 2] = [best[0] + best[1]]
    return tuple(symbols)


def encode_by_rank(word: bytes, ranks: Mapping[bytes, int]) -> Word:
    """Merge a word's symbols as tiktoken does, which knows no merges but only tokens with their ranks.

    A word that is a token stays whole. Otherwise the two neighbours are merged whose joined bytes have the lowest rank,
    again and again. ``ranks`` must hold all single bytes that occur.
    """
    if word in ranks:
        return (word,)
    symbols = list(split_bytes(word))
    while len(symbols) > 1:
        joined = [left + right for left, right in pairwise(symbols)]
        best = min(joined, key=lambda token: ranks.get(token, math.inf))
        if best not in ranks:
            break
        place = joined.index(best)
        symbols[place : place + 2] = [best]
    return tuple(symbols)


def encode_long_word(word: bytes, ranks: Mapping[Pair, int]) -> Word:
    """As :func:`encode_word`, with a heap of candidates and linked symbols: len(word)·log(len(word)) steps.

    A candidate is a rank and the place of its left symbol; it is stale if another pair stands there now.
    """
    symbols: list[bytes] = list(split_bytes(word))
    following = list(range(1, len(symbols) + 1))
    previous = list(range(-1, len(symbols)))

    def rank_at(place: int) -> int | None:
        after = following[place]
        return (
            ranks.get((symbols[place], symbols[after])) if symbols[place] and after < len(symbols) else None
        )

    heap = [(rank, place) for place in range(len(symbols)) if (rank := rank_at(place)) is not None]
    heapq.heapify(heap)
    while heap:
        rank, place = heapq.heappop(heap)
        if rank != rank_at(place):
            continue
        after = following[place]
        symbols[place] += symbols[after]
        symbols[after] = b""
        following[place] = following[after]
        previous[following[place]] = place
        for changed in (previous[place], place):
            if changed >= 0 and (new_rank := rank_at(changed)) is not None:
                heapq.heappush(heap, (new_rank, changed))
    return tuple(symbol for symbol in symbols if symbol)


def _words(text: str, tokenizer: Tokenizer) -> Iterator[tuple[str, bool]]:
    """The special tokens and pre-tokens of a text in order, and whether each is a special token."""
    expression = resolve_pattern(tokenizer.pattern)[1]
    cuts = SpecialCuts(tokenizer.special_tokens, tokenizer.normalizer, tokenizer.normalized_tokens)
    for part, is_special in cuts(text):
        yield from (
            [(part, True)] if is_special else ((piece, False) for piece in split_by_regex(part, expression))
        )
