"""The exercises of chapter 8 on Muon's cost and its parameters. Results are worked out by hand."""

from collections.abc import Iterator, Mapping

from course_lib.answers.checking import Case, Exercise, Mistake

# --- the batch that makes it cheap ------------------------------------------------------------------------------------


def _batch_cases() -> Iterator[Case]:
    # Five steps of 4·d³ + 2·d³ FLOPs, over 6·d² FLOPs per token: 5·d / N is to be the share.
    yield Case(
        (64, 0.5), 640.0, "Five steps of 6 · 64³ FLOPs are as much as forward and backward on 5 · 64 tokens."
    )
    yield Case((768, 0.01), 384_000.0, "5 · 768 tokens for 100 %; a hundred times as many for 1 %.")
    yield Case((4096, 0.01), 2_048_000.0, "Twice the width needs twice the batch for the same share.")
    yield Case((4096, 0.05), 409_600.0, "A share five times as large is reached with a fifth of the batch.")
    yield Case((96, 0.07), 48_000 / 7, "5 · 96 / 0.07: on average over steps, it need not be a whole number.")


BATCH = Exercise(
    id="muon-batch",
    chapter=8,
    cases=_batch_cases,
    hint="One Newton-Schulz step on a d by d matrix is three products of 2·d³ FLOPs. Forward and backward take 6 FLOPs "
    "for each of its d² weights and each of the N tokens. Set 5 steps over the latter equal to the share.",
    mistakes=(
        Mistake(
            lambda d_model, share: 15 * d_model / share,
            "This counts the forward pass alone, 2 FLOPs per weight and token. The backward pass takes 4 more.",
        ),
        Mistake(lambda d_model, share: d_model / share, "This is one Newton-Schulz step; Muon takes five."),
        Mistake(
            lambda d_model, share: 10 * d_model / (3 * share),
            "This counts two products a step. There are three: XXᵀ, its square, and one with X.",
        ),
        Mistake(
            lambda d_model, share: 2.5 * d_model / share,
            "A product of d by d matrices takes 2·d³ FLOPs: d³ multiplications and as many additions.",
        ),
        Mistake(
            lambda d_model, share: 5 * d_model,
            "Here the steps cost as much as forward and backward. The share is missing.",
        ),
        Mistake(lambda d_model, share: 5 * d_model // share, "// rounds down: divide with /."),
        Mistake(
            lambda d_model, share: 5 * d_model * share,
            "This is upside down: a smaller share needs a larger batch.",
        ),
        Mistake(
            lambda d_model, share: 5 * d_model**2 / share,
            "One d too many: d³ over d² leaves a single d.",
        ),
    ),
)

# --- who gets Muon ----------------------------------------------------------------------------------------------------

_Shapes = Mapping[str, tuple[int, ...]]


def _parameter_cases() -> Iterator[Case]:
    yield Case(
        (
            {
                "token_embeddings.weight": (256, 64),
                "layers.0.attn.q_proj.weight": (64, 64),
                "ln_final.weight": (64,),
            },
        ),
        ["layers.0.attn.q_proj.weight"],
        "The embedding is a table of rows, the norm's gain a vector.",
    )
    yield Case(
        ({"layers.0.ffn.w1.weight": (192, 64), "layers.0.ffn.w1.bias": (192,), "lm_head.weight": (256, 64)},),
        ["layers.0.ffn.w1.weight"],
        "The output head is also a table, with one row per token; a bias is a vector.",
    )
    yield Case(
        (
            {
                "layers.1.ln1.weight": (64,),
                "layers.1.ffn.w2.weight": (64, 192),
                "layers.1.attn.output_proj.weight": (64, 64),
            },
        ),
        ["layers.1.ffn.w2.weight", "layers.1.attn.output_proj.weight"],
        "output_proj belongs to attention and is a hidden matrix; only lm_head is the output head.",
    )
    yield Case(({"position_embedding.weight": (64, 64)},), [], "Positions are looked up in a table as well.")
    yield Case(
        ({"layers.0.attn.relative_embeddings": (32, 8), "layers.0.attn.scale": ()},),
        [],
        "Here a table stands inside a layer, and a single number, which has no axis at all.",
    )
    yield Case(
        ({"blocks.0.mixer": (48, 80), "blocks.0.q_norm.weight": (32,), "blocks.0.down.weight": (80, 48)},),
        ["blocks.0.mixer", "blocks.0.down.weight"],
        "Another model has other names. Only the tables can be told by theirs; for all else the shape decides.",
    )


def _matrices(shapes: _Shapes) -> list[str]:
    return [name for name, shape in shapes.items() if len(shape) == 2]


def _no_embeddings(shapes: _Shapes) -> list[str]:
    return [name for name in shapes if "embedding" not in name and "lm_head" not in name]


def _head_too(shapes: _Shapes) -> list[str]:
    return [name for name in _matrices(shapes) if "embedding" not in name]


def _square_only(shapes: _Shapes) -> list[str]:
    return [name for name in _head_too(shapes) if shapes[name][0] == shapes[name][1]]


def _hidden(shapes: _Shapes) -> list[str]:
    return [name for name in _head_too(shapes) if "lm_head" not in name]


def _in_layers(shapes: _Shapes) -> list[str]:
    return [name for name in _matrices(shapes) if name.startswith("layers")]


def _no_output(shapes: _Shapes) -> list[str]:
    return [name for name in _head_too(shapes) if "lm_head" not in name and "output" not in name]


PARAMETERS = Exercise(
    id="muon-parameters",
    chapter=8,
    cases=_parameter_cases,
    hint="Two tests: the shape has two numbers, and the name holds neither 'embedding' nor 'lm_head'.",
    mistakes=(
        Mistake(
            _matrices,
            "These are all matrices. Embeddings and the output head are tables: they stay with AdamW.",
        ),
        Mistake(
            _no_embeddings, "Vectors (gains, biases) have no singular vectors to keep: they stay with AdamW."
        ),
        Mistake(
            _head_too, "The output head, lm_head, is a table with a row for each token: it stays with AdamW."
        ),
        Mistake(
            _square_only, "A matrix need not be square: Newton-Schulz makes its shorter side orthonormal."
        ),
        Mistake(
            _in_layers,
            "Other models have other names: nothing says that hidden matrices are in something called layers. Take out "
            "the tables instead.",
        ),
        Mistake(
            lambda shapes: sorted(_hidden(shapes)),
            "These are sorted. The order is that of the model's parameters.",
        ),
        Mistake(
            lambda shapes: set(_hidden(shapes)),
            "These are the right names, but a set has no order: return a list.",
        ),
        Mistake(
            lambda shapes: {name: shapes[name] for name in _hidden(shapes)},
            "These are the right parameters, with their shapes: return a list of their names.",
        ),
        Mistake(_no_output, "output_proj mixes the heads of attention: a hidden matrix like the others."),
    ),
)
