"""Pictures and interaction for the notebooks: draws results, runs no experiment.

``style`` sets the look; ``figure``, ``direct_labels`` and ``Picture`` make static figures; ``table`` shows data frames;
``show_source`` shows code; ``explorer`` makes interactive figures from ``Slider``, ``Choice``, ``Toggle`` and ``Text``;
``token_view``, ``merge_stepper`` and ``compression_explorer`` show how tokenizers work, ``gradient_norm_explorer`` how
the placement of norms matters. Pictures of a single chapter are in its folder of ``course_lib.chapters``.
"""

from course_lib.show.compression import compression_explorer
from course_lib.show.controls import Choice, Slider, Text, Toggle
from course_lib.show.gradient_explorer import gradient_norm_explorer
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import PALETTE, Picture, direct_labels, figure, style
from course_lib.show.rate_curves import rate_curves
from course_lib.show.roofline import roofline
from course_lib.show.source import Source, show_source
from course_lib.show.stepper import MergeStepper, merge_stepper
from course_lib.show.tables import Table, table
from course_lib.show.tokens import TokenView, token_view

__all__ = [
    "PALETTE",
    "Choice",
    "Explorer",
    "MergeStepper",
    "Picture",
    "Slider",
    "Source",
    "Table",
    "Text",
    "Toggle",
    "TokenView",
    "compression_explorer",
    "direct_labels",
    "explorer",
    "figure",
    "gradient_norm_explorer",
    "merge_stepper",
    "rate_curves",
    "roofline",
    "show_source",
    "style",
    "table",
    "token_view",
]
