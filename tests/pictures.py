"""Pictures as arrays, for tests that compare what is seen."""

import io

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from course_lib.show.look import SETTINGS


def pixels(png: bytes) -> NDArray[np.uint8]:
    """A PNG file as (height, width, RGB)."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def full_drawing(figure: Figure) -> NDArray[np.uint8]:
    """The figure drawn anew, all of it, as (height, width, RGB)."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(SETTINGS):
        figure.savefig(buffer, format="png", dpi=figure.dpi, facecolor=figure.get_facecolor())
    return pixels(buffer.getvalue())
