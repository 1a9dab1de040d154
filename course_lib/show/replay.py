"""BPE one merge at a time: the states of training and encoding before and after every merge, as plain data."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from course_lib.tokenizer.reference import Pair, Word, merge, merge_ranks, split_bytes


@dataclass(frozen=True)
class TrainingState:
    """A corpus after some merges. ``words``: the tokens of each word and how often the word occurs, in corpus order.

    ``pairs``: all pairs of neighbouring tokens with their counts, in the order of preference: the first is the next to
    be merged. ``merges``: the merges so far.
    """

    words: tuple[tuple[Word, int], ...]
    pairs: tuple[tuple[Pair, int], ...]
    merges: tuple[Pair, ...]

    @property
    def ties(self) -> int:
        """The number of pairs that share the highest count."""
        return sum(count == self.pairs[0][1] for _, count in self.pairs)


@dataclass(frozen=True)
class EncodingState:
    """A word after some merges. ``candidates``: the pairs present that are in the merge list, as (rank, pair)."""

    tokens: Word
    candidates: tuple[tuple[int, Pair], ...]


def training_states(words: Mapping[str, int], num_merges: int) -> list[TrainingState]:
    """Replay BPE training (Sennrich et al. 2016, algorithm 1, on bytes): the state after 0, 1, … merges.

    The pair with the highest count is merged; of equal counts, the lexicographically greater pair of byte strings.
    Stops after ``num_merges`` merges, or when no pair is left. Every state is counted from scratch: for tiny corpora.
    """
    segmented = tuple((split_bytes(word.encode()), count) for word, count in words.items())
    states = [TrainingState(segmented, _ranked_pairs(segmented), ())]
    while len(states) <= num_merges and states[-1].pairs:
        best = states[-1].pairs[0][0]
        segmented = tuple((merge(tokens, best), count) for tokens, count in segmented)
        states.append(TrainingState(segmented, _ranked_pairs(segmented), (*states[-1].merges, best)))
    return states


def encoding_states(word: str, merges: Sequence[Pair]) -> list[EncodingState]:
    """Replay the encoding of one pre-token: the state after 0, 1, … merges.

    Each step merges the first occurrence of the pair with the lowest rank, then searches again: a merge can remove the
    tokens of other pairs, and its new token forms new pairs.
    """
    ranks = merge_ranks(merges)
    tokens = split_bytes(word.encode())
    states: list[EncodingState] = []
    while True:
        present = {pair for pair in pairwise(tokens) if pair in ranks}
        states.append(EncodingState(tokens, tuple(sorted((ranks[pair], pair) for pair in present))))
        if not present:
            return states
        best = states[-1].candidates[0][1]
        place = list(pairwise(tokens)).index(best)
        tokens = (*tokens[:place], best[0] + best[1], *tokens[place + 2 :])


def places(tokens: Sequence[bytes], pair: Pair) -> list[int]:
    """The indices of the left tokens where ``merge`` would join ``pair``.

    >>> places([b"a", b"a", b"a"], (b"a", b"a"))
    [0]
    """
    found: list[int] = []
    for place, neighbours in enumerate(pairwise(tokens)):
        if neighbours == pair and not (found and found[-1] == place - 1):
            found.append(place)
    return found


def _ranked_pairs(words: Sequence[tuple[Word, int]]) -> tuple[tuple[Pair, int], ...]:
    counts: Counter[Pair] = Counter()
    for tokens, count in words:
        for pair in pairwise(tokens):
            counts[pair] += count
    return tuple(sorted(counts.items(), key=lambda item: (item[1], item[0]), reverse=True))
