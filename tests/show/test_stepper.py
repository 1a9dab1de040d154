"""The merge stepper without a browser: its replay against the compiled engine, its arguments, its first frame."""

import base64
import io
import itertools
import re
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from course_lib import show
from course_lib.show.replay import encoding_states, places, training_states
from course_lib.show.stepper import HELLO, MAX_SHOWN, SENNRICH
from course_lib.tokenizer import Tokenizer, train_bpe
from course_lib.tokenizer.reference import merge

# No pre-tokenization: every text is one word.
WHOLE = r"(?s:.+)"
small_words = st.text("abcé觥😀", min_size=1, max_size=10)
corpora = st.dictionaries(small_words, st.integers(1, 5), min_size=1, max_size=6)


def engine_merges(words: dict[str, int], num_merges: int) -> list[tuple[bytes, bytes]]:
    documents = [word for word, count in words.items() for _ in range(count)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no pair is left
        return train_bpe(documents, 256 + num_merges, pattern=WHOLE).merges


@given(corpora, st.integers(1, 30))
def test_training_learns_the_engines_merges(words: dict[str, int], num_merges: int) -> None:
    states = training_states(words, num_merges)
    merges = engine_merges(words, num_merges)
    assert list(states[-1].merges) == merges
    assert [state.merges for state in states] == [tuple(merges[:n]) for n in range(len(merges) + 1)]


@given(corpora, st.integers(1, 12))
def test_every_training_state_is_what_its_merges_make_of_the_words(
    words: dict[str, int], num_merges: int
) -> None:
    for state in training_states(words, num_merges):
        tokenizer = tokenizer_of(state.merges)
        assert [
            ([tokenizer.vocab[token] for token in tokenizer.encode(word)], count)
            for word, count in words.items()
        ] == [(list(tokens), count) for tokens, count in state.words]
        for pair, count in state.pairs:
            brute = sum(
                n * sum(tokens[i : i + 2] == pair for i in range(len(tokens))) for tokens, n in state.words
            )
            assert count == brute
        keys = [(count, pair) for pair, count in state.pairs]
        assert keys == sorted(keys, reverse=True)
        assert len(set(keys)) == len(keys)


def tokenizer_of(merges: tuple[tuple[bytes, bytes], ...]) -> Tokenizer:
    tokens = dict.fromkeys([bytes([byte]) for byte in range(256)] + [left + right for left, right in merges])
    return Tokenizer(dict(enumerate(tokens)), list(merges), pattern=WHOLE)


# Any list of pairs of tokens that can be made, including lists that training cannot produce.
merge_lists = st.lists(
    st.tuples(*[st.sampled_from([b"a", b"b", b"ab", b"ba", b"aa", b"aba", b"abab"])] * 2),
    unique=True,
    max_size=12,
)


@given(merge_lists, st.text("ab", max_size=20))
def test_encoding_ends_at_the_engines_tokens_whatever_the_list(
    merges: list[tuple[bytes, bytes]], word: str
) -> None:
    parts = [part for pair in merges for part in pair]
    tokens = dict.fromkeys(
        [bytes([byte]) for byte in range(256)] + parts + [left + right for left, right in merges]
    )
    tokenizer = Tokenizer(dict(enumerate(tokens)), merges, pattern=WHOLE)
    states = encoding_states(word, merges)
    assert list(states[-1].tokens) == [tokenizer.vocab[token] for token in tokenizer.encode(word)]
    for before, after in itertools.pairwise(states):
        assert len(before.tokens) == len(after.tokens) + 1
        assert before.candidates == tuple(sorted(before.candidates))
    assert not states[-1].candidates


@given(corpora, small_words)
def test_encoding_with_learned_merges_equals_the_tokenizer(words: dict[str, int], word: str) -> None:
    merges = engine_merges(words, 20)
    tokenizer = tokenizer_of(tuple(merges))
    assert list(encoding_states(word, merges)[-1].tokens) == [
        tokenizer.vocab[token] for token in tokenizer.encode(word)
    ]


def test_hello_is_a_trap() -> None:
    first, second, third = encoding_states("Hello", HELLO)
    assert first.tokens == (b"H", b"e", b"l", b"l", b"o")
    assert first.candidates == ((0, (b"l", b"l")), (1, (b"e", b"l")))
    assert second.tokens == (b"H", b"e", b"ll", b"o")
    assert second.candidates == ((3, (b"ll", b"o")),)  # e + l is gone
    assert third.tokens == (b"H", b"e", b"llo")


@given(st.lists(st.sampled_from([b"a", b"b"]), max_size=12))
def test_places_are_where_merge_joins(tokens: list[bytes]) -> None:
    pair = (b"a", b"a")
    joined = list(tokens)
    for place in reversed(places(tokens, pair)):
        joined[place : place + 2] = [b"aa"]
    assert tuple(joined) == merge(tokens, pair)


def test_the_classroom_demo() -> None:
    stepper = show.merge_stepper()
    assert stepper.states[0].words[0] == ((b"l", b"o", b"w"), 5)
    assert [left + right for left, right in stepper.states[-1].merges] == (
        b"st est ow low west ne newest wi wid widest lowe lower".split()
    )
    assert "2 pairs occur 9 times each" in stepper.training[0]["say"]
    # No line ends within a pair.
    assert "s\xa0+\xa0t (73\xa0+\xa074) before e\xa0+\xa0s (65\xa0+\xa073)" in stepper.training[0]["say"]
    assert "No pair is left" in stepper.training[-1]["say"]
    assert stepper.lists[0]["merges"][0] == ["6c", "6c"]
    assert stepper.lists[1]["merges"] == [[a.hex(), b.hex()] for a, b in stepper.states[-1].merges]
    assert dict(SENNRICH) == {"low": 5, "lower": 2, "newest": 6, "widest": 3}


def test_a_text_is_cut_into_words_and_a_given_merge_list_is_used() -> None:
    stepper = show.merge_stepper(
        "the cat the hat", num_merges=2, word="that", merges=[("t", "h"), (b"a", b"t")]
    )
    assert [(b"".join(tokens), count) for tokens, count in stepper.states[0].words] == [
        *[(b"the", 1), (b" cat", 1), (b" the", 1), (b" hat", 1)]
    ]
    assert len(stepper.states) == 3
    assert stepper.lists[0]["merges"] == [["74", "68"], ["61", "74"]]
    assert stepper.word == "that"
    assert "th|at" in stepper._repr_mimebundle_()[0]["text/plain"]


def test_many_words_are_counted_whole_and_shown_in_part() -> None:
    words = {f"{number:03}": 1 for number in range(100)}
    stepper = show.merge_stepper(words, num_merges=1)
    assert len(stepper.training[0]["words"]) == MAX_SHOWN
    assert stepper.training[0]["more_words"] == 100 - MAX_SHOWN
    assert len(stepper.training[0]["pairs"]) + stepper.training[0]["more_pairs"] == len(
        stepper.states[0].pairs
    )
    assert stepper.training[0]["pairs"][0]["count"] == max(count for _, count in stepper.states[0].pairs)


def test_markup_is_text_in_the_static_frame() -> None:
    stepper = show.merge_stepper({"<script>alert(1)</script>": 3, "&amp;": 1}, word="<b>", num_merges=3)
    body = stepper._repr_mimebundle_()[0]["text/html"].split("</style>")[1]
    assert set(re.findall(r"<(\w+)", body)) <= {"div", "section", "bdi", "span"}
    assert "&lt;" in body and "&amp;" in body


def test_the_page_draws_text_only_as_text() -> None:
    script = str(show.MergeStepper._esm)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)
    assert "stopPropagation" in script


def test_the_first_frame_needs_no_kernel() -> None:
    stepper = show.merge_stepper({"跟我": 3, "\u202e": 1}, num_merges=8)
    data, metadata = stepper._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == stepper.model_id
    assert "⟨E8⟩|⟨B7⟩|⟨9F⟩" in data["text/plain"] and "跟我 ×3" in data["text/plain"]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB"))
    assert picture.shape[1] == 1520 and picture.std() > 5
    assert metadata["image/png"]["alt"] == data["text/plain"]


def test_a_corpus_without_pairs_has_one_state() -> None:
    stepper = show.merge_stepper({"a": 1})
    assert len(stepper.states) == 1
    assert "No pair is left" in stepper._repr_mimebundle_()[0]["text/html"]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"corpus": 3}, TypeError, "corpus=3"),
        ({"corpus": ""}, ValueError, "corpus contains no words"),
        ({"corpus": {}}, ValueError, "corpus contains no words"),
        ({"corpus": {"a": 0}}, ValueError, r"corpus\['a'\]=0"),
        ({"corpus": {"a": 1.5}}, ValueError, r"corpus\['a'\]=1.5"),
        ({"corpus": {"": 1}}, TypeError, "corpus: ''"),
        ({"corpus": {"\ud800": 1}}, ValueError, "corpus: .* lone surrogate"),
        ({"num_merges": 0}, ValueError, "num_merges=0"),
        ({"num_merges": "3"}, ValueError, "num_merges='3'"),
        ({"word": b"x"}, TypeError, "word=b'x'"),
        ({"word": "x" * 65}, ValueError, "65 characters; at most 64"),
        ({"word": "\ud800"}, ValueError, "word: .* lone surrogate"),
        ({"merges": [("a", "b"), ("a",)]}, ValueError, r"merges\[1\]=\('a',\)"),
        ({"merges": [("a", "")]}, ValueError, r"merges\[0\]"),
        ({"merges": [("a", "b"), (b"a", b"b")]}, ValueError, r"merges\[1\].* repeats merges\[0\]"),
        ({"merges": "ab"}, ValueError, r"merges\[0\]='a'"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, kind: type[Exception], message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(kind, match=message):
        show.merge_stepper(**arguments)


def test_a_word_set_later_is_checked_too() -> None:
    stepper = show.merge_stepper()
    stepper.word = "lowest"
    with pytest.raises(ValueError, match="at most 64"):
        stepper.word = "x" * 65
    assert stepper.word == "lowest"
