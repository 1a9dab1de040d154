"""A measure of tokenizers: compression."""

from course_lib.tokenizer.tokenizer import Tokenizer


def compression_ratio(tokenizer: Tokenizer, text: str | bytes) -> float:
    """UTF-8 bytes per token (压缩率) of ``text``: higher is better, 1.0 is a tokenizer without merges.

    Only ratios on the same text can be compared. Raises ValueError for an empty text.
    """
    tokens = len(tokenizer.encode_to_numpy(text))
    if not tokens:
        raise ValueError("text is empty: it has no compression ratio")
    return len(text.encode() if isinstance(text, str) else text) / tokens
