"""The compression explorer shows the data of its results."""

import numpy as np
import pandas as pd
import pytest

from course_lib import show
from course_lib.show.compression import embedding_share

SIZES = (300, 1000, 4000, 16000)


def results() -> pd.DataFrame:
    rows = [
        (name, corpus, size, 12_000, 12_000 // (k + shift))
        for name, shift in (("ours", 1), ("other", 2))
        for corpus in ("English", "Chinese")
        for k, size in enumerate(SIZES)
    ]
    rows += [("GPT-2", "English", 50257, 12_000, 3_000), ("DeepSeek", "English", 129_280, 12_000, 2_400)]
    return pd.DataFrame(rows, columns=["tokenizer", "corpus", "vocab_size", "bytes", "tokens"])


def lines(explorer: show.Explorer, panel: int) -> list[list[float]]:
    return [[float(y) for y in line.get_ydata()] for line in explorer.figure.axes[panel].get_lines()]


def texts(explorer: show.Explorer, panel: int) -> list[str]:
    return [text.get_text() for text in explorer.figure.axes[panel].texts if text.get_visible()]


def test_curves_are_bytes_per_token_and_points_are_named() -> None:
    explorer = show.compression_explorer(results().sample(frac=1, random_state=0))
    curves = lines(explorer, 0)
    assert [1, 2, 3, 4] in curves and [2, 3, 4, 5] in curves
    assert [4.0] in curves and [5.0] in curves
    assert {"ours", "other", "GPT-2", "DeepSeek"} <= set(texts(explorer, 0))


def test_the_markers_follow_vocabulary_size_and_tokenizer() -> None:
    explorer = show.compression_explorer(results())
    explorer.controls["tokenizer"].value = "other"
    explorer.controls["vocab_size"].value = 16000
    assert "5.00" in texts(explorer, 0)
    assert "5.00 bytes per token" in explorer.alt and "16,000" in explorer.alt
    explorer.controls["vocab_size"].value = 300
    assert "2.00" in texts(explorer, 0)


def test_published_vocabularies_vanish_where_they_were_not_measured() -> None:
    explorer = show.compression_explorer(results())
    explorer.controls["corpus"].value = "Chinese"
    assert {"GPT-2", "DeepSeek"}.isdisjoint(texts(explorer, 0))
    explorer.controls["corpus"].value = "English"
    assert {"GPT-2", "DeepSeek"} <= set(texts(explorer, 0))


def test_the_embedding_share_is_counted_by_hand() -> None:
    # V = 50,257, d = 768, 12 layers of 12 d², tied: GPT-2's 124M parameters, positions and biases aside
    assert embedding_share(50257, 768, tied=True) == pytest.approx(38_597_376 / (38_597_376 + 12 * 7_077_888))
    assert embedding_share(1000, 64, tied=False) == pytest.approx(128_000 / (128_000 + 49_152))


def test_the_lower_panel_follows_width_and_tying() -> None:
    explorer = show.compression_explorer(results())
    explorer.controls["vocab_size"].value = 16000
    explorer.controls["d_model"].value = 64
    explorer.controls["tied"].value = True
    share = 100 * 16000 * 64 / (16000 * 64 + 12 * 64 * 64)
    assert f"{share:.0f} % (d = 64)" in texts(explorer, 1)
    explorer.controls["vocab_size"].value, explorer.controls["d_model"].value = SIZES[0], 8192
    small = 100 * SIZES[0] / (SIZES[0] + 128 * 12 * 8192)
    assert f"{small:.1g} % (d = 8,192)" in texts(explorer, 1) and float(f"{small:.1g}") > 0
    wide = max(map(len, lines(explorer, 1)))
    curve = next(np.array(line) for line in lines(explorer, 1) if len(line) == wide)
    assert np.all(np.diff(curve) > 0)


def test_the_notes_cover_no_name_and_no_number() -> None:
    """Also at the ends of the curves, where their names begin, and where the share is next to nothing."""
    close = results().assign(tokens=lambda frame: frame["tokens"].where(frame["tokenizer"] != "other", 3_100))
    explorer = show.compression_explorer(close)
    for vocab_size, d_model in ((SIZES[0], 8192), (SIZES[-1], 8192), (SIZES[-1], 64)):
        explorer.controls["vocab_size"].value = vocab_size
        explorer.controls["d_model"].value = d_model
        renderer = explorer.figure.canvas.get_renderer()
        for panel in explorer.figure.axes:
            *names, note = [text for text in panel.texts if text.get_visible()]
            others = [*names, *panel.get_xticklabels()]
            box = note.get_window_extent(renderer)
            assert [
                text.get_text() for text in others if box.overlaps(text.get_window_extent(renderer))
            ] == []


def test_results_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(ValueError, match=r"lack the columns \['tokens'\]"):
        show.compression_explorer(results().drop(columns="tokens"))
    with pytest.raises(ValueError, match="no curve"):
        show.compression_explorer(results().query("vocab_size > 50000"))


def test_names_of_near_points_keep_apart() -> None:
    """Published vocabularies lie close together; each name has a line to its point."""
    near = [("a", 100_000), ("b", 129_000), ("c", 200_000), ("far", 50_000)]
    rows = pd.DataFrame(
        [(name, "English", size, 12_000, 3_000) for name, size in near], columns=list(results())
    )
    explorer = show.compression_explorer(pd.concat([results().query("vocab_size < 50_000"), rows]))
    panel = explorer.figure.axes[0]
    places = {text.get_text(): text.get_position() for text in panel.texts}
    heights = sorted(places[name][1] for name in "abc")
    assert np.diff(heights).min() > 0.07 * panel.get_ylim()[1]
    assert min(places[name][0] for name in "abc") > 200_000 and 50_000 < places["far"][0] < 60_000
    leaders = [
        line.get_xdata() for line in panel.get_lines() if line.get_visible() and len(line.get_xdata()) == 2
    ]
    assert {float(ends[0]) for ends in leaders} >= {100_000.0, 129_000.0, 200_000.0}
