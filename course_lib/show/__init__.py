"""Pictures and interaction for the notebooks: draws results, runs no experiment.

``style`` sets the look; ``figure``, ``direct_labels`` and ``Picture`` make static figures; ``table`` shows data frames;
``show_source`` shows code; ``explorer`` makes interactive figures from ``Slider``, ``Choice``, ``Toggle`` and ``Text``;
``token_view`` and ``merge_stepper`` show what tokenizers do, ``gradient_norm_explorer`` what the place of a norm does,
``activation_explorer`` what an activation does to its inputs, ``rotation_dial`` and ``similarity_explorer`` what
positions do, ``kv_calculator`` and ``pattern_viewer`` what attention costs and does.
"""

from course_lib.show import activations, attention, bpe, normalization, rope
from course_lib.show.activation_explorer import activation_explorer
from course_lib.show.attention_explorers import kv_calculator, pattern_viewer
from course_lib.show.compression import compression_explorer
from course_lib.show.controls import Choice, Slider, Text, Toggle
from course_lib.show.gradient_explorer import gradient_norm_explorer
from course_lib.show.interactive import Explorer, explorer
from course_lib.show.look import PALETTE, Picture, direct_labels, figure, style
from course_lib.show.roofline import roofline
from course_lib.show.rope_explorers import rotation_dial, similarity_explorer
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
    "activation_explorer",
    "activations",
    "attention",
    "bpe",
    "compression_explorer",
    "direct_labels",
    "explorer",
    "figure",
    "gradient_norm_explorer",
    "kv_calculator",
    "merge_stepper",
    "normalization",
    "pattern_viewer",
    "roofline",
    "rope",
    "rotation_dial",
    "show_source",
    "similarity_explorer",
    "style",
    "table",
    "token_view",
]
