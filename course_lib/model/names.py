"""The names of weights without the additions of ``torch.compile``, DataParallel and DistributedDataParallel."""

from collections.abc import Iterable

_WRAPPERS = ("_orig_mod", "module")
"""The names that torch.compile and both parallel wrappers give to the module they hold."""


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Each of ``names`` → the name without ``_orig_mod.`` and ``module.``, in any order of nesting.

    Where two names would become the same, these parts do not come from wrappers, and all names stay unchanged.

    >>> plain_names(["_orig_mod.module.layers.0._orig_mod.weight"])
    {'_orig_mod.module.layers.0._orig_mod.weight': 'layers.0.weight'}
    """
    plain = {name: ".".join(part for part in name.split(".") if part not in _WRAPPERS) for name in names}
    return plain if len(set(plain.values())) == len(plain) else {name: name for name in plain}
