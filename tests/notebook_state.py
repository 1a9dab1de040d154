"""Rules that let a reader go back: a cell that is run again, after any others, does the same as before."""

import ast
import dis
import inspect
import re
from collections.abc import Iterator
from types import CodeType

from tests.notebook_rules import Chapter, syntax

_IN_PLACE = re.compile(
    r"append|extend|insert|add|update|setdefault|pop(item)?|remove|discard|clear|sort|reverse|shuffle|step|backward|"
    r"zero_grad|load_state_dict|train|eval|cleanup|close|seek|manual_seed|[a-z]\w*_"
)
_USED_UP = {"Generator", "default_rng", "RandomState", "Random", "iter", "open", "map", "filter", "zip"}
_PROCESS_STATE = re.compile(
    r"\b(rcParams|(torch|cuda|random)\.(manual_)?seed\(|set_(default_\w+|num_\w*threads|grad_enabled|option|printoptions)\(|"
    r"(filter|simple)warnings?\(|environ\b|chdir\(|use_deterministic_algorithms\()"
)


def rebinding(chapter: Chapter) -> Iterator[str]:
    """A name has one meaning: an earlier cell that is run again after any other gives the same picture.

    No two sections bind the same name, and within a section no cell reads a name that it, or a later cell, binds again.
    ``_`` and the same import in two places are allowed.
    """
    cells = [(section, cell.id, *global_names(cell.source)) for section, cell in chapter.scopes]
    first: dict[str, tuple[str, str, str]] = {}
    for index, (section, cell_id, reads, bound) in enumerate(cells):
        for name in sorted(reads & first.keys()):
            for _, later, _, anew in (c for c in cells[index:] if c[0] == section and name in c[3]):
                if (origin := anew[name]) == "" or origin != first[name][2]:
                    yield f"{cell_id} reads {name}, which {later} binds anew"
        for name, origin in bound.items():
            above, place, known = first.setdefault(name, (section, cell_id, origin))
            if above != section and name != "_" and (origin == "" or origin != known):
                yield f"{cell_id} binds {name}, a name of {place} in another section"


def global_names(source: str) -> tuple[set[str], dict[str, str]]:
    """The names that a cell reads before it binds them, and those that it binds or deletes.

    Both come from the bytecode: loops, ``with``, ``except``, ``:=``, ``def`` and ``global`` bind, variables of
    comprehensions and functions do not. An imported name has its origin as value; others have "".
    """
    tree = syntax(source)
    origins = {
        alias.asname or alias.name.partition(".")[0]: f"{getattr(node, 'module', '')}: {ast.unparse(alias)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    reads: set[str] = set()
    bound: dict[str, str] = {}
    for operation, name in _uses(compile(tree, "cell", "exec")):
        if operation != "STORE" and name not in bound:
            reads.add(name)
        if operation != "LOAD":
            bound[name] = origins.get(name, "")
    return reads, bound


def _uses(code: CodeType, outermost: bool = True) -> Iterator[tuple[str, str]]:
    """("LOAD", "STORE" or "DELETE", name) of global names, in the order of the code."""
    kinds = {"NAME", "GLOBAL"} if outermost else {"GLOBAL"}  # other kinds are local variables
    for step in dis.get_instructions(code):
        operation, _, kind = step.opname.partition("_")
        if inspect.iscode(step.argval):
            yield from _uses(step.argval, outermost=False)
        elif operation in ("LOAD", "STORE", "DELETE") and kind in kinds:
            yield operation, step.argval


def changes(chapter: Chapter) -> Iterator[str]:
    """No cell changes or uses up an object of another; only the first cell sets the state of the process."""
    names = {cell.id: global_names(cell.source)[1] for cell in chapter.code}
    made = {name for bound in names.values() for name, origin in bound.items() if origin == ""}
    used_up = {name for cell in chapter.code for name in _iterators(syntax(cell.source))}
    for index, cell in enumerate(chapter.code):
        foreign = made - names[cell.id].keys()
        for node in _outside_functions(syntax(cell.source)):
            if (name := _changed(node)) in foreign:
                yield f"{cell.id} changes {name} of another cell: {ast.unparse(node)}"
        for name in sorted(global_names(cell.source)[0] & foreign & used_up):
            yield f"{cell.id} uses up {name} of another cell"
        if index and (found := _PROCESS_STATE.search(_without_strings(cell.source))):
            yield f"{cell.id} changes the state of the process: {found[0]}"


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield child
            yield from _outside_functions(child)


def _changed(node: ast.AST) -> str | None:
    """The variable whose object the node changes: ``x[0] = …``, ``x.y += …``, ``x.append(…)``, ``next(x)``."""
    target: ast.AST | None = None
    if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
        target = node
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        in_place = any(word.arg == "inplace" for word in node.keywords)
        if in_place or _IN_PLACE.fullmatch(node.func.attr):
            target = node.func.value
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "next":
        target = node.args[0]
    while isinstance(target, ast.Attribute | ast.Subscript):
        target = target.value
    return target.id if isinstance(target, ast.Name) else None


def _iterators(tree: ast.Module) -> Iterator[str]:
    """Variables whose objects change when they are used: iterators and random generators."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            pairs = [(target, value)]
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs = list(zip(target.elts, value.elts, strict=True))
            for name, made in pairs:
                maker = ast.unparse(made).partition("(")[0].rpartition(".")[2]
                if isinstance(made, ast.GeneratorExp) or (isinstance(made, ast.Call) and maker in _USED_UP):
                    yield ast.unparse(name)


def _without_strings(source: str) -> str:
    tree = syntax(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.unparse(tree)


RULES = (rebinding, changes)
