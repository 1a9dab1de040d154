"""The names of weights without what wrappers add: ``torch.compile``, DataParallel and DistributedDataParallel."""

from collections.abc import Iterable

_WRAPPERS = ("_orig_mod", "module")
"""What torch.compile, and what both parallel wrappers, call the module that they hold."""


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Each of ``names`` → the name without ``_orig_mod.`` and ``module.``, in whatever order they are nested.

    Where two names would become one, these parts are no wrappers', and all names stay as they are.

    >>> plain_names(["_orig_mod.module.layers.0._orig_mod.weight"])
    {'_orig_mod.module.layers.0._orig_mod.weight': 'layers.0.weight'}
    """
    plain = {name: ".".join(part for part in name.split(".") if part not in _WRAPPERS) for name in names}
    return plain if len(set(plain.values())) == len(plain) else {name: name for name in plain}
