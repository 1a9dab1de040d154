"""Unigram: segmentations equal SentencePiece's and tokenizers', n-best, sampling and EM equal brute force."""

import io
import itertools
import math
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import ClassVar

import numpy as np
import pytest
import sentencepiece
import tokenizers
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from course_lib.data import stories
from course_lib.show.segments import tokenize
from course_lib.tokenizer import pretokenize
from course_lib.tokenizer.unigram import UnigramTokenizer, sample
from course_lib.tokenizer.unigram_training import (
    Lattices,
    PieceModel,
    digamma,
    m_step,
    maximum_likelihood,
    seed_pieces,
)
from tests.tokenizer.references import hard_text

ON_SPACES = r" ?[^ ]+| "  # where SentencePiece lets words begin

# Scores are multiples of 1/4, so that sums are exact and ties are common.
vocabularies = st.dictionaries(
    st.text("abcé▁", min_size=1, max_size=4),
    st.integers(-12, -1).map(lambda n: n / 4),
    min_size=1,
    max_size=15,
)
short_words = st.text("abcé", min_size=1, max_size=7)


def cuts(word: str) -> Iterator[list[str]]:
    """Every way to cut a word into pieces of any kind: 2 ** (len(word) - 1) of them."""
    if not word:
        yield []
    for end in range(1, len(word) + 1):
        for rest in cuts(word[end:]):
            yield [word[:end], *rest]


def segmentations(tokenizer: UnigramTokenizer, word: str) -> list[tuple[list[str], float]]:
    """Every segmentation of ``word`` with its log-probability, by definition: no lattice."""
    scores = dict(tokenizer.scores)
    for letter in word:
        scores.setdefault(letter, min(tokenizer.scores.values()) - 10)
    return [
        (pieces, sum(scores[piece] for piece in pieces))
        for pieces in cuts(word)
        if all(piece in scores for piece in pieces)
    ]


def pieces_of(tokenizer: UnigramTokenizer, ids: list[int]) -> list[str]:
    return [tokenizer.vocab[token_id] for token_id in ids]


def ids_of(tokenizer: UnigramTokenizer, pieces: list[str]) -> list[int]:
    """Ids by definition: a piece's, or the bytes of a character that is none."""
    numbers = {piece: token_id for token_id, piece in tokenizer.vocab.items() if token_id > 255}
    return [
        token_id
        for piece in pieces
        for token_id in ([numbers[piece]] if piece in numbers else piece.encode())
    ]


@cache
def corpus(language: str, num_bytes: int = 150_000, seed: int = 0) -> list[str]:
    return list(stories(num_bytes, seed, language))  # type: ignore[arg-type]


@cache
def trained(language: str, vocab_size: int = 2000) -> UnigramTokenizer:
    return UnigramTokenizer.train(corpus(language), vocab_size)


@cache
def sentencepiece_model(language: str) -> sentencepiece.SentencePieceProcessor:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for story in corpus(language) for line in story.split("\n") if line),
        model_writer=model,
        vocab_size=2000,
        model_type="unigram",
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        byte_fallback=True,
        character_coverage=1.0,
        bos_id=-1,
        eos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


@cache
def with_scores_of_sentencepiece(language: str) -> UnigramTokenizer:
    model = sentencepiece_model(language)
    pieces = {model.id_to_piece(i): model.get_score(i) for i in range(model.get_piece_size())}
    normal = {
        piece: score for piece, score in pieces.items() if piece != "<unk>" and not piece.startswith("<0x")
    }
    return UnigramTokenizer(normal, pattern=ON_SPACES)


def with_tokenizers(ours: UnigramTokenizer) -> tokenizers.Tokenizer:
    """The same vocabulary in Hugging Face's implementation."""
    vocab = [("<unk>", 0.0), *[(f"<0x{byte:02X}>", 0.0) for byte in range(256)], *ours.scores.items()]
    return tokenizers.Tokenizer(tokenizers.models.Unigram(vocab, unk_id=0, byte_fallback=True))


class TestEncode:
    @given(scores=vocabularies, word=st.text("abcéx", max_size=12))
    @example(scores={"a": -1.0, "b": -1.0, "ab": -2.0}, word="abab")
    @example(scores={"a": -1.0, "aa": -2.0, "aaa": -3.0}, word="aaaaaaa")
    def test_equals_tokenizers_ties_included(self, scores: dict[str, float], word: str) -> None:
        ours = UnigramTokenizer(scores)
        assert pieces_of(ours, ours.encode(word)) == with_tokenizers(ours).encode(word).tokens

    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_equals_tokenizers_on_text_with_a_trained_vocabulary(self, language: str) -> None:
        ours = trained(language)
        theirs = with_tokenizers(ours)
        for story in corpus(language, 20_000, seed=1000):
            for word in ours._words(story):
                assert pieces_of(ours, ours.encode(word.replace("▁", " "))) == theirs.encode(word).tokens

    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_equals_sentencepiece_on_text(self, language: str) -> None:
        ours, theirs = with_scores_of_sentencepiece(language), sentencepiece_model(language)
        lines = [line for story in corpus(language, 50_000, seed=1000) for line in story.split("\n") if line]
        # SentencePiece spells a space that is not a piece as the three bytes of "▁"; here it is one byte.
        hard = (
            ["  two  spaces ", "naïve 觥筹交错 😀", "x" * 50]
            if language == "en"
            else ["naïve觥筹交错😀", "x" * 50]
        )
        for line in lines + hard:
            assert pieces_of(ours, ours.encode(line)) == theirs.encode(line, out_type=str)

    @given(scores=vocabularies, word=short_words)
    def test_is_the_most_probable_segmentation(self, scores: dict[str, float], word: str) -> None:
        ours = UnigramTokenizer(scores)
        every = segmentations(ours, word)
        best = max(score for _, score in every)
        assert ours.encode(word) in [ids_of(ours, pieces) for pieces, score in every if score == best]

    @given(text=hard_text)
    @example(text="▁ ▁▁  \ud7ff")
    @example(text="")
    def test_decodes_to_the_same_text(self, text: str) -> None:
        for tokenizer in (trained("en"), UnigramTokenizer({"a": -1.0}), UnigramTokenizer({"▁": -1.0})):
            assert tokenizer.decode(tokenizer.encode(text)) == text
            assert tokenizer.decode_bytes(tokenizer.encode(text)) == text.encode()

    def test_long_words_take_no_more_than_linear_time(self) -> None:
        assert len(trained("en").encode("a" * 50_000)) >= 3000

    def test_serves_the_token_highlighter(self) -> None:
        row = tokenize("ours", trained("en"), "the cat 觥")
        assert not row.error and row.bytes == len("the cat 觥".encode())
        assert "".join(part.text for token in row.tokens[:-3] for part in token.parts) == "the cat "


class TestNBest:
    @given(scores=vocabularies, word=short_words, n=st.integers(1, 8))
    def test_equals_brute_force(self, scores: dict[str, float], word: str, n: int) -> None:
        ours = UnigramTokenizer(scores)
        every = sorted(segmentations(ours, word), key=lambda found: -found[1])
        paths = ours.nbest(word, n)
        assert [score for _, score in paths] == [score for _, score in every[:n]]
        assert len({tuple(ids) for ids, _ in paths}) == len(paths)
        by_ids = {tuple(ids_of(ours, pieces)): score for pieces, score in every}
        assert all(by_ids[tuple(ids)] == score for ids, score in paths)
        assert paths[0][0] == ours.encode(word)

    @given(scores=vocabularies, words=st.lists(short_words, min_size=2, max_size=3))
    def test_is_best_over_all_words_of_a_text(self, scores: dict[str, float], words: list[str]) -> None:
        ours = UnigramTokenizer(scores)
        totals = [0.0]
        for word in ["x", *[f"▁{word}" for word in words]]:
            totals = [total + score for total in totals for _, score in segmentations(ours, word)]
        found = ours.nbest(" ".join(["x", *words]), 6)
        assert [score for _, score in found] == sorted(totals, reverse=True)[:6]

    def test_equals_sentencepiece(self) -> None:
        ours, theirs = with_scores_of_sentencepiece("en"), sentencepiece_model("en")
        for word in ("moongatherer", "strengthening", "painter", "unbelievable"):
            expected = theirs.nbest_encode(word, nbest_size=5, out_type=str)
            assert [pieces_of(ours, ids) for ids, _ in ours.nbest(word, 5)] == expected


class TestSample:
    SCORES: ClassVar = {"a": -1.5, "b": -2.0, "ab": -2.5, "ba": -3.0, "aba": -3.0, "bb": -4.0}

    @pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0])
    def test_frequencies_are_the_lattice_probabilities(self, alpha: float) -> None:
        """A chi-square test against the exact distribution; the seed is fixed, the bound is the 99.9 % quantile."""
        ours = UnigramTokenizer(self.SCORES)
        weights = {
            tuple(ids_of(ours, p)): math.exp(alpha * score) for p, score in segmentations(ours, "ababba")
        }
        draws = 20_000
        random = np.random.default_rng(0)
        seen = Counter(tuple(ours.sample("ababba", alpha, random)) for _ in range(draws))
        assert set(seen) <= set(weights)
        expected = {ids: draws * weight / sum(weights.values()) for ids, weight in weights.items()}
        assert min(expected.values()) > 5
        statistic = sum((seen[ids] - count) ** 2 / count for ids, count in expected.items())
        freedom = len(expected) - 1
        # Wilson-Hilferty: the cube root of chi-square / freedom is nearly normal.
        bound = freedom * (1 - 2 / (9 * freedom) + 3.09 * math.sqrt(2 / (9 * freedom))) ** 3
        assert statistic < bound

    def test_a_large_alpha_gives_the_best_segmentation(self) -> None:
        ours = trained("en")
        text = corpus("en", 1000, seed=5)[0]
        assert ours.nbest(text, 2)[0][1] > ours.nbest(text, 2)[1][1]
        assert ours.sample(text, alpha=1e6) == ours.encode(text)

    @given(text=hard_text, alpha=st.floats(0, 5), seed=st.integers(0, 99))
    def test_decodes_to_the_same_text_and_repeats_itself(self, text: str, alpha: float, seed: int) -> None:
        ours = trained("zh")
        ids = ours.sample(text, alpha, seed)
        assert ours.decode(ids) == text
        assert ours.sample(text, alpha, seed) == ids

    def test_is_not_put_off_by_very_long_words(self) -> None:
        lattice = UnigramTokenizer(self.SCORES).lattice("ab" * 2000)
        assert sample(lattice, 1.0, np.random.default_rng(0))[-1] == 4000  # of probability below 1e-1000


class TestEM:
    @given(words=st.dictionaries(short_words, st.integers(1, 9), min_size=1, max_size=5), data=st.data())
    def test_expected_counts_equal_brute_force(self, words: dict[str, int], data: st.DataObject) -> None:
        letters = set().union(*words)
        scores = dict.fromkeys(sorted(letters), -2.0) | data.draw(vocabularies)
        tokenizer, pieces = UnigramTokenizer(scores), list(scores)
        expected: Counter[str] = Counter()
        for word, count in words.items():
            every = segmentations(tokenizer, word)
            total = sum(math.exp(score) for _, score in every)
            for cut, score in every:
                for piece in cut:
                    expected[piece] += count * math.exp(score) / total
        lattices = Lattices.of(list(words), pieces)
        counts = lattices.expected_counts(
            np.array(list(scores.values())), np.array(list(words.values()), float)
        )
        np.testing.assert_allclose(counts, [expected[piece] for piece in pieces], rtol=1e-9, atol=1e-12)

    @given(words=st.lists(short_words, min_size=1, max_size=4, unique=True), data=st.data())
    def test_restricted_lattices_equal_lattices_of_fewer_pieces(
        self, words: list[str], data: st.DataObject
    ) -> None:
        scores = dict.fromkeys(sorted(set().union(*words)), -2.0) | data.draw(vocabularies)
        pieces = list(scores)
        kept = np.array([len(piece) == 1 or data.draw(st.booleans()) for piece in pieces])
        log_p = np.where(kept, list(scores.values()), -math.inf)
        fewer = [piece for piece, keep in zip(pieces, kept, strict=True) if keep]
        ones = np.ones(len(words))
        restricted = Lattices.of(words, pieces).restricted(kept)
        anew = Lattices.of(words, fewer)
        np.testing.assert_allclose(restricted.log_probabilities(log_p), anew.log_probabilities(log_p[kept]))
        np.testing.assert_allclose(
            restricted.expected_counts(log_p, ones)[kept], anew.expected_counts(log_p[kept], ones), atol=1e-12
        )

    @given(
        words=st.dictionaries(short_words, st.integers(1, 9), min_size=1, max_size=5), size=st.integers(0, 9)
    )
    def test_a_step_equals_brute_force(self, words: dict[str, int], size: int) -> None:
        model = PieceModel.of(words, seed_pieces(words, 4, size))
        every = {word: segmentations(UnigramTokenizer(model.scores()), word) for word in words}
        totals = {word: sum(math.exp(score) for _, score in ways) for word, ways in every.items()}
        expected: Counter[str] = Counter()
        for word, ways in every.items():
            for cut, score in ways:
                for piece in cut:
                    expected[piece] += words[word] * math.exp(score) / totals[word]
        likelihood = sum(count * math.log(totals[word]) for word, count in words.items())
        assert model.log_likelihood() == pytest.approx(likelihood)
        model.em_step(maximum_likelihood)
        for piece, score in model.scores().items():
            assert math.exp(score) == pytest.approx(expected[piece] / expected.total(), abs=1e-12)

    def test_steps_raise_the_likelihood_and_pruning_lowers_it(self) -> None:
        """The maximum-likelihood M-step cannot lower it; digamma's differs by little where counts are large."""
        words = Counter(word for story in corpus("en", 30_000) for word in story.split())
        model = PieceModel.of(words, seed_pieces(words, 8, 500))
        for num_pieces in (400, 300, 200):
            before = model.log_likelihood()
            for _ in range(4):
                model.em_step(maximum_likelihood)
                assert model.log_likelihood() >= before - 1e-9 * abs(before)
                before = model.log_likelihood()
            model.prune(num_pieces)
            assert model.num_pieces == num_pieces and model.log_likelihood() < before
        assert set().union(*words) <= set(model.scores())
        counts, kept = model.lattices.expected_counts(model.log_p, model.frequencies), model.kept
        often = counts > 100
        np.testing.assert_allclose(
            m_step(counts, kept)[often], maximum_likelihood(counts, kept)[often], atol=0.02
        )

    def test_the_likelihood_is_that_of_sentencepiece_and_no_worse(self) -> None:
        """Sentencepiece's own scores, its sums over all ways to cut a word, and ours after our training."""
        theirs = with_scores_of_sentencepiece("en")
        words = Counter(
            word for story in corpus("en") for word in pretokenize(story, ON_SPACES) if "\n" not in word
        )
        marked = {word.replace(" ", "▁"): count for word, count in words.items()}
        kept = {word: count for word, count in marked.items() if set(word) <= set(theirs.scores)}
        assert sum(kept.values()) > 0.99 * words.total()
        model = PieceModel.of(kept, dict.fromkeys(theirs.scores, 1))
        model.log_p = np.array(list(theirs.scores.values()))
        peer = sentencepiece_model("en")
        for place, word in enumerate(itertools.islice(kept, 0, 300)):
            ways = peer.nbest_encode(word.replace("▁", " "), nbest_size=512, out_type=str)
            if len(ways) < 512:
                total = np.logaddexp.reduce([sum(theirs.scores[piece] for piece in way) for way in ways])
                assert model.lattices.log_probabilities(model.log_p)[place] == pytest.approx(total, abs=1e-3)
        ours = UnigramTokenizer.train(corpus("en"), 256 + len(theirs.scores), pattern=ON_SPACES)
        again = PieceModel.of(kept, dict.fromkeys(ours.scores, 1))
        again.log_p = np.array(list(ours.scores.values()))
        assert again.log_likelihood() > model.log_likelihood()

    def test_digamma_equals_torch(self) -> None:
        x = np.concatenate([np.linspace(0.5, 10, 500), np.geomspace(10, 1e9, 50)])
        np.testing.assert_allclose(digamma(x), torch.digamma(torch.tensor(x)).numpy(), rtol=1e-9, atol=1e-9)

    @given(
        words=st.dictionaries(short_words, st.integers(1, 5), min_size=1, max_size=6), size=st.integers(0, 9)
    )
    def test_seeds_are_the_substrings_that_cover_most(self, words: dict[str, int], size: int) -> None:
        counts: Counter[str] = Counter()
        for word, count in words.items():
            for start in range(len(word)):
                for end in range(start + 1, min(len(word), start + 4) + 1):
                    counts[word[start:end]] += count
        seeds = seed_pieces(words, 4, size)
        assert all(counts[piece] == count for piece, count in seeds.items())
        left_out = [count * len(piece) for piece, count in counts.items() if piece not in seeds and count > 1]
        chosen = [count * len(piece) for piece, count in seeds.items() if len(piece) > 1]
        assert len(chosen) <= size and max(left_out, default=0) <= min(chosen, default=math.inf)
        assert not left_out or len(chosen) == size
        assert set().union(*words) <= set(seeds)


class TestTrain:
    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_has_the_size_asked_for_and_all_characters(self, language: str) -> None:
        tokenizer = trained(language)
        assert tokenizer.vocab_size == len(tokenizer.vocab) == 2000
        assert {letter for story in corpus(language) for letter in story.replace(" ", "▁")} <= set(
            tokenizer.scores
        )
        assert sum(math.exp(score) for score in tokenizer.scores.values()) == pytest.approx(1, abs=0.05)
        assert list(tokenizer.scores.values()) == sorted(tokenizer.scores.values(), reverse=True)

    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_compresses_no_worse_than_sentencepiece_does(self, language: str) -> None:
        """Seeds and pruning differ; over 4 seeds and both languages ours needed 8 to 11 % fewer tokens."""
        held_out = [
            line for story in corpus(language, 50_000, seed=1000) for line in story.split("\n") if line
        ]
        ours, theirs = trained(language), sentencepiece_model(language)
        tokens = sum(len(ours.encode(line)) for line in held_out)
        assert tokens <= sum(len(theirs.encode(line)) for line in held_out)

    def test_gives_the_same_twice_and_from_a_file(self, tmp_path) -> None:
        path = tmp_path / "corpus.txt"
        path.write_text("".join(corpus("en", 20_000)), encoding="utf-8")
        first = UnigramTokenizer.train(path, 600)
        assert UnigramTokenizer.train(["".join(corpus("en", 20_000))], 600).scores == first.scores

    def test_marks_and_broken_bytes_in_the_text_are_in_no_piece(self, tmp_path) -> None:
        path = tmp_path / "corpus.txt"
        path.write_bytes(b"ab\xffab ab\xe2\x96\x81ab ab ab" * 5)
        tokenizer = UnigramTokenizer.train(path, 262)
        assert set("".join(tokenizer.scores)) == set("ab▁")
        assert not any("▁" in piece[1:] for piece in tokenizer.scores)

    def test_pieces_are_no_longer_than_asked(self) -> None:
        tokenizer = UnigramTokenizer.train(["the cat the hat the bat"] * 3, 256 + 14, max_piece_length=3)
        assert max(map(len, tokenizer.scores)) == 3


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"vocab_size": 258}, "vocab_size must be at least 260, not 258"),
            ({"vocab_size": 10_000}, "vocab_size is 10000, but"),
            ({"vocab_size": 300.0}, "vocab_size"),
            ({"shrinking_factor": 1.0}, "shrinking_factor must be greater than 0 and less than 1, not 1.0"),
            ({"em_steps": 0}, "em_steps must be at least 1, not 0"),
            ({"max_piece_length": 0}, "max_piece_length"),
            ({"seed_size": -1}, "seed_size"),
            ({"pattern": "("}, "pattern"),
        ],
    )
    def test_training_names_the_argument(self, options: dict[str, object], message: str) -> None:
        with pytest.raises((TypeError, ValueError), match=message.replace("(", r"\(")):
            UnigramTokenizer.train(["ab abc ab"], **({"vocab_size": 262} | options))  # type: ignore[arg-type]

    def test_a_source_without_text(self) -> None:
        with pytest.raises(ValueError, match="no text"):
            UnigramTokenizer.train([], 300)

    @pytest.mark.parametrize(
        ("scores", "message"),
        [
            ({}, "scores is empty"),
            ({"": -1.0}, "non-empty"),
            ({"a b": -1.0}, "spaces written '▁'"),
            ({"a": math.nan}, "scores\\['a'\\] is nan"),
            ({"a": "x"}, "scores\\['a'\\] is 'x'"),
            ({"<0x41>": -1.0}, "twice"),
        ],
    )
    def test_vocabularies_that_cannot_be(self, scores: dict[str, float], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            UnigramTokenizer(scores)

    def test_calls(self) -> None:
        tokenizer = UnigramTokenizer({"a": -1.0})
        with pytest.raises(ValueError, match="n must be at least 1, not 0"):
            tokenizer.nbest("a", 0)
        with pytest.raises(ValueError, match="alpha must be at least 0, not -1"):
            tokenizer.sample("a", alpha=-1)
        with pytest.raises(ValueError, match="ids holds 257; this vocabulary has the ids 0 to 256"):
            tokenizer.decode([257])
        with pytest.raises(ValueError, match="surrogate"):
            tokenizer.encode("a\ud800")
        with pytest.raises(TypeError, match="str"):
            tokenizer.encode(b"a")  # type: ignore[arg-type]
