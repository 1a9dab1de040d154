"""Exercises whose answer is a class: each input makes an object and calls its methods."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.answers.comparing import settle
from course_lib.answers.formatting import show, show_call


@dataclass(frozen=True)
class Methods:
    """The methods of a class that a case calls.

    The first argument of a case is the tuple of what the class is called with; each further one goes to one of the
    methods ``names``, in their order. The result is a dict: what each method returned, by its name.
    ``several``: each further argument of a case is a tuple of what its method is called with.
    """

    names: tuple[str, ...]
    several: bool = False

    def function(self, answer: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
        """A function of a case's arguments that makes the object and calls its methods."""

        def call(made_of: Sequence[Any], *arguments: Any) -> dict[str, Any]:
            made = answer(*made_of)
            given = zip(self.names, arguments, strict=True)
            return {name: settle(getattr(made, name)(*self._each(argument))) for name, argument in given}

        return call

    def show_call(self, name: str, arguments: Sequence[Any]) -> str:
        """The calls of a case as Python writes them, shortened, one a line."""
        made_of, *given = arguments
        calls = (
            f"made.{method}({', '.join(map(show, self._each(argument)))})"
            for method, argument in zip(self.names, given, strict=True)
        )
        return "\n".join([f"made = {show_call(name, made_of)}", *calls])

    def _each(self, argument: Any) -> tuple[Any, ...]:
        return argument if self.several else (argument,)
