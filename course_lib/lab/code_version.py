"""A short hash of the code that computes a result: it changes when the computation changes, not when a comment does."""

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

FOLLOWED = ("course_lib.chapters.", "course_lib.lab.")
"""Packages whose code is followed into the hash; the library below them has its own tests."""

_IGNORED = {"annotation", "ctx", "kind", "returns", "type_comment", "type_params"}


def code_version(function: Callable[..., Any], *, followed: tuple[str, ...] = FOLLOWED) -> str:
    """Twelve hexadecimal digits that identify the code of ``function`` and of everything it uses.

    Docstrings, comments, annotations and layout do not count, and all versions of Python give the same digits.

    Raises TypeError if ``function`` is not a function with source code.
    """
    text = "\n".join(
        f"{name}: {part}" for name, part in sorted(code_parts(function, followed=followed).items())
    )
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def code_parts(function: Callable[..., Any], *, followed: tuple[str, ...] = FOLLOWED) -> dict[str, str]:
    """All that counts for the version of ``function``, by name: code, constants, and names of what is not followed.

    Functions, classes and constants are followed by name through its module and those that start with ``followed``;
    what comes from elsewhere counts by its name only.

    Raises TypeError if ``function`` is not a function with source code.
    """
    if not isinstance(function, FunctionType):
        raise TypeError(f"a function is needed, not {type(function).__name__}")
    followed = (*followed, function.__module__)
    parts: dict[str, str] = {}
    waiting: list[Any] = [function]
    while waiting:
        item = waiting.pop()
        name = f"{item.__module__}.{item.__qualname__}"
        if name in parts:
            continue
        tree = _tree(item)
        parts[name] = repr(_plain(tree))
        module = inspect.getmodule(item)
        for used, value in _uses(tree, module):
            if callable(value):
                value = inspect.unwrap(value)  # a cached function counts like any other
            source = _imported(module).get(used.partition(".")[0], "") if module is not None else ""
            if isinstance(value, FunctionType | type) and value.__module__.startswith(followed):
                waiting.append(value)
            elif source and not source.startswith(followed):
                parts[f"{name} uses {used}"] = source
            else:
                parts[f"{name} uses {used}"] = _described(value)
    return parts


@cache
def _imported(module: ModuleType) -> dict[str, str]:
    """Names that a module imports from others, and where they come from."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError):
        return {}
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.level == 0
        for alias in node.names
    }


@cache
def _tree(item: Any) -> ast.AST:
    try:
        source = textwrap.dedent(inspect.getsource(item))
    except (OSError, TypeError):
        raise TypeError(f"{item.__qualname__} has no source code") from None
    return ast.parse(source).body[0]


def _plain(node: Any) -> Any:
    """A syntax tree as nested lists, without positions, docstrings, annotations and empty fields."""
    if isinstance(node, ast.AnnAssign) and node.value is None:
        return [type(node).__name__, _plain(node.target)]
    if isinstance(node, ast.AST):
        fields = {name: value for name, value in ast.iter_fields(node) if name not in _IGNORED}
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and ast.get_docstring(node) is not None
        ):
            fields["body"] = node.body[1:]
        return [
            type(node).__name__,
            *([name, _plain(value)] for name, value in fields.items() if value is not None and value != []),
        ]
    return [_plain(item) for item in node] if isinstance(node, list) else repr(node)


def _uses(tree: ast.AST, module: ModuleType | None) -> Iterator[tuple[str, Any]]:
    """Global names that a piece of code reads, with their values; ``module.name`` counts as one name."""
    names = vars(module) if module is not None else {}
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = names.get(node.value.id)
            if isinstance(owner, ModuleType) and hasattr(owner, node.attr):
                yield f"{owner.__name__}.{node.attr}", getattr(owner, node.attr)
            elif owner is not None and not isinstance(owner, ModuleType):
                yield node.value.id, owner
        elif isinstance(node, ast.Name) and id(node) not in inner and node.id in names:
            yield node.id, names[node.id]


def _described(value: Any) -> str:
    """A constant by its value, everything else by its name. Sets are sorted: each process orders them differently."""
    if isinstance(value, ModuleType):
        return value.__name__
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    text = repr(sorted(value, key=repr) if isinstance(value, set | frozenset) else value)
    return type(value).__qualname__ if " at 0x" in text else text
