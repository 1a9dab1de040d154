"""Recording the distance of numeric assertions from their bounds: rewritten asserts that store both sides.

The rewriting leaves an assertion's verdict alone. Ordering comparisons (<, <=, >, >=), ``between``, ``isclose`` and
``allclose`` are recorded where they decide the verdict: under ``and`` and ``all``, not inside ``any``, ``or`` or a sum.
"""

import ast
import builtins
import functools
import json
import math
import operator
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NAME = "__margins__"
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
}
_CLOSE = {"isclose": (1e-5, 1e-8), "allclose": (1e-5, 1e-8)}  # rtol and atol of NumPy and torch
_MANY = 64  # a comparison of more values than this is recorded by its worst value only


class Instrument(ast.NodeTransformer):
    """Replaces the recorded comparisons of each assert statement by calls of the recorder.

    ``place`` names the file or cell. ``keep_going``: a failing assert is recorded and does not end the cell.
    """

    def __init__(self, place: str, *, keep_going: bool = False) -> None:
        self._place = place
        self._keep_going = keep_going
        self._line = 0
        self._asserts = 0

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        self._asserts += 1
        self._line = node.lineno
        text = ast.unparse(node.test)
        node.test = self._decides(node.test)
        if not self._keep_going:
            return ast.fix_missing_locations(node)
        verdict = ast.Lambda(ast.arguments([], [], None, [], [], None, []), node.test)
        call = self._call("verdict", f"{self._place} assert {self._asserts}", text, verdict)
        return ast.fix_missing_locations(ast.copy_location(ast.Expr(call), node))

    def _decides(self, node: ast.expr) -> ast.expr:
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                node.values = [self._decides(value) for value in values]
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                node.operand = self._decides(operand)
            case ast.Compare(ops=ops) if any(type(op).__name__ in _COMPARE for op in ops):
                return self._compare(node)
            case ast.Call(func=ast.Name(id="all" | "bool"), args=[argument]):
                node.args = [self._element(argument)]
            case ast.Call(func=ast.Attribute(attr="all", value=ast.Name(id="np" | "torch")), args=[argument]):
                node.args = [self._decides(argument)]
            case ast.Call(func=ast.Attribute(attr="all", value=value)):
                node.func.value = self._decides(value)  # type: ignore[attr-defined]
            case ast.Call(func=ast.Attribute(attr="between", value=value), args=[low, high]):
                return self._call("between", self._where(), ast.unparse(node), value, low, high)
            case ast.Call(func=ast.Attribute(attr=name, value=ast.Name())) if name in _CLOSE:
                call = self._call("close", self._where(), ast.unparse(node), node.func, *node.args)
                call.keywords = node.keywords
                return call
            case ast.BinOp(op=ast.BitAnd()):
                node.left, node.right = self._decides(node.left), self._decides(node.right)
        return node

    def _element(self, argument: ast.expr) -> ast.expr:
        if isinstance(argument, ast.GeneratorExp | ast.ListComp):
            argument.elt = self._decides(argument.elt)
        return argument

    def _compare(self, node: ast.Compare) -> ast.expr:
        operands = [node.left, *node.comparators]
        names = [ast.Constant(type(op).__name__) for op in node.ops]
        if any(
            name.value not in _COMPARE for name in names
        ):  # a chain with "==" or "in" is evaluated as it stands
            return node
        return self._call("chain", self._where(), ast.unparse(node), ast.Tuple(names, ast.Load()), *operands)

    def _where(self) -> str:
        return f"{self._place}:{self._line}"

    def _call(self, method: str, where: str, text: str, *arguments: ast.expr) -> ast.Call:
        function = ast.Attribute(ast.Name(NAME, ast.Load()), method, ast.Load())
        return ast.Call(function, [ast.Constant(where), ast.Constant(text), *arguments], [])


class Recorder:
    """Writes a JSON line for each recorded comparison to ``path``; ``run`` (machine, seed, threads) is in each.

    ``slack`` is the distance to the bound, at least 0 where the comparison holds.
    """

    def __init__(self, path: Path, run: dict[str, Any]) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._run = run
        self._times: Counter[str] = Counter()

    def install(self) -> None:
        """Make the recorder known to rewritten code."""
        setattr(builtins, NAME, self)

    def chain(self, where: str, text: str, names: tuple[str, ...], *operands: Any) -> Any:
        """Compare neighbours, as ``a < b < c`` does."""
        verdict: Any = True
        for index, name in enumerate(names):
            left, right = operands[index], operands[index + 1]
            verdict = _COMPARE[name](left, right)
            sign = 1 if name in ("Gt", "GtE") else -1
            self._write(where, text, index, left, right, lambda a, b, sign=sign: sign * (a - b))
            if len(names) > 1 and not verdict:
                break
        return verdict

    def between(self, where: str, text: str, values: Any, low: Any, high: Any) -> Any:
        """``values.between(low, high)``."""
        self._write(where, text, 0, values, low, lambda a, b: a - b)
        self._write(where, text, 1, values, high, lambda a, b: b - a)
        return values.between(low, high)

    def close(self, where: str, text: str, function: Any, left: Any, right: Any, **options: Any) -> Any:
        """``np.isclose`` and its relatives. The slack is in units of the tolerance: 1 for equal values."""
        verdict = function(left, right, **options)
        rtol, atol = _CLOSE[function.__name__] if function.__module__ != "math" else (1e-9, 0.0)
        relative = options.get("rtol", options.get("rel_tol", rtol))
        absolute = options.get("atol", options.get("abs_tol", atol))
        self._write(
            where, text, 0, left, right, lambda a, b: 1 - np.abs(a - b) / (absolute + relative * np.abs(b))
        )
        return verdict

    def verdict(self, where: str, text: str, test: Callable[[], Any]) -> None:
        """Whether a whole assert holds; a notebook continues if it does not."""
        try:
            holds, error = bool(test()), ""
        except Exception as problem:  # whatever a cell raises is what the run is to report
            holds, error = False, f"{type(problem).__name__}: {problem}"
        self._line({"where": where, "text": text, "holds": holds, "error": error})

    def used(self, where: str, text: str, fraction: float) -> None:
        """The share of a tolerance that a difference took, as ``assert_close`` allows it."""
        self._line({"where": where, "text": text, "index": 0, "used": fraction})

    def _write(
        self, where: str, text: str, index: int, left: Any, right: Any, slack: Callable[[Any, Any], Any]
    ) -> None:
        sides = _numbers(left), _numbers(right)
        if sides[0] is None or sides[1] is None:
            return
        a, b = sides
        if a.dtype.kind in "iub" and b.dtype.kind in "iub":
            return  # counts are exact
        try:
            with np.errstate(all="ignore"):
                distances = np.atleast_1d(slack(a.astype(np.float64), b.astype(np.float64))).ravel()
                lefts, rights = (np.broadcast_to(side, distances.shape).ravel() for side in (a, b))
        except (ValueError, TypeError):  # shapes that only pandas aligns
            distances = lefts = rights = np.array([])
        many = len(distances) > _MANY
        keep = np.array([np.nanargmin(distances)]) if many else np.arange(len(distances))
        key = f"{where}|{index}"
        for element in keep:
            values = [float(v[element]) for v in (distances, lefts, rights)]
            if not math.isnan(values[0]):
                call, self._times[key] = self._times[key], self._times[key] + 1
                names = ("slack", "left", "right")
                self._line(
                    {
                        "where": where,
                        "text": text,
                        "index": index,
                        "call": call,
                        **dict(zip(names, values, strict=True)),
                    }
                )

    def _line(self, record: dict[str, Any]) -> None:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
        self._file.write(json.dumps(self._run | ({"test": test} if test else {}) | record) + "\n")
        self._file.flush()


def _numbers(value: Any) -> np.ndarray[Any, Any] | None:
    """``value`` as an array, or None where it does not hold numbers."""
    if hasattr(value, "detach"):
        value = value.detach().double()
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError):
        return None
    return array if array.dtype.kind in "iufb" else None


def shift_seeds(offset: int) -> None:
    """Add ``offset`` to every seed that torch and NumPy are given from now on: the same experiments by other chance.

    Processes that a chapter starts keep their seeds: what compares with them fails, and means nothing.
    """
    import torch

    class Generator(torch.Generator):
        def manual_seed(self, seed: int) -> torch.Generator:
            return super().manual_seed(seed + offset)

    plain_seed, plain_rng = torch.manual_seed, np.random.default_rng
    # Under their own names: stored runs are out of date when a name that their code uses has become another one.
    Generator.__module__, Generator.__qualname__ = torch.Generator.__module__, torch.Generator.__qualname__
    torch.Generator = Generator  # type: ignore[misc]
    torch.manual_seed = functools.wraps(plain_seed)(lambda seed: plain_seed(seed + offset))
    np.random.default_rng = functools.wraps(plain_rng)(
        lambda seed=None: plain_rng(seed + offset if isinstance(seed, int) else seed)
    )
