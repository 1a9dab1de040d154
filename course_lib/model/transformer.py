"""The decoder-only Transformer language model, from token ids to logits."""

from collections.abc import Callable, Collection, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from course_lib.model.block import TransformerBlock, make_rope
from course_lib.model.cache import KVCache
from course_lib.model.checks import check_ids
from course_lib.model.config import ModelConfig
from course_lib.model.generation import generate
from course_lib.model.linear import Embedding, Linear
from course_lib.model.norm import make_norm
from course_lib.model.position import SinusoidalEmbedding
from course_lib.model.watchers import is_plain, may_be_bypassed


@may_be_bypassed
class TransformerLM(nn.Module):
    """Token ids (B, T) → logits (B, T, V): embedding, ``config.num_layers`` blocks, final norm, output head.

    Weights start as truncated normals (see :class:`Linear`, :class:`Embedding`, :class:`TransformerBlock`). With tied
    embeddings the one table starts as the output head does, so that the first logits are small.

    Parameters: token_embeddings.weight (V, D), layers.{i}.… (see :class:`TransformerBlock`), ln_final.weight (D,) where
    the last block does not end in a norm, lm_head.weight (V, D), the same tensor as token_embeddings.weight when tied;
    position_embedding.weight (context_length, D) for learned positions.

    Raises (when called):
        TypeError: ids are not a tensor.
        ValueError: ids of a wrong dtype, shape or range, a sequence longer than ``config.context_length`` or the cache.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embeddings = Embedding(config.vocab_size, config.d_model)
        if config.position == "learned":
            self.position_embedding: nn.Module | None = Embedding(config.context_length, config.d_model)
        elif config.position == "sinusoidal":
            self.position_embedding = SinusoidalEmbedding(config.context_length, config.d_model)
        else:
            self.position_embedding = None
        rope = make_rope(config) if config.position == "rope" else None
        self.layers = nn.ModuleList(TransformerBlock(config, rope=rope) for _ in range(config.num_layers))
        self.ln_final = (
            make_norm(config.norm, config.d_model, config.norm_eps) if config.has_final_norm else None
        )
        self.lm_head = Linear(config.d_model, config.vocab_size)
        if config.tie_embeddings:
            self.token_embeddings.weight = self.lm_head.weight

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        tied = self.token_embeddings.weight is self.lm_head.weight
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if tied:  # to_empty gives each module its own parameter
            self.token_embeddings.weight = self.lm_head.weight
        return self

    def forward(self, token_ids: Tensor, *, cache: KVCache | None = None) -> Tensor:
        """(B, T) → (B, T, V); (T,) → (T, V). With a ``cache``, the tokens continue those in it."""
        return self.lm_head(self.hidden(token_ids, cache=cache))  # type: ignore[no-any-return]

    def hidden(self, token_ids: Tensor, *, cache: KVCache | None = None) -> Tensor:
        """The input of the output head: (B, T) → (B, T, D), for a loss that never holds all logits."""
        start = self._check_length(token_ids, cache)
        x = self.token_embeddings(token_ids)
        if self.position_embedding is not None:
            positions = torch.arange(start, start + token_ids.shape[-1], device=token_ids.device)
            x = x + self.position_embedding(positions)
        for i, layer in enumerate(self.layers):
            x = layer(x, cache=cache.layers[i] if cache is not None else None)
        return x if self.ln_final is None else self.ln_final(x)  # type: ignore[no-any-return]

    def next_logits(self, token_ids: Tensor, *, cache: KVCache | None = None) -> Tensor:
        """Logits of the token that follows: (B, T) → (B, V).

        The output head reads only the last position, unless the model is watched or its ``forward`` replaced.
        """
        if is_plain(self):
            return self.lm_head(self.hidden(token_ids, cache=cache)[:, -1])  # type: ignore[no-any-return]
        return self(token_ids, cache=cache)[:, -1]  # type: ignore[no-any-return]

    def _check_length(self, token_ids: Tensor, cache: KVCache | None) -> int:
        """Return the position of the first token after checking that the last one has a place."""
        check_ids(token_ids, "token_ids")
        if token_ids.ndim not in (1, 2) or not token_ids.numel():
            raise ValueError(
                f"token_ids must have shape (B, T) or (T,), not empty, not {tuple(token_ids.shape)}"
            )
        start = 0 if cache is None else cache.length
        if cache is not None and len(cache.layers) != self.config.num_layers:
            raise ValueError(f"cache must have {self.config.num_layers} layers, not {len(cache.layers)}")
        if cache is not None and token_ids.ndim != 2:
            raise ValueError(f"token_ids must have shape (B, T) with a cache, not {tuple(token_ids.shape)}")
        room = self.config.context_length if cache is None else cache.max_seq_len
        if start + token_ids.shape[-1] > room:
            limit = "context_length of the model" if cache is None else "max_seq_len of the cache"
            raise ValueError(
                f"token_ids are too long: {start} + {token_ids.shape[-1]} tokens, the {limit} is {room}"
            )
        return start

    def generate(
        self,
        prompt_ids: Tensor | Sequence[int] | Sequence[Sequence[int]],
        max_new_tokens: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop_ids: Collection[int] = (),
        seed: int | None = None,
        use_cache: bool = True,
        allowed_ids: Collection[int] | None = None,
    ) -> Tensor:
        """Continue one prompt or a batch of them; see :func:`course_lib.model.generation.generate`."""
        return generate(
            self,
            prompt_ids,
            max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            stop_ids=stop_ids,
            seed=seed,
            use_cache=use_cache,
            allowed_ids=allowed_ids,
        )

    def new_cache(self, batch_size: int = 1, max_seq_len: int | None = None) -> KVCache:
        """An empty :class:`KVCache` for this model, on its device and in its dtype, or that of autocast."""
        weight = self.lm_head.weight
        kind = weight.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        return KVCache(self.config, batch_size, max_seq_len, device=weight.device, dtype=dtype)

    def num_parameters(self, non_embedding: bool = False) -> int:
        """Number of parameters, shared ones counted once; ``non_embedding`` leaves out token and position tables.

        The output head counts, unless it is the token table (tied).
        """
        total = sum(parameter.numel() for parameter in self.parameters())
        if non_embedding:
            tables = [module.weight for module in self.modules() if isinstance(module, Embedding)]
            total -= sum(table.numel() for table in tables)
        return total
