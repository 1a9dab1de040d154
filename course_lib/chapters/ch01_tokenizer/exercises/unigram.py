"""The exercises of chapter 1 on Unigram. Results come from brute force over all ways to cut a word."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from course_lib.answers.checking import Case, Exercise, Mistake


def _viterbi_cases() -> Iterator[Case]:
    yield Case(
        ("hugs", {"h": -3.0, "u": -3.2, "g": -2.8, "s": -2.0, "hug": -4.0, "ugs": -2.5}),
        ["h", "ugs"],
        "h + ugs has -3.0 - 2.5 = -5.5, better than hug + s with -4.0 - 2.0 = -6.0.",
    )
    yield Case(
        ("abc", {"a": -1.0, "b": -1.0, "c": -1.0, "ab": -1.5, "abc": -4.0}),
        ["ab", "c"],
        "ab + c has -2.5; the single piece abc has -4.0.",
    )
    yield Case(("x", {"x": -1.0}), ["x"], "One character, one piece.")
    yield Case(
        ("aab", {"aa": -1.0, "ab": -3.0, "a": -2.5}),
        ["a", "ab"],
        "aa leaves b, which is not a piece: that way does not reach the end.",
    )
    yield Case(
        (
            "跟我学习语文",
            {"跟": -4.0, "我": -3.5, "跟我": -9.0, "学习": -5.0, "学": -5.5, "习": -6.0, "语文": -6.5},
        ),
        ["跟", "我", "学习", "语文"],
        "跟 + 我 is -7.5, more probable than 跟我 with -9.0.",
    )
    scores = {
        "a": -2.1,
        "b": -2.6,
        "ab": -4.4,
        "ba": -3.7,
        "aba": -6.2,
        "bab": -6.35,
        "bb": -5.5,
        "abba": -8.05,
    }
    for word in ("abab", "abba", "babba", "ababab", "bbabb"):
        best = _by_brute_force(word, scores)
        why = f"{' + '.join(best)} has a sum of {sum(map(scores.__getitem__, best)):.4g}, the highest of all ways."
        yield Case((word, scores), best, why)
    yield Case(
        ("understand", {"under": -6.0, "stand": -5.5, "understand": -11.0, "st": -4.0, "and": -2.0}),
        ["understand"],
        "A piece may be as long as the word: understand has -11.0, under + stand -11.5.",
    )
    # No piece but the hyphen itself holds a hyphen: the best way is made of the best ways of the parts.
    whys = {
        4: "There are 2^20 ways to cut 21 characters: too many to try. Each place in the word has a best way that "
        "leads to it; find it once, from the best ways to the places before.",
        37: "In about n² steps, 40,000 here, this takes a moment; solving the same rest again and again takes for "
        "ever. Solve each beginning (or each rest) once and keep the result.",
    }
    for parts, why in whys.items():
        words = list(itertools.islice(itertools.cycle(("abba", "babba", "abab", "bbabb")), parts))
        best = [piece for part in words for piece in (*_by_brute_force(part, scores), "-")][:-1]
        yield Case(("-".join(words), {**scores, "-": -1.0}), best, why, at_most_seconds=1.0)


def segmentations(word: str, pieces: Mapping[str, float]) -> Iterator[list[str]]:
    """Every way to cut ``word`` into ``pieces``: 2^(n-1) ways are tried for n characters."""
    for cuts in itertools.product((False, True), repeat=len(word) - 1):
        places = [0, *(place + 1 for place, cut in enumerate(cuts) if cut), len(word)]
        segmentation = [word[start:end] for start, end in itertools.pairwise(places)]
        if all(piece in pieces for piece in segmentation):
            yield segmentation


def _by_brute_force(word: str, scores: Mapping[str, float]) -> list[str]:
    return max(segmentations(word, scores), key=lambda pieces: sum(scores[piece] for piece in pieces))


def _best_way(
    word: str,
    score: Callable[[str], float | None],
    add: Callable[[float, float], float] = lambda total, score: total + score,
    start: float = 0.0,
) -> list[str]:
    """Viterbi with other scores (None: no piece) or another way to add them up; mistakes must be fast as well."""
    best: list[tuple[float, list[str]] | None] = [(start, [])]
    for end in range(1, len(word) + 1):
        ways = []
        for begin, way in enumerate(best):
            piece = word[begin:end]
            value = score(piece)
            if way is not None and value is not None:
                ways.append((add(way[0], value), [*way[1], piece]))
        best.append(max(ways, key=lambda way: way[0], default=None))
    found = best[-1]
    return found[1] if found else []


def _fewest_pieces(word: str, scores: Mapping[str, float]) -> list[str]:
    return _best_way(word, lambda piece: -1.0 if piece in scores else None)


def _sum_of_probabilities(word: str, scores: Mapping[str, float]) -> list[str]:
    return _best_way(word, lambda piece: math.exp(scores[piece]) if piece in scores else None)


def _product_of_scores(word: str, scores: Mapping[str, float]) -> list[str]:
    return _best_way(word, scores.get, lambda total, score: total * score, 1.0)


def _pieces_of_two(word: str, scores: Mapping[str, float]) -> list[str]:
    return _best_way(word, lambda piece: scores.get(piece) if len(piece) <= 2 else None)


def _longest_piece_first(word: str, scores: Mapping[str, float]) -> list[str] | None:
    """None at a dead end."""
    pieces: list[str] = []
    while word:
        size = next((size for size in range(len(word), 0, -1) if word[:size] in scores), 0)
        if not size:
            return None
        pieces.append(word[:size])
        word = word[size:]
    return pieces


def _likeliest_piece_first(word: str, scores: Mapping[str, float]) -> list[str] | None:
    """None at a dead end."""
    pieces: list[str] = []
    while word:
        fitting = [piece for piece in scores if word.startswith(piece)]
        if not fitting:
            return None
        pieces.append(max(fitting, key=lambda piece: scores[piece]))
        word = word[len(pieces[-1]) :]
    return pieces


def _backwards(word: str, scores: Mapping[str, float]) -> list[str]:
    return _best_way(word, scores.get)[::-1]


def _least_probable(word: str, scores: Mapping[str, float]) -> list[str]:
    return _best_way(word, lambda piece: -scores[piece] if piece in scores else None)


VITERBI = Exercise(
    id="tok-viterbi",
    chapter=1,
    cases=_viterbi_cases,
    hint="best[end] is the highest sum of scores of any way to cut word[:end], and best[0] is 0. For each end, try "
    "every start: best[start] + scores[word[start:end]], if that is a piece. Remember the start that won; from the "
    "end of the word, follow the starts back to the beginning.",
    mistakes=(
        Mistake(
            _longest_piece_first,
            "This takes the longest piece from the left each time. The scores decide, and a good first piece can leave "
            "a bad rest.",
        ),
        Mistake(
            _likeliest_piece_first,
            "This takes the most probable next piece each time, without asking what it leaves for the rest.",
        ),
        Mistake(
            _fewest_pieces, "This has the fewest pieces. The highest sum of scores can need more of them."
        ),
        Mistake(
            _least_probable,
            "This is the least probable way. Log-probabilities are negative: the sum nearest to 0.",
        ),
        Mistake(
            _sum_of_probabilities,
            "This adds probabilities. Those of the pieces are multiplied, so their logarithms are added: the scores as "
            "they are.",
        ),
        Mistake(
            _product_of_scores,
            "This multiplies the scores. They are logarithms: a product of probabilities is a sum of scores.",
        ),
        Mistake(
            _pieces_of_two, "This tries pieces of one and two characters only. A piece can have any length."
        ),
        Mistake(_backwards, "These are the right pieces from the end to the beginning: turn the list round."),
    ),
)

# --- the E-step of expectation-maximization ---------------------------------------------------------------------------

_SHARES = {"a": 0.2, "b": 0.3, "ab": 0.1, "ba": 0.15, "aba": 0.05, "bab": 0.04, "abba": 0.06, "-": 0.1}


def _expected_count_cases() -> Iterator[Case]:
    yield Case(
        ("ab", {"a": 0.2, "b": 0.3, "ab": 0.06}),
        {"a": 0.5, "b": 0.5, "ab": 0.5},
        "a + b has 0.2 · 0.3 = 0.06, as much as ab: each way is taken half of the time.",
    )
    yield Case(
        ("aa", {"a": 0.3, "aa": 0.01}),
        {"a": 1.8, "aa": 0.1},
        "a + a has 0.09 and aa has 0.01: nine of ten times the word uses a, and then twice.",
    )
    yield Case(
        ("x", {"x": 0.01}), {"x": 1.0}, "There is one way, so it is certain, however small its product is."
    )
    yield Case(
        ("aab", {"aa": 0.5, "ab": 0.1, "a": 0.2}),
        {"a": 1.0, "ab": 1.0},
        "aa leaves b, which is not a piece: that way does not reach the end, so aa is in no way.",
    )
    for word in ("abab", "abba", "babba", "ababab", "bbabb"):
        counts = _counts_by_brute_force(word)
        why = f"{word} can be cut in {_num_ways(word)} ways; weigh each by the product of its probabilities."
        yield Case((word, _SHARES), counts, why)
    # No piece but the hyphen itself holds a hyphen: the parts are cut independently of each other.
    for parts in (4, 24):
        words = list(itertools.islice(itertools.cycle(("abba", "babba", "abab", "bbabb")), parts))
        counts = {"-": parts - 1.0}
        for piece, count in (item for part in words for item in _counts_by_brute_force(part).items()):
            counts[piece] = counts.get(piece, 0.0) + count
        yield Case(
            ("-".join(words), _SHARES),
            counts,
            "There are too many ways to list them. Sum the weights of all ways up to each place once (forward) and "
            "of all ways from it to the end once (backward); a piece between two places has the product of three.",
            at_most_seconds=1.0,
        )


def _num_ways(word: str) -> int:
    return sum(1 for _ in segmentations(word, _SHARES))


def _counts_by_brute_force(word: str) -> dict[str, float]:
    ways = [(way, math.prod(_SHARES[piece] for piece in way)) for way in segmentations(word, _SHARES)]
    total = sum(weight for _, weight in ways)
    counts: dict[str, float] = {}
    for way, weight in ways:
        for piece in way:
            counts[piece] = counts.get(piece, 0.0) + weight / total
    return counts


def _soft_counts(word: str, weights: Mapping[str, float], *, by_total: bool = True) -> dict[str, float]:
    """Forward-backward with any weights; mistakes must be fast as well."""
    size = len(word)
    forward, backward = [1.0, *[0.0] * size], [*[0.0] * size, 1.0]
    fitting = [
        (start, end, word[start:end])
        for start in range(size)
        for end in range(start + 1, size + 1)
        if word[start:end] in weights
    ]
    for start, end, piece in fitting:
        forward[end] += forward[start] * weights[piece]
    for start, end, piece in reversed(fitting):
        backward[start] += backward[end] * weights[piece]
    scale = forward[-1] if by_total else 1.0
    counts: dict[str, float] = {}
    for start, end, piece in fitting:
        if count := forward[start] * weights[piece] * backward[end] / scale:
            counts[piece] = counts.get(piece, 0.0) + count
    return counts


def _counts_of_best(word: str, probabilities: Mapping[str, float]) -> dict[str, float]:
    best = _best_way(word, lambda piece: math.log(probabilities[piece]) if piece in probabilities else None)
    return {piece: float(count) for piece, count in Counter(best).items()}


def _every_way_alike(word: str, probabilities: Mapping[str, float]) -> dict[str, float]:
    return _soft_counts(word, dict.fromkeys(probabilities, 1.0))


def _not_divided(word: str, probabilities: Mapping[str, float]) -> dict[str, float]:
    return _soft_counts(word, probabilities, by_total=False)


def _as_shares(word: str, probabilities: Mapping[str, float]) -> dict[str, float]:
    counts = _soft_counts(word, probabilities)
    return {piece: count / sum(counts.values()) for piece, count in counts.items()}


EXPECTED_COUNTS = Exercise(
    id="tok-expected-counts",
    chapter=1,
    cases=_expected_count_cases,
    hint="forward[end] is the sum of the products of all ways to cut word[:end], and forward[0] is 1; backward[start] "
    "is the same for word[start:], and backward[len(word)] is 1. A piece between start and end is used with "
    "probability forward[start] * probabilities[piece] * backward[end] / forward[len(word)]; add them up by piece.",
    mistakes=(
        Mistake(
            _counts_of_best,
            "This counts the pieces of the best way alone. That is Viterbi training; EM lets every way count by its "
            "share.",
        ),
        Mistake(
            _every_way_alike,
            "This takes every way to be equally probable. A way's weight is the product of its pieces' probabilities.",
        ),
        Mistake(
            _not_divided,
            "These are sums of products of probabilities. Divide by the sum over all ways, so that the ways of this "
            "word have 1 together.",
        ),
        Mistake(
            _as_shares,
            "These add up to 1: that is already the M-step. Here the counts are asked for, which add up to the "
            "expected number of pieces.",
        ),
    ),
)

EXERCISES = (VITERBI, EXPECTED_COUNTS)
"""The exercises of chapter 1 on Unigram."""
