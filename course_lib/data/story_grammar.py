"""The grammar of the story corpus: scenes made of stages, each with alternative sentences whose slots are filled.

The text is in ``story_text/<language>_stories.txt``. ``scene NAME`` starts a scene, ``shared NAME`` a set of
lines that scenes use as ``@NAME``; ``#`` starts a comment. A scene is a sequence of stages:

``+``
    A stage that continues the paragraph; ``¶`` begins one in a new paragraph. After the sign, ``maybe`` leaves the
    stage out half of the time, and ``pick N`` takes N of its lines instead of one.

Every other line is one alternative of its stage. ``[went|ran]`` is a choice inside it and ``{slot}`` is filled with
a word: the class is the slot's name without its number (``{thing}`` and ``{thing2}`` are two different things), and a
slot keeps its word through the whole story. ``{slot.form}`` is a column of the word's row, or ``a`` (with the
indefinite article), ``s`` (plural), ``low`` (first letter in lower case). A capital letter in the slot's or the
form's name capitalizes the result: ``{Thing}``, ``{name.He}``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

from course_lib.data.story_words import Forms, Uniform, WordClass, plural, with_article


@dataclass
class Stage:
    """One step of a scene."""

    new_paragraph: bool
    maybe: bool
    picks: int
    alternatives: list[list[str]] = field(default_factory=list)
    """For each line of the grammar, the results of all its inner choices, as ``%(slot)s`` templates."""

    def choose(self, uniform: Uniform) -> list[str]:
        """The templates of this stage for one story; none where an optional stage is left out."""
        if self.maybe and uniform() < 0.5:
            return []
        chosen: list[int] = []
        while len(chosen) < self.picks:
            line = int(uniform() * len(self.alternatives))
            if line not in chosen:
                chosen.append(line)
        return [self.alternatives[line][int(uniform() * len(self.alternatives[line]))] for line in chosen]


Scene = list[Stage]


class Bindings(dict[str, str]):
    """The words of one story. A slot is drawn when it is first read, and keeps its word from then on."""

    def __init__(self, classes: dict[str, WordClass], uniform: Uniform) -> None:
        super().__init__()
        self._classes = classes
        self._uniform = uniform
        self._words: set[str] = set()

    def __missing__(self, key: str) -> str:
        lower = key.lower()
        if lower != key:
            value = self[lower]
            value = value[0].upper() + value[1:]
        else:
            slot, _, form = key.partition(".")
            if slot not in self:
                self._bind(slot)
            if key in self:
                return self[key]
            value = _DERIVED_FORMS[form](self[slot])
        self[key] = value
        return value

    def _bind(self, slot: str) -> None:
        word_class = self._classes[slot.rstrip("0123456789")]
        forms: Forms = word_class.draw(self._uniform)
        while forms[""] in self._words:
            forms = word_class.draw(self._uniform)
        self._words.add(forms[""])
        for form, value in forms.items():
            self[f"{slot}.{form}" if form else slot] = value


_DERIVED_FORMS: dict[str, Callable[[str], str]] = {
    "a": with_article,
    "s": plural,
    "low": lambda word: word[0].lower() + word[1:],
}


def parse_scenes(text: str) -> list[Scene]:
    """The scenes of a grammar file (its format is described at the top of this module)."""
    shared: dict[str, list[list[str]]] = {}
    scenes: list[Scene] = []
    lines: list[list[str]] = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        first, *options = line.split()
        if first == "shared":
            lines = shared[options[0]] = []
        elif first == "scene":
            scenes.append([])
        elif first in ("+", "¶"):
            picks = int(options[-1]) if "pick" in options else 1
            stage = Stage(new_paragraph=first == "¶", maybe="maybe" in options, picks=picks)
            scenes[-1].append(stage)
            lines = stage.alternatives
        elif first.startswith("@"):
            lines.extend(shared[first.removeprefix("@")])
        else:
            lines.append(_expand(line))
    return scenes


def _expand(line: str) -> list[str]:
    """The results of all choices in a line, as templates for the ``%`` operator.

    >>> _expand("{name} [ran|went] home.")
    ['%(name)s ran home.', '%(name)s went home.']
    """
    fixed_and_choices = re.split(r"\[(.*?)\]", line.replace("%", "%%"))
    options = [part.split("|") if i % 2 else [part] for i, part in enumerate(fixed_and_choices)]
    return [re.sub(r"\{([\w.]+)\}", r"%(\1)s", "".join(parts)) for parts in product(*options)]
