"""Nested Python values as JSON and named tensors, and back, for files of JSON and safetensors.

JSON has no tuples, no keys other than strings, no infinity, and no tensors. Each of these becomes an object with one
key that begins with ``$``; ``{"$tensor": "state.0.exp_avg"}`` names a tensor.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def pack(value: Any, name: str = "") -> tuple[Any, dict[str, Tensor]]:
    """Split ``value`` into its tensors and plain values for JSON.

    A tensor is named by its place, with keys joined by dots. Tensors that are the same view of the same memory come
    once.

    Args:
        value: dicts, lists, tuples, numbers, strings, None and tensors, nested.
        name: name of the whole in error messages.

    Raises:
        TypeError: it holds something else; the message names its place.
    """
    packer = _Packer(name)
    return packer.pack(value, ()), packer.tensors


def unpack(plain: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Undo :func:`pack`. Raises KeyError for a tensor that is missing and ValueError for an unknown mark."""
    if isinstance(plain, list):
        return [unpack(item, tensors) for item in plain]
    if not isinstance(plain, dict):
        return plain
    [mark] = plain if len(plain) == 1 else [""]
    if not mark.startswith("$"):
        return {key: unpack(item, tensors) for key, item in plain.items()}
    inner = plain[mark]
    if mark == "$tensor":
        return tensors[inner]
    if mark == "$tuple":
        return tuple(unpack(item, tensors) for item in inner)
    if mark == "$dict":
        return {unpack(key, tensors): unpack(item, tensors) for key, item in inner}
    if mark == "$float":
        return float(inner)
    raise ValueError(f"unknown mark {mark!r}")


class _Packer:
    def __init__(self, name: str) -> None:
        self.name = name
        self.tensors: dict[str, Tensor] = {}
        self._known: dict[tuple[Any, ...], str] = {}
        self._stored: set[int] = set()

    def pack(self, value: Any, place: tuple[str, ...]) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"$float": str(value)}
        if isinstance(value, Tensor):
            return {"$tensor": self._tensor(value, place)}
        if isinstance(value, list):
            return [self.pack(item, (*place, str(i))) for i, item in enumerate(value)]
        if isinstance(value, tuple):
            return {"$tuple": [self.pack(item, (*place, str(i))) for i, item in enumerate(value)]}
        if isinstance(value, Mapping):
            return self._mapping(value, place)
        where = ".".join((self.name, *place))
        raise TypeError(
            f"{where} is of type {type(value).__name__}; a checkpoint holds dicts, lists, tuples, numbers, strings, "
            "None and tensors"
        )

    def _mapping(self, value: Mapping[Any, Any], place: tuple[str, ...]) -> Any:
        packed = [(key, self.pack(item, (*place, str(key)))) for key, item in value.items()]
        simple = all(isinstance(key, str) for key in value)
        if simple and not (len(value) == 1 and next(iter(value)).startswith("$")):
            return dict(packed)
        return {"$dict": [[self.pack(key, place), item] for key, item in packed]}

    def _tensor(self, tensor: Tensor, place: tuple[str, ...]) -> str:
        if tensor.is_complex() or tensor.layout != torch.strided:
            where = ".".join((self.name, *place))
            raise TypeError(
                f"{where} is a tensor of {tensor.dtype}, {tensor.layout}: only real, dense ones can be saved"
            )
        tensor = tensor.detach()
        view = (tensor.data_ptr(), tensor.dtype, tensor.device, tuple(tensor.shape), tensor.stride())
        if tensor.numel() and view in self._known:
            return self._known[view]
        key = ".".join(place) or "value"
        while key in self.tensors:
            key += "'"  # {"a.b": …, "a": {"b": …}}
        self._known[view] = key
        # safetensors requires contiguous tensors with memory of their own.
        whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        alone = whole and tensor.data_ptr() not in self._stored
        self._stored.add(tensor.data_ptr())
        self.tensors[key] = tensor.contiguous() if alone else tensor.contiguous().clone()
        return key
