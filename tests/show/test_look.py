"""The course's look, by numbers: contrast, colours for the colour-blind, labels that do not overlap."""

import base64
import io
import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from course_lib import show
from course_lib.show.look import INK, NOTE_SIZE, SETTINGS, label_point, spread

PAGES = {"light": "#ffffff", "dark": "#111111"}  # JupyterLab's two themes

# Machado, Oliveira, Fernandes (2009), table 1, severity 1.0: linear RGB as perceived
COLOUR_BLINDNESS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
}


def linear(colour: str) -> NDArray[np.float64]:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, two: str) -> float:
    """WCAG 2 contrast ratio."""
    bright, dim = sorted(
        (float(linear(c) @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in (one, two)), reverse=True
    )
    return bright / dim


def oklab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ottosson (2020): a colour space in which distance is perceived difference."""
    to_lms = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566]]
    to_lms += [[0.0883024619, 0.2817188376, 0.6299787005]]
    to_lab = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099]]
    to_lab += [[0.0259040371, 0.7827717662, -0.8086757660]]
    result: NDArray[np.float64] = np.array(to_lab) @ np.cbrt(np.array(to_lms) @ np.clip(rgb, 0, 1))
    return result


def test_text_and_lines_stand_out_from_the_paper() -> None:
    paper = f"#{SETTINGS['figure.facecolor'].lstrip('#')}"
    for name in ("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.labelcolor", "ytick.labelcolor"):
        assert contrast(SETTINGS[name], paper) >= 7, name
    for name, colour in show.PALETTE.items():
        assert contrast(colour, paper) >= 4.5, name  # direct labels are text in the line's colour


def test_the_paper_is_opaque_so_that_a_figure_reads_on_light_and_dark_pages() -> None:
    figure, axes = show.figure()
    axes.plot([0, 1], [0, 1])
    image = Image.open(io.BytesIO(show.Picture(figure, alt="a line").png()))
    assert np.asarray(image.convert("RGBA"))[..., 3].min() == 255
    assert contrast(SETTINGS["figure.facecolor"], PAGES["dark"]) > 15
    assert contrast(SETTINGS["figure.facecolor"], PAGES["light"]) < 1.1


@pytest.mark.parametrize("kind", COLOUR_BLINDNESS)
def test_neighbouring_colours_of_the_cycle_can_be_told_apart(kind: str) -> None:
    seen = {n: oklab(np.array(COLOUR_BLINDNESS[kind]) @ linear(c)) for n, c in show.PALETTE.items()}
    distances = {
        pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in itertools.combinations(seen, 2)
    }
    assert min(distances.values()) > 0.05, min(distances, key=lambda pair: distances[pair])


def test_the_palette_is_the_style_sheets_cycle() -> None:
    cycle = [f"#{colour.lstrip('#')}" for colour in SETTINGS["axes.prop_cycle"].by_key()["color"]]
    assert cycle == list(show.PALETTE.values())


def test_style_changes_pyplots_settings_and_figure_does_not() -> None:
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        before = matplotlib.rcParams["axes.facecolor"]
        figure, axes = show.figure(1, 2, size=(6, 3), sharey=True)
        assert matplotlib.rcParams["axes.facecolor"] == before
        assert figure.get_size_inches().tolist() == [6, 3]
        assert axes.shape == (2,)
        assert not axes[0].spines["top"].get_visible()
        show.style()
        assert matplotlib.rcParams["axes.facecolor"] == SETTINGS["axes.facecolor"]


def test_a_picture_displays_as_png_at_2x_with_alternative_text() -> None:
    figure, axes = show.figure(size=(4, 3))
    axes.plot([0, 1], [0, 1])
    picture = show.Picture(figure, caption="It grows.", alt="A straight line from the origin to (1, 1).")
    data, metadata = picture._repr_mimebundle_()
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.size == (800, 600)
    assert metadata["image/png"] == {
        "width": 400,
        "height": 300,
        "alt": "A straight line from the origin to (1, 1).",
    }
    assert "straight line" in data["text/plain"]
    assert figure.get_supxlabel() == "It grows."


def test_direct_labels_name_lines_in_their_colour_without_overlap() -> None:
    figure, axes = show.figure()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    for name, height in (("a", 0.5), ("b", 0.505), ("c", 0.51), ("far", 0.9)):
        axes.plot([0, 1], [0, height], label=name)
    axes.plot([0, 1], [0, 0.2])  # no label, no name
    show.direct_labels(axes)
    figure.canvas.draw()
    assert [text.get_text() for text in axes.texts] == ["a", "b", "c", "far"]
    assert [text.get_color() for text in axes.texts] == [line.get_color() for line in axes.get_lines()[:4]]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(one.overlaps(two) for one, two in itertools.combinations(boxes, 2))


def test_aligned_labels_stand_behind_the_longest_line() -> None:
    figure, axes = show.figure()
    axes.set(xlim=(0, 4), ylim=(0, 1))
    axes.plot([0, 1], [0, 0.5], label="short")
    axes.plot([0, 2], [0, 0.52], label="long")
    show.direct_labels(axes, aligned=True)
    figure.canvas.draw()
    short, long = (text.get_window_extent() for text in axes.texts)
    assert short.x0 == pytest.approx(long.x0, abs=1) and short.x0 > axes.transData.transform((2, 0))[0]
    assert not short.overlaps(long)


def test_spread_keeps_order_distance_and_what_has_room() -> None:
    assert spread([0.0, 10.0], 1) == [0.0, 10.0]
    assert spread([0.0, 0.5, 9.0], 1) == [-0.25, 0.75, 9.0]
    assert spread([], 1) == []
    places = spread([0, 0.1, 0.2, 1.5, 1.6], 1)
    assert all(np.diff(places) >= 1 - 1e-9)


def test_spread_stays_within_bounds_while_there_is_room() -> None:
    assert spread([0.0, 0.1, 5.0], 1, within=(0.5, 4.5)) == [0.5, 1.5, 4.5]
    assert spread([2.0, 2.1], 1, within=(0.0, 9.0)) == spread([2.0, 2.1], 1)
    assert spread([8.8, 8.9, 9.0], 1, within=(0.0, 9.0)) == [7.0, 8.0, 9.0]
    assert spread([0.0, 0.0, 0.0], 1, within=(0.0, 1.0)) == [0.0, 1.0, 2.0]  # no room: the order is kept


def test_direct_labels_lay_the_figure_out_before_they_measure() -> None:
    figure, panels = show.figure(1, 2, size=(9, 2))
    for axes in panels:
        for name, height in (("a", 0.5), ("b", 0.57), ("c", 0.64)):
            axes.plot([0, 1], [0, height], label=name)
        axes.set(xlabel="two\nlines", title="title", xlim=(0, 2), ylim=(0, 1))
    show.direct_labels(*panels)
    figure.canvas.draw()
    for axes in panels:
        heights = [text.get_window_extent().y0 for text in axes.texts]
        assert np.diff(heights) == pytest.approx([1.15 * NOTE_SIZE * figure.dpi / 72] * 2, abs=1)


def test_a_point_is_labelled_at_a_distance_in_points() -> None:
    figure, axes = show.figure()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    name = label_point(axes, "here", (0.5, 0.5), (9, -3), color=INK)
    figure.canvas.draw()
    place = name.get_transform().transform(name.get_position())
    shift = (np.array(place) - axes.transData.transform((0.5, 0.5))) * 72 / figure.dpi
    assert shift == pytest.approx([9, -3])
    assert (name.get_fontsize(), name.get_color()) == (NOTE_SIZE, INK)
