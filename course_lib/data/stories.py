"""A corpus that needs no download: short stories in simple English and Chinese, as many as you ask for.

Each story follows one of a dozen scenes (something is lost, a storm comes, two friends quarrel, …) from a grammar of
alternatives, and keeps its names, pronouns and objects from beginning to end. Its words come from classes with
Zipfian frequencies; names, places, animals, plants and trades come from classes that never run out, so that the
vocabulary keeps growing with the corpus, following Heaps' law. See :mod:`course_lib.data.story_grammar` and
:mod:`course_lib.data.story_words`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.random import PCG64  # otherwise NumPy loads it later, and a Ctrl-C during that is lost

from course_lib.checks import check_choice, check_integer
from course_lib.data.documents import SEPARATOR, write_documents
from course_lib.data.story_grammar import Bindings, Scene, parse_scenes
from course_lib.data.story_words import Uniform, WordClass, parse_words
from course_lib.files import PathLike, Progress, progress

Language = Literal["en", "zh", "both"]

_TEXT_FOLDER = Path(__file__).parent / "story_text"
_BLOCK = 4096


@dataclass(frozen=True)
class _Storyteller:
    """The grammar and lexicon of one language, ready to use."""

    scenes: list[Scene]
    classes: dict[str, WordClass]
    between_sentences: str
    between_paragraphs: str

    def tell(self, uniform: Uniform) -> str:
        """One story."""
        scene = self.scenes[int(uniform() * len(self.scenes))]
        parts: list[str] = []
        for stage in scene:
            separator = self.between_paragraphs if stage.new_paragraph else self.between_sentences
            for template in stage.choose(uniform):
                parts += (separator, template)
                separator = self.between_sentences
        return "".join(parts[1:]) % Bindings(self.classes, uniform)


@cache
def _storyteller(language: str) -> _Storyteller:
    words = (_TEXT_FOLDER / f"{language}_words.txt").read_text(encoding="utf-8")
    grammar = (_TEXT_FOLDER / f"{language}_stories.txt").read_text(encoding="utf-8")
    between_sentences, between_paragraphs = (" ", "\n\n") if language == "en" else ("", "\n")
    return _Storyteller(parse_scenes(grammar), parse_words(words), between_sentences, between_paragraphs)


def stories(num_bytes: int, seed: int = 0, language: Language = "en") -> Iterator[str]:
    """Generate short stories, one document at a time, until together they reach ``num_bytes`` bytes of UTF-8.

    The last story is the one that reaches ``num_bytes``: the total is at least ``num_bytes``, and less without the last
    story. ``num_bytes=0`` gives no story. Memory use does not depend on ``num_bytes``.

    A seed always gives the same sequence: the stories of a smaller ``num_bytes`` are the first ones of a larger one.
    The random numbers are the raw 64-bit output of NumPy's PCG64, which NumPy keeps stable between versions, and the
    arithmetic on them is exact or rounded as IEEE 754 demands, so that the text is the same on every platform.

    Args:
        num_bytes: the size of the corpus, without separators between the documents.
        seed: any non-negative integer.
        language: ``"en"``, ``"zh"``, or ``"both"``, where each story is in one of the two, equally likely.

    Raises:
        ValueError: an argument is out of range; the message names the argument, the value and what is allowed.
        TypeError: a number is not an integer.
    """
    num_bytes = check_integer("num_bytes", num_bytes, least=0)
    seed = check_integer("seed", seed, least=0)
    check_choice("language", language, get_args(Language))
    return _stories(num_bytes, seed, language)


def _stories(num_bytes: int, seed: int, language: Language) -> Iterator[str]:
    names = ("en", "zh") if language == "both" else (language,)
    tellers = [_storyteller(name) for name in names]
    uniform = _uniform(seed)
    remaining = num_bytes
    while remaining > 0:
        story = tellers[int(uniform() * len(tellers))].tell(uniform)
        remaining -= len(story.encode())
        yield story


def write_stories(
    path: PathLike,
    num_bytes: int,
    *,
    seed: int = 0,
    language: Language = "en",
    separator: str = SEPARATOR,
    show_progress: bool = False,
) -> int:
    """Write the documents of :func:`stories` to a UTF-8 file and return the number of documents.

    Each document is followed by a newline, the separator and another newline. The separators are not counted in
    ``num_bytes``. The file appears under its name only when it is complete.

    Args:
        path: the file to write; an existing one is replaced.
        num_bytes: the size of the documents in bytes; see :func:`stories`.
        seed: see :func:`stories`.
        language: see :func:`stories`.
        separator: the line after each document; see :func:`course_lib.data.documents.write_documents`.
        show_progress: show a progress bar.

    Raises:
        ValueError: a wrong argument; see :func:`stories`.
        OSError: the file cannot be written; see :func:`course_lib.files.atomic_write`.
    """
    documents = stories(num_bytes, seed, language)
    bar: Progress[str] = progress(description="stories", total=num_bytes, unit="B", enabled=show_progress)
    with bar:
        return write_documents(path, documents, separator=separator, advance=bar.update)


def _uniform(seed: int) -> Callable[[], float]:
    """A function that returns a new number from [0, 1) at each call, with 53 random bits."""
    bits = PCG64(seed)

    def numbers() -> Iterator[float]:
        while True:
            yield from ((bits.random_raw(_BLOCK) >> np.uint64(11)) * 2.0**-53).tolist()

    return numbers().__next__
