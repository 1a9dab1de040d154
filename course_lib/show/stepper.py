"""The merge stepper: BPE training and encoding, one merge at a time, forward and back."""

import html
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import anywidget
import traitlets

from course_lib.show.cells import close_widgets, close_with_cell
from course_lib.show.replay import TrainingState, encoding_states, places, training_states
from course_lib.show.segments import face, parts_of
from course_lib.show.stepper_picture import picture_of_state
from course_lib.tokenizer import pretokenize
from course_lib.tokenizer.reference import Pair

SENNRICH = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
"""The dictionary of Sennrich et al. 2016 (section 3.2, algorithm 1), without the end-of-word symbol."""

HELLO = ((b"l", b"l"), (b"e", b"l"), (b"H", b"el"), (b"ll", b"o"))
"""A merge list in which the first pair in "Hello", e + l, is not the first to be merged."""

MAX_LETTERS = 64
"""The length of the longest word that is replayed, in characters."""

MAX_SHOWN = 40
"""The number of words and of pairs displayed; all are counted."""

_FOLDER = pathlib.Path(__file__).parent


def merge_stepper(
    corpus: str | Mapping[str, int] | None = None,
    *,
    num_merges: int = 12,
    word: str = "Hello",
    merges: Sequence[tuple[bytes | str, bytes | str]] | None = None,
) -> "MergeStepper":
    """Replay BPE one merge at a time: training on a tiny corpus, and encoding of a word that the reader types.

    ``corpus``: a text, split into words by GPT-2's pattern, or words with their counts; by default the example of
    Sennrich et al. 2016. ``num_merges``: the largest number of merges to learn. ``word``: the first word to encode,
    always treated as a single pre-token. ``merges``: a second merge list to encode with, in order of priority, such as
    ``tokenizer.merges``; by default one in which "Hello" is a trap: e + l comes first in the word, l + l in the list.
    Training is replayed in Python and encoding on the page, so the widget needs no kernel.

    Raises TypeError or ValueError, naming the argument, for a corpus without words, counts that are not positive,
    ``num_merges`` below 1, a word of more than 64 characters, and merges that are not distinct pairs of tokens.
    """
    states = training_states(_checked_corpus(corpus), _checked_num_merges(num_merges))
    learned = {"name": "learned from the corpus", "merges": states[-1].merges}
    given = {"name": "“ll” before “el”", "merges": HELLO}
    if merges is not None:
        given = {"name": "given", "merges": _checked_merges(merges)}
    samples = [{"word": _checked_word(word), "list": 0}]
    if corpus is None:
        samples.append({"word": "lowest", "list": 1})
    return MergeStepper(states, [given, learned], samples)


class MergeStepper(anywidget.AnyWidget):
    """The widget made by ``merge_stepper``. ``states``: the states of training; set ``word`` to encode another."""

    _esm = _FOLDER / "stepper.js"
    _css = _FOLDER / "stepper.css"
    training = traitlets.List(traitlets.Dict()).tag(sync=True)
    lists = traitlets.List(traitlets.Dict()).tag(sync=True)
    samples = traitlets.List(traitlets.Dict()).tag(sync=True)
    word = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        states: Sequence[TrainingState],
        lists: Sequence[Mapping[str, Any]],
        samples: Sequence[Mapping[str, Any]],
    ) -> None:
        self.states = list(states)
        self._first_word: str = samples[0]["word"]
        self._first_list = lists[0]
        super().__init__(
            training=[_state_as_dict(states, step) for step in range(len(states))],
            lists=[{**item, "merges": [_hex(pair) for pair in item["merges"]]} for item in lists],
            samples=[dict(sample) for sample in samples],
            word=self._first_word,
        )
        close_with_cell(lambda: close_widgets(self))

    @traitlets.validate("word")
    def _check_word(self, proposal: Any) -> str:
        return _checked_word(proposal["value"])

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live widget, and the corpus before the first merge as HTML, as a picture and as plain text."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        picture, metadata = picture_of_state(
            self.states[0], self.training[0]["say"], alt="\n".join(self._transcript())
        )
        data = {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": _static_html(self.states, self.training[0]["say"]),
            **picture,
        }
        return data, metadata

    def _transcript(self) -> list[str]:
        """The whole replay in plain text."""
        lines = ["BPE training, one merge at a time:"]
        for state in self.states:
            words = ", ".join(f"{_cut(tokens)} ×{count}" for tokens, count in state.words[:MAX_SHOWN])
            lines.append(f"{len(state.merges)}: {words}")
            if len(state.merges) < len(self.states) - 1:
                pair, count = state.pairs[0]
                tie = f", of {state.ties} pairs tied" if state.ties > 1 else ""
                lines.append(f"   merge {_pair_text(pair)} ({count} times{tie})")
        steps = encoding_states(self._first_word, self._first_list["merges"])
        lines.append(f"Encoding of {self._first_word!r} with the merges {self._first_list['name']}:")
        return [*lines, *(f"{step}: {_cut(state.tokens)}" for step, state in enumerate(steps))]


# --- arguments --------------------------------------------------------------------------------------------------------


def _checked_corpus(corpus: str | Mapping[str, int] | None) -> Mapping[str, int]:
    if corpus is None:
        return SENNRICH
    if isinstance(corpus, str):
        corpus = Counter(pretokenize(corpus))
    if not isinstance(corpus, Mapping):
        raise TypeError(f"corpus={corpus!r} must be a str or a mapping from words to counts")
    if not corpus:
        raise ValueError("corpus contains no words; give a text, or words with their counts")
    for word, count in corpus.items():
        if not isinstance(word, str) or not word:
            raise TypeError(f"corpus: {word!r} is not a word; words must be non-empty str")
        if type(count) is not int or count < 1:
            raise ValueError(f"corpus[{word!r}]={count!r} must be a whole number of at least 1")
        _checked_utf8("corpus", word)
    return corpus


def _checked_num_merges(num_merges: int) -> int:
    if type(num_merges) is not int or num_merges < 1:
        raise ValueError(f"num_merges={num_merges!r} must be a whole number of at least 1")
    return num_merges


def _checked_word(word: str) -> str:
    if not isinstance(word, str):
        raise TypeError(f"word={word!r} must be str, not {type(word).__name__}")
    if len(word) > MAX_LETTERS:
        raise ValueError(
            f"word={word[:12]!r}… has {len(word)} characters; at most {MAX_LETTERS} are replayed"
        )
    return _checked_utf8("word", word)


def _checked_utf8(argument: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{argument}: {text!r} contains a lone surrogate, which UTF-8 cannot encode"
        ) from None
    return text


def _checked_merges(merges: Sequence[tuple[bytes | str, bytes | str]]) -> tuple[Pair, ...]:
    checked: dict[Pair, int] = {}
    for index, merge in enumerate(merges):
        if not (
            isinstance(merge, tuple | list)
            and len(merge) == 2
            and all(isinstance(part, bytes | str) and part for part in merge)
        ):
            raise ValueError(f"merges[{index}]={merge!r} must be a pair of tokens: non-empty bytes or str")
        left, right = (
            _checked_utf8("merges", part).encode() if isinstance(part, str) else part for part in merge
        )
        if checked.setdefault((left, right), index) != index:
            raise ValueError(f"merges[{index}]={merge!r} repeats merges[{checked[left, right]}]")
    return tuple(checked)


# --- data for the page ------------------------------------------------------------------------------------------------


def _hex(tokens: Sequence[bytes]) -> list[str]:
    return [token.hex() for token in tokens]


def _state_as_dict(states: Sequence[TrainingState], step: int) -> dict[str, Any]:
    """A state as the page needs it, with tokens in hexadecimal."""
    state = states[step]
    return {
        "words": [{"tokens": _hex(tokens), "count": count} for tokens, count in state.words[:MAX_SHOWN]],
        "more_words": max(0, len(state.words) - MAX_SHOWN),
        "pairs": [{"pair": _hex(pair), "count": count} for pair, count in state.pairs[:MAX_SHOWN]],
        "more_pairs": max(0, len(state.pairs) - MAX_SHOWN),
        "say": _say(state, last=step == len(states) - 1),
    }


def _say(state: TrainingState, *, last: bool) -> str:
    """One or two sentences on the next merge."""
    done = len(state.merges)
    so_far = "Every word is cut into its bytes." if not done else f"{done} {_plural('merge', done)} learned."
    if not state.pairs:
        return f"{so_far} No pair is left: every word is one token."
    if last:
        return f"{so_far} The replay ends here; {len(state.pairs)} {_plural('pair', len(state.pairs))} left."
    pair, count = state.pairs[0]
    times = f"{count} {_plural('time', count)}"
    if state.ties == 1:
        return f"{so_far} The most frequent pair is {_pair_text(pair)}, {times}: it is merged next."
    other = state.pairs[1][0]
    return (
        f"{so_far} {state.ties} pairs occur {times} each. The greater pair of byte strings wins: "
        f"{_pair_text(pair)} {_bytes_text(pair)} before {_pair_text(other)} {_bytes_text(other)}."
    )


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else noun + "s"


_PLUS = "\N{NO-BREAK SPACE}+\N{NO-BREAK SPACE}"  # no line ends within a pair


def _pair_text(pair: Pair) -> str:
    return _PLUS.join(face(token) for token in pair)


def _bytes_text(pair: Pair) -> str:
    return f"({_PLUS.join(token.hex(' ').upper() for token in pair)})"


def _cut(tokens: Sequence[bytes]) -> str:
    return "|".join(face(token) for token in tokens)


# --- the first frame as HTML ------------------------------------------------------------------------------------------


def _static_html(states: Sequence[TrainingState], say: str) -> str:
    """The corpus before the first merge, with the style sheet of the page."""
    css = (_FOLDER / "stepper.css").read_text(encoding="utf-8")
    state = states[0]
    best = state.pairs[0][0] if state.pairs else None
    words = "".join(
        f'<div class="ms-row"><span class="ms-count">{count} ×</span>'
        f'<span class="ms-word">{_tokens_html(tokens, best)}</span></div>'
        for tokens, count in state.words[:MAX_SHOWN]
    )
    highest = state.pairs[0][1] if state.pairs else 1
    tied = state.ties if state.pairs and state.ties > 1 else 0
    pairs = "".join(
        f'<div class="ms-row{" ms-next" if index == 0 else ""}"><span class="ms-pair">'
        f"{_token_html(pair[0])} + {_token_html(pair[1])}</span>"
        f'<span class="ms-count">{count}</span>'
        f'<span class="ms-bar" style="width:{110 * count / highest:.0f}px"></span>'
        f'<span class="ms-note">{"tied" if index < tied else ""}</span></div>'
        for index, (pair, count) in enumerate(state.pairs[:MAX_SHOWN])
    )
    return (
        f'<style>{css}</style><div class="course-stepper"><div class="ms-say">{html.escape(say)}</div>'
        f'<div class="ms-stage"><section><div class="ms-title">Corpus</div><div class="ms-panel">{words}</div>'
        '</section><section><div class="ms-title">Pairs by count</div>'
        f'<div class="ms-panel">{pairs}</div></section></div></div>'
    )


def _tokens_html(tokens: Sequence[bytes], best: Pair | None) -> str:
    starts = places(tokens, best) if best else []
    chosen = {*starts, *(place + 1 for place in starts)}
    return "".join(_token_html(token, chosen=index in chosen) for index, token in enumerate(tokens))


def _token_html(token: bytes, *, chosen: bool = False) -> str:
    parts = "".join(
        f'<span class="ms-{part.kind}">{html.escape(part.text)}</span>' for part in parts_of(token)
    )
    return f'<bdi class="ms-token{" ms-chosen" if chosen else ""}">{parts}</bdi>'
