"""The token highlighter without a browser: segments, escaping, and the frame for pages without a kernel."""

import base64
import io
import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from course_lib import show
from course_lib.show.segments import MAX_TOKENS_SHOWN, Part, parts_of


class Chunks:
    """Every ``size`` bytes are a token; the id is the chunk read as a number with a leading 1."""

    def __init__(self, size: int) -> None:
        self.size = size

    def encode(self, text: str) -> list[int]:
        data = text.encode()
        return [
            int.from_bytes(b"\1" + data[i : i + self.size], "big") for i in range(0, len(data), self.size)
        ]

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return b"".join(i.to_bytes((i.bit_length() + 7) // 8, "big")[1:] for i in ids)


def faces(row: dict) -> list[str]:  # type: ignore[type-arg]
    return ["".join(part["text"] for part in token["parts"]) for token in row["tokens"]]


def test_tokens_come_with_ids_bytes_and_counts() -> None:
    view = show.token_view("Hello 觥", {"threes": Chunks(3), "bytes": Chunks(1)})
    threes, ones = view.rows
    assert (threes["name"], threes["count"], threes["bytes"], threes["ratio"]) == ("threes", 3, 9, 3.0)
    assert faces(threes) == ["Hel", "lo ", "觥"]
    assert threes["tokens"][2]["bytes"] == "E8 A7 A5"
    assert threes["tokens"][0]["id"] == int.from_bytes(b"\1Hel", "big")
    assert faces(ones)[-3:] == ["⟨E8⟩", "⟨A7⟩", "⟨A5⟩"]


def test_setting_the_text_retokenizes() -> None:
    view = show.token_view(["one", "two"], {"threes": Chunks(3)})
    assert view.samples == ["one", "two"]
    view.text = "three."
    assert faces(view.rows[0]) == ["thr", "ee."]
    view.set_state({"text": "typed"})
    assert faces(view.rows[0]) == ["typ", "ed"]
    view.text = ""
    assert (view.rows[0]["count"], view.rows[0]["tokens"], view.rows[0]["ratio"]) == (0, [], 0)


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"abc", [Part("text", "abc")]),
        (" 觥".encode()[:3], [Part("text", " "), Part("bytes", "⟨E8 A7⟩")]),
        (b"\xa5\xffx", [Part("bytes", "⟨A5 FF⟩"), Part("text", "x")]),
        (b"a\n", [Part("text", "a"), Part("mark", "↵")]),
        (
            "a\u202eb\u200b".encode(),
            [*[Part("text", "a"), Part("mark", "⟨U+202E⟩")], Part("text", "b"), Part("mark", "⟨U+200B⟩")],
        ),
        (b"\x00", [Part("mark", "⟨U+0000⟩")]),
        (b"\xed\xa0\x80", [Part("bytes", "⟨ED A0 80⟩")]),
        (b"", []),
    ],
)
def test_what_a_token_shows(data: bytes, parts: list[Part]) -> None:
    assert parts_of(data) == parts


@given(st.binary(max_size=40))
def test_every_byte_of_a_token_is_shown(data: bytes) -> None:
    shown = b""
    for part in parts_of(data):
        if part.kind == "bytes":
            shown += bytes.fromhex(part.text.strip("⟨⟩"))
        elif part.text.startswith("⟨U+"):
            shown += chr(int(part.text[3:-1], 16)).encode()
        else:
            shown += (
                part.text.translate({ord("↵"): "\n", ord("␍"): "\r", ord("⇥"): "\t"}).encode()
                if part.kind == "mark"
                else part.text.encode()
            )
    assert shown == data


NASTY = "<script>alert(1)</script> & \"quoted\" <img src=x onerror='alert(1)'>"


def test_typed_markup_is_text_in_the_static_frame() -> None:
    view = show.token_view(NASTY, {"<b>name</b>": Chunks(80), "broken": Broken()})
    markup = view._repr_mimebundle_()[0]["text/html"]
    body = markup.split("</style>")[1]
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; " in body
    assert set(re.findall(r"<(\w+)", body)) <= {"div", "section", "header", "b", "span", "bdi", "br"}
    assert "<b>name</b>" not in body.replace("<b>&lt;b&gt;name&lt;/b&gt;</b>", "")
    assert not re.search(r"\son\w+=[^&]*<", body)


def test_the_page_draws_text_only_through_text_content() -> None:
    script = str(show.TokenView._esm)
    assert "textContent" in script
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", script)
    assert "stopPropagation" in script


class Broken:
    def encode(self, text: str) -> list[int]:
        raise ValueError("<i>no</i>")

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return b""


def test_a_tokenizers_error_is_shown_in_its_row() -> None:
    view = show.token_view("text", {"broken": Broken(), "threes": Chunks(3)})
    assert view.rows[0]["error"] == "ValueError: <i>no</i>"
    assert faces(view.rows[1]) == ["tex", "t"]
    data, _ = view._repr_mimebundle_()
    assert "&lt;i&gt;no&lt;/i&gt;" in data["text/html"] and "<i>no" not in data["text/html"]
    assert "broken: ValueError: <i>no</i>" in data["text/plain"]


def test_lone_surrogates_from_a_page_are_a_message_not_a_crash() -> None:
    view = show.token_view("ok", {"threes": Chunks(3)})
    view.set_state({"text": "a\ud800"})
    assert "UnicodeEncodeError" in view.rows[0]["error"]


def test_the_first_frame_needs_no_kernel() -> None:
    view = show.token_view("跟我学习语文", {"threes": Chunks(3)})
    view.text = "changed"
    data, metadata = view._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == view.model_id
    assert "跟</span>" in data["text/html"] and "changed" not in data["text/html"]
    assert data["text/plain"].endswith("threes: 6 tokens · 18 bytes · 3.00 bytes/token: 跟|我|学|习|语|文")
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB"))
    assert picture.shape[1] == 1520 and picture.std() > 5
    assert metadata["image/png"]["alt"] == data["text/plain"]


def test_long_texts_are_counted_whole_and_shown_in_part() -> None:
    view = show.token_view("x" * 5000, {"bytes": Chunks(1)})
    assert view.rows[0]["count"] == 5000
    assert len(view.rows[0]["tokens"]) == MAX_TOKENS_SHOWN
    assert f"… and {5000 - MAX_TOKENS_SHOWN:,} more tokens" in view._repr_mimebundle_()[0]["text/html"]


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="texts="):
        show.token_view([], {"bytes": Chunks(1)})
    with pytest.raises(TypeError, match="texts="):
        show.token_view([b"bytes"], {"bytes": Chunks(1)})  # type: ignore[list-item]
    with pytest.raises(ValueError, match="tokenizers is empty"):
        show.token_view("x", {})
