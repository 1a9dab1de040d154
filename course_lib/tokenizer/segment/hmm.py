"""A hidden Markov model (隐马尔可夫模型) that cuts words it has never seen, by what their characters usually do."""

import ast
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from course_lib.errors import FormatError
from course_lib.tokenizer.segment.dictionary import jieba_file

STATES = "BMES"
"""The place of a character in its word: beginning, middle, end, or a single-character word."""

IMPOSSIBLE = -3.14e100
"""Log-probability of what was never seen: finite, as in jieba, so that one such event is better than two."""

_BEFORE = {"B": "ES", "M": "MB", "E": "BM", "S": "SE"}


class HMM:
    """Hidden states B, M, E, S, one for each character; the states emit the characters.

    ``start``: state → log-probability of the first state. ``transition``: state → next state → log-probability.
    ``emission``: state → character → log-probability. What is not in a mapping is (almost) impossible.

    Raises ValueError for a state that is not one of ``STATES``.
    """

    def __init__(
        self,
        start: Mapping[str, float],
        transition: Mapping[str, Mapping[str, float]],
        emission: Mapping[str, Mapping[str, float]],
    ) -> None:
        named = {"start": {*start}, "emission": {*emission}}
        named["transition"] = {*transition}.union(*transition.values())
        for argument, states in named.items():
            if unknown := sorted(states - {*STATES}):
                raise ValueError(f"{argument} has the state {unknown[0]!r}; allowed are {', '.join(STATES)}")
        self.start = {state: start.get(state, IMPOSSIBLE) for state in STATES}
        self.transition = {
            state: {after: transition.get(state, {}).get(after, IMPOSSIBLE) for after in STATES}
            for state in STATES
        }
        self.emission = {state: dict(emission.get(state, {})) for state in STATES}

    @classmethod
    def from_counts(
        cls,
        start: Mapping[str, int],
        transition: Mapping[str, Mapping[str, int]],
        emission: Mapping[str, Mapping[str, int]],
    ) -> "HMM":
        """The maximum-likelihood model for counts: every probability is a relative frequency, without smoothing."""
        return cls(
            _log_shares(start),
            {state: _log_shares(counts) for state, counts in transition.items()},
            {state: _log_shares(counts) for state, counts in emission.items()},
        )

    @classmethod
    def train(cls, sentences: Iterable[Sequence[str]]) -> "HMM":
        """The maximum-likelihood model for segmented text: ``sentences`` are lists of words.

        Raises ValueError for an empty word, or if there is no word at all.
        """
        start: Counter[str] = Counter()
        transition: dict[str, Counter[str]] = {state: Counter() for state in STATES}
        emission: dict[str, Counter[str]] = {state: Counter() for state in STATES}
        for words in sentences:
            states = tag(words)
            start.update(states[:1])
            for state, after in itertools.pairwise(states):
                transition[state][after] += 1
            for state, character in zip(states, "".join(words), strict=True):
                emission[state][character] += 1
        if not start:
            raise ValueError("sentences hold no word; at least one is needed")
        return cls.from_counts(start, transition, emission)

    def viterbi(self, text: str) -> str:
        """The most probable states for ``text``, one letter per character (Viterbi 1967; Rabiner 1989, section III B).

        Only sequences that end at the end of a word are considered. Of equally probable states the later letter wins.
        """
        if not text:
            return ""
        best = {state: self.start[state] + self._emit(state, text[0]) for state in STATES}
        came_from: list[dict[str, str]] = []
        for character in text[1:]:
            step = {
                state: max(
                    (best[before] + self.transition[before][state] + self._emit(state, character), before)
                    for before in _BEFORE[state]
                )
                for state in STATES
            }
            best = {state: score for state, (score, _) in step.items()}
            came_from.append({state: before for state, (_, before) in step.items()})
        states = [max("ES", key=lambda state: (best[state], state))]
        for step_from in reversed(came_from):
            states.append(step_from[states[-1]])
        return "".join(reversed(states))

    def segment(self, text: str) -> list[str]:
        """Cut ``text`` after every character whose state is E or S."""
        words: list[str] = []
        start = 0
        for end, state in enumerate(self.viterbi(text), 1):
            if state in "ES":
                words.append(text[start:end])
                start = end
        return words

    def log_probability(self, text: str, states: str) -> float:
        """Log of the joint probability of the characters ``text`` and their ``states``.

        Raises ValueError if the two differ in length.
        """
        if len(text) != len(states):
            raise ValueError(
                f"states={states!r} has {len(states)} letters for a text of {len(text)} characters"
            )
        steps = (self.transition[state][after] for state, after in itertools.pairwise(states))
        letters = (self._emit(state, character) for state, character in zip(states, text, strict=True))
        return (self.start[states[0]] if states else 0.0) + sum(steps) + sum(letters)

    def _emit(self, state: str, character: str) -> float:
        return self.emission[state].get(character, IMPOSSIBLE)


def tag(words: Sequence[str]) -> str:
    """The states of segmented text: ``tag(["他", "研究", "生命"])`` is ``"SBEBE"``. ValueError for an empty word."""
    if "" in words:
        raise ValueError(
            f"words holds an empty word at {list(words).index('')}; every word needs a character"
        )
    return "".join("S" if len(word) == 1 else f"B{'M' * (len(word) - 2)}E" for word in words)


@cache
def jieba_hmm() -> HMM:
    """The model of the jieba package (MIT licence), read as data: the package is neither imported nor unpickled.

    Raises FileNotFoundError, with the command that installs it, if it is missing, and FormatError for damaged files.
    """
    start, transition, emission = (
        read_literal(jieba_file(f"finalseg/prob_{part}.py")) for part in ("start", "trans", "emit")
    )
    return HMM(start, transition, emission)


def read_literal(path: Path) -> Any:
    """The value in a Python file whose last statement is ``P = {…}``, without running the file.

    Raises FormatError for anything else.
    """
    try:
        match ast.parse(path.read_text(encoding="utf-8")).body:
            case [*_, ast.Assign(value=value)]:
                return ast.literal_eval(value)
        reason = "no assignment at its end"
    except (SyntaxError, ValueError) as error:
        reason = str(error)
    raise FormatError(path, "", f"expected 'P = {{…}}' with plain numbers: {reason}")


def _log_shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {key: math.log(count / total) for key, count in counts.items() if count}
