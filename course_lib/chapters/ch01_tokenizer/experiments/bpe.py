"""Chapter 1: the quality of a byte-level BPE tokenizer, and the work of training and encoding."""

import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pandas as pd
import regex

from course_lib.chapters.ch01_tokenizer.experiments import real_text
from course_lib.data import SEPARATOR, open_text, stories
from course_lib.files import PathLike, progress
from course_lib.lab.measure import cpu_seconds
from course_lib.tokenizer import Tokenizer, pretokenize, reference, shrink, train_bpe

# Publishers' figures: model cards and configuration files. DeepSeek-V3's total counts all experts.
_MODELS = (
    ("GPT-2", "English", 50_257, 768, True, 124_439_808),
    ("GPT-2 XL", "English", 50_257, 1_600, True, 1_557_611_200),
    ("Llama 2 7B", "mostly English", 32_000, 4_096, False, 6_738_415_616),
    ("Qwen2.5 0.5B", "many", 151_936, 896, True, 494_032_768),
    ("Llama 3.2 1B", "many", 128_256, 2_048, True, 1_235_814_400),
    ("Gemma 2 2B", "many", 256_000, 2_304, True, 2_614_341_888),
    ("Llama 3.1 8B", "many", 128_256, 4_096, False, 8_030_261_248),
    ("DeepSeek-V3", "many", 129_280, 7_168, False, 671_026_419_200),
)

_ENGINE_TURNS = 7

_SPACE = re.compile(r"(?<=[a-z]) (?=[a-z])")

_STANDARD_LIBRARY = ("argparse", "asyncio.base_events", "email.message", "json.encoder", "pathlib", "typing")


# --- vocabulary size and compression ----------------------------------------------------------------------------------


def published_models() -> pd.DataFrame:
    """Vocabulary size V, width D and the parameters spent on the vocabulary, for some published models.

    Columns: model, languages, V, D, tied (one matrix for embedding and output head), parameters, table_parameters
    (V·D, twice if not tied) and share (of all parameters).
    """
    models = pd.DataFrame(_MODELS, columns=["model", "languages", "V", "D", "tied", "parameters"])
    models["table_parameters"] = models["V"] * models["D"] * np.where(models["tied"], 1, 2)
    return models.assign(share=models["table_parameters"] / models["parameters"])


def corpora(path: PathLike | None = None, *, num_bytes: int = 400_000) -> dict[str, str]:
    """Texts to measure compression on, by name; :func:`train_own` learns from none of them.

    Held-out chapters of Austen's novels and held-out Chinese classics; the Python language reference that comes with
    the standard library (technical English); modules of the standard library (code); generated English stories; and,
    as "your text", the file ``path`` if given, in any encoding. Each is cut to ``num_bytes`` characters. Raises
    ReaderError for a ``path`` that cannot be read.
    """
    sources = [spec.origin for spec in map(find_spec, _STANDARD_LIBRARY) if spec is not None and spec.origin]
    texts = {
        "English novels": real_text.parts("novels_en").joined("held_out"),
        "Chinese classics": real_text.parts("classics_zh").joined("held_out"),
        "English reference": "\n\n".join(topics[name] for name in sorted(topics)),
        "Python code": "\n".join(Path(source).read_text(encoding="utf-8") for source in sources),
        "English stories": "\n\n".join(stories(num_bytes, seed=1_000, language="en")),
    }
    if (own := open_text(path)) is not None:
        texts["your text"] = own.read(num_bytes)
    return {name: text[:num_bytes] for name, text in texts.items()}


def train_own(vocab_size: int = 16_384) -> dict[str, Tokenizer]:
    """Our own tokenizers, by name: trained on the novels, on the classics, on both, and on as many bytes of stories."""
    english, chinese = (real_text.parts(name).training for name in ("novels_en", "classics_zh"))
    size = sum(len(piece.encode()) for piece in english)
    sources = {
        "ours, English": english,
        "ours, Chinese": chinese,
        "ours, both": [*english, *chinese],
        "ours, stories": list(stories(size, seed=0, language="en")),
    }
    return {
        name: train_bpe(texts, vocab_size)
        for name, texts in progress(sources.items(), description="training tokenizers")
    }


def first_entries(tokenizer: Tokenizer, vocab_size: int) -> Tokenizer:
    """The bytes and the first merges of a published vocabulary, ``vocab_size`` entries in all, without special tokens.

    Training is greedy, so this is the vocabulary that its training made on the way.
    """
    merges = tokenizer.merges[: vocab_size - 256]
    tokens = [*(bytes([byte]) for byte in range(256)), *(left + right for left, right in merges)]
    return Tokenizer(dict(enumerate(tokens)), merges, pattern=tokenizer.pattern)


def measure_compression(
    tokenizers: Mapping[str, Tokenizer], texts: Mapping[str, str], vocab_sizes: Sequence[int] = ()
) -> pd.DataFrame:
    """Bytes and tokens of each text under each tokenizer, at each of ``vocab_sizes`` it can be shrunk to.

    Tokenizers with special tokens (the published ones) are measured as they are. Columns: tokenizer, corpus,
    vocab_size, bytes, tokens, ratio (bytes per token).
    """
    rows = []
    for name, tokenizer in progress(tokenizers.items(), description="measuring compression"):
        own = not tokenizer.special_tokens
        sizes = [size for size in vocab_sizes if size <= tokenizer.vocab_size] if own else []
        for size in sizes or [tokenizer.vocab_size]:
            smaller = shrink(tokenizer, size) if sizes else tokenizer
            for corpus, text in texts.items():
                num_bytes, num_tokens = len(text.encode()), len(smaller.encode_to_numpy(text))
                rows.append((name, corpus, size, num_bytes, num_tokens, num_bytes / num_tokens))
    return pd.DataFrame(rows, columns=["tokenizer", "corpus", "vocab_size", "bytes", "tokens", "ratio"])


# --- training ---------------------------------------------------------------------------------------------------------


def training_work(
    sizes: Mapping[str, Sequence[int]], *, vocab_size: int = 1_000, seed: int = 0
) -> pd.DataFrame:
    """Train with each of the four trainers on growing parts of the novels, in random order; measure work and CPU time.

    ``sizes``: bytes of text by trainer, "naive", "incremental", "heap" or "engine". All trainers must find the same
    merges on the same text (AssertionError otherwise). Columns: trainer, bytes, cpu_seconds, pairs (neighbours visited)
    and candidates (pairs compared to find the best); the last two are missing for the engine, which does not count. The
    engine needs milliseconds, so its time is the median of several turns.
    """
    trainers: dict[str, Callable[..., Tokenizer]] = {
        "naive": reference.train_naive,
        "incremental": reference.train_incremental,
        "heap": reference.train_heap,
        "engine": train_bpe,
    }
    merges: dict[int, list[tuple[bytes, bytes]]] = {}
    rows = []
    jobs = [(name, size) for name in sizes for size in sizes[name]]
    for name, size in progress(jobs, description="training"):
        documents = real_text.sample("en", num_bytes=size, seed=seed)
        work: Counter[str] = Counter()
        options = {"num_threads": 1} if name == "engine" else {"work": work}
        turns = _ENGINE_TURNS if name == "engine" else 1
        runs = [
            cpu_seconds(lambda: trainers[name](documents, vocab_size, **options))  # noqa: B023
            for _ in range(turns)
        ]
        seconds, tokenizer = float(np.median([spent for spent, _ in runs])), runs[0][1]
        assert merges.setdefault(size, tokenizer.merges) == tokenizer.merges, (name, size)
        rows.append((name, size, seconds, work.get("pairs"), work.get("candidates")))
    return pd.DataFrame(rows, columns=["trainer", "bytes", "cpu_seconds", "pairs", "candidates"])


# --- encoding ---------------------------------------------------------------------------------------------------------


def encode_left_to_right(word: bytes, ranks: Mapping[reference.Pair, int]) -> tuple[bytes, ...]:
    """A wrong encoder: applies any possible merge while reading from the left, regardless of its rank."""
    symbols: list[bytes] = []
    for symbol in reference.split_bytes(word):
        symbols.append(symbol)
        while len(symbols) > 1 and (symbols[-2], symbols[-1]) in ranks:
            symbols[-2:] = [symbols[-2] + symbols[-1]]
    return tuple(symbols)


def encode_longest_match(word: bytes, tokens: Container[bytes]) -> tuple[bytes, ...]:
    """Another wrong encoder: always takes the longest token that fits (WordPiece's rule)."""
    symbols: list[bytes] = []
    place = 0
    while place < len(word):
        width = next(n for n in range(len(word) - place, 0, -1) if word[place : place + n] in tokens)
        symbols.append(word[place : place + width])
        place += width
    return tuple(symbols)


def compare_rules(tokenizer: Tokenizer, text: str) -> pd.DataFrame:
    """The tokens of a text under the right rule (lowest rank first) and under two wrong ones.

    Columns: rule, tokens, different (share of the pre-tokens whose result differs from the right one).
    """
    ranks = reference.merge_ranks(tokenizer.merges)
    tokens = set(tokenizer.vocab.values())
    rules: dict[str, Callable[[bytes], tuple[bytes, ...]]] = {
        "lowest rank first": lambda word: reference.encode_word(word, ranks),
        "left to right": lambda word: encode_left_to_right(word, ranks),
        "longest match": lambda word: encode_longest_match(word, tokens),
    }
    counts = Counter(word.encode() for word in pretokenize(text, tokenizer.pattern))
    right = {word: rules["lowest rank first"](word) for word in counts}
    rows = []
    for name, rule in rules.items():
        symbols = {word: rule(word) for word in counts}
        total = sum(len(symbols[word]) * count for word, count in counts.items())
        different = sum(count for word, count in counts.items() if symbols[word] != right[word])
        rows.append((name, total, different / counts.total()))
    return pd.DataFrame(rows, columns=["rule", "tokens", "different"])


def merged_otherwise(
    words: Iterable[bytes], merges: Sequence[reference.Pair], tokens: Sequence[bytes]
) -> list[tuple[reference.Word, reference.Word]]:
    """The words that merges and ranks cut differently: (by ``merges``, by the ranks of ``tokens``) for each of them."""
    of_pairs = reference.merge_ranks(merges)
    of_tokens = {token: rank for rank, token in enumerate(tokens)}
    both = (
        (reference.encode_word(word, of_pairs), reference.encode_by_rank(word, of_tokens)) for word in words
    )
    return [(listed, ranked) for listed, ranked in both if listed != ranked]


def long_word_times(lengths: Mapping[str, Sequence[int]], *, repeats: int = 3, seed: int = 0) -> pd.DataFrame:
    """CPU time of encoding one long pre-token of Chinese letters without punctuation, by length in bytes.

    ``lengths``: bytes by encoder, "rescan" (``encode_word``), "heap" (``encode_long_word``) or "engine". Where two of
    them encode the same word, they must agree (AssertionError otherwise). Columns: encoder, bytes and cpu_seconds, the
    median of ``repeats``.
    """
    tokenizer = train_bpe(real_text.sample("zh", num_bytes=400_000, seed=seed), 3_000)
    ranks = reference.merge_ranks(tokenizer.merges)
    needed = repeats * max(length for sizes in lengths.values() for length in sizes)
    poems = real_text.sample("zh", num_bytes=2 * needed + 4_000, seed=seed + 1)  # most bytes are letters
    letters = "".join(letter for poem in poems for letter in poem if letter.isalpha()).encode()
    if len(letters) < needed:
        raise ValueError(
            f"lengths={lengths}: the classics hold {len(letters):,} bytes of letters, {needed:,} are needed"
        )
    encoders: dict[str, Callable[[bytes], Sequence[bytes]]] = {
        "rescan": lambda word: reference.encode_word(word, ranks),
        "heap": lambda word: reference.encode_long_word(word, ranks),
        "engine": lambda word: [tokenizer.vocab[token] for token in tokenizer.encode(word)],
    }
    found: dict[int, list[bytes]] = {}
    rows = []
    jobs = [(name, length) for name in lengths for length in lengths[name]]
    for name, length in progress(jobs, description="encoding long words"):
        seconds = []
        for repeat in range(repeats):
            # Other letters each time: the engine caches words.
            word = letters[repeat * length : (repeat + 1) * length]
            spent, symbols = cpu_seconds(lambda: encoders[name](word))  # noqa: B023
            seconds.append(spent)
        assert found.setdefault(length, list(symbols)) == list(symbols), (name, length)
        rows.append((name, length, float(np.median(seconds))))
    return pd.DataFrame(rows, columns=["encoder", "bytes", "cpu_seconds"])


def growth_exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The exponent b of costs ≈ a·sizes^b, by least squares on logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def in_blocks(text: str, size: int, *, at_spaces: bool = False) -> list[str]:
    """A text in blocks of ``size`` characters; ``at_spaces`` moves each border on to the next space between letters."""
    borders = list(range(size, len(text), size))
    if at_spaces:
        spaces = (_SPACE.search(text, border) for border in borders)
        borders = [space.start() if space else len(text) for space in spaces]
    return [text[start:end] for start, end in pairwise([0, *borders, len(text)])]


def repeated_pretokens(text: str, *, pattern: str = "gpt2", points: int = 8) -> pd.DataFrame:
    """The share of pre-tokens in a growing text that were seen before: those that a cache can answer.

    Columns: pretokens (so far), distinct, seen_before (share of the pre-tokens so far), letters_seen_before (the same
    share of those with a letter or character: without punctuation, numbers and white space).
    """
    pieces = pretokenize(text, pattern)
    ends = {int(end) for end in np.geomspace(max(1, len(pieces) // 1_000), len(pieces), points)}
    seen: set[str] = set()
    lettered = repeated = 0
    rows = []
    for number, piece in enumerate(pieces, 1):
        if any(map(str.isalpha, piece)):
            lettered += 1
            repeated += piece in seen
        seen.add(piece)
        if number in ends:
            rows.append((number, len(seen), 1 - len(seen) / number, repeated / max(1, lettered)))
    return pd.DataFrame(rows, columns=["pretokens", "distinct", "seen_before", "letters_seen_before"])


def repeated_clauses(text: str) -> float:
    """The share of a text's clauses, between line ends and punctuation of any script, that occurred before."""
    clauses = [clause for part in regex.split(r"[\p{P}\n]+", text) if (clause := part.strip())]
    return 1 - len(set(clauses)) / len(clauses)


def thread_gain(path: PathLike, *, vocab_size: int = 10_000, threads: Sequence[int] = (1, 2)) -> pd.DataFrame:
    """Train on a text file and encode it with 1, 2, … threads; the results must be equal (AssertionError otherwise).

    Columns: threads, training and encoding: wall seconds, so that only an idle machine shows the gain.
    """
    rows = []
    results: list[tuple[object, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in progress(threads, description="threads"):
            started = time.perf_counter()
            tokenizer = train_bpe(path, vocab_size, [SEPARATOR], num_threads=number)
            trained = time.perf_counter()
            ids = tokenizer.encode_file(path, Path(folder) / f"{number}.ids", num_threads=number)
            rows.append((number, trained - started, time.perf_counter() - trained))
            results.append((tokenizer.merges, ids.sha256))
            assert results[-1] == results[0], f"{number} threads give another result than {threads[0]}"
    return pd.DataFrame(rows, columns=["threads", "training", "encoding"])
