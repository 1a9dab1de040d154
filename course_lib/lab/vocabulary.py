"""Smaller vocabularies from a trained tokenizer."""

from course_lib.tokenizer import Tokenizer


def shrink(tokenizer: Tokenizer, vocab_size: int) -> Tokenizer:
    """The tokenizer that training would have given at ``vocab_size``: its first merges, since training is greedy.

    Raises ValueError for a tokenizer with special tokens, or a size outside 256 … its own.
    """
    if tokenizer.special_tokens or not 256 <= vocab_size <= 256 + len(tokenizer.merges):
        raise ValueError(
            f"vocab_size must be in 256..{256 + len(tokenizer.merges)} and the tokenizer without special tokens, "
            f"got {vocab_size} and {tokenizer!r}"
        )
    vocab = {token_id: token for token_id, token in tokenizer.vocab.items() if token_id < vocab_size}
    return Tokenizer(vocab, tokenizer.merges[: vocab_size - 256], pattern=tokenizer.pattern)
