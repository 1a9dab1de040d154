"""The exercises of chapter 11, Resources. Results come from numbers worked out by hand, and from published models."""

import math
from collections.abc import Iterator
from functools import partial

from course_lib.accounting import KNOWN_MODELS
from course_lib.answers.checking import Case, Exercise, Mistake

# --- a budget ---------------------------------------------------------------------------------------------------------


def _budget_cases() -> Iterator[Case]:
    # 6 N · (r N) = C; by hand.
    yield Case(
        (1.2e14, 20.0), 1e6, "6 · 10⁶ · 20 · 10⁶ = 1.2 · 10¹⁴: a million parameters on 20 million tokens."
    )
    yield Case((1.2e20, 20.0), 1e9, "A million times the operations is a thousand times the parameters.")
    yield Case((6e18, 1.0), 1e9, "One token per parameter: 6 N² = C.")
    yield Case((6e18, 100.0), 1e8, "More tokens per parameter, fewer parameters.")
    yield Case((5.88e23, 20.0), 7e10, "Chinchilla: 70 billion parameters, 20 tokens for each of them.")


BUDGET = Exercise(
    id="res-budget",
    chapter=11,
    cases=_budget_cases,
    hint="Training takes 6 operations for each parameter and token. With r tokens per parameter there are r N tokens. "
    "Write the operations as a function of N alone, and solve for N.",
    mistakes=(
        Mistake(
            lambda flops, ratio: flops / (6 * ratio),
            "This is N squared: both the model and the text grow with N.",
        ),
        Mistake(
            lambda flops, ratio: math.sqrt(flops / 6),
            "This forgets the ratio: it is right for One token per parameter.",
        ),
        Mistake(
            lambda flops, ratio: math.sqrt(flops / (2 * ratio)),
            "2 N a token is the forward pass. The backward pass takes twice as much again.",
        ),
        Mistake(
            lambda flops, ratio: math.sqrt(flops * ratio / 6),
            "These are the tokens. The question is for the parameters.",
        ),
        Mistake(
            lambda flops, ratio: math.sqrt(flops / ratio),
            "The 6 is missing: training takes 6 operations for each parameter and token.",
        ),
        Mistake(
            lambda flops, ratio: math.sqrt(flops) / (6 * ratio),
            "The root is taken of the operations alone. First divide by 6 r, which gives N squared; then take the "
            "root.",
        ),
        Mistake(
            lambda flops, ratio: math.sqrt(flops / 6) / ratio,
            "The ratio belongs under the root: the operations are 6 r N².",
        ),
    ),
)

# --- parameters -------------------------------------------------------------------------------------------------------


def _parameter_cases() -> Iterator[Case]:
    yield Case(
        (10, 4, 1, 8, 2, 2),
        10 * 4 * 2 + 4 * 16 + 3 * 4 * 8 + 3 * 4,
        "Two tables of 40, four projections of 16, three matrices of 32, three norms of 4.",
    )
    yield Case(
        (10, 4, 1, 8, 2, 1),
        10 * 4 * 2 + 2 * 16 + 2 * 8 + 3 * 4 * 8 + 3 * 4,
        "With one KV head for two query heads, keys and values are half as wide.",
    )
    yield Case(
        (11, 6, 5, 7, 3, 1),
        11 * 6 * 2 + 5 * (2 * 36 + 2 * 12 + 3 * 42 + 2 * 6) + 6,
        "Five layers of 72 + 24 + 126 + 12 numbers, two tables of 66, and a last norm of 6.",
    )
    for name in ("LLaMA 7B", "Llama 2 70B", "Llama 3 8B"):
        known = KNOWN_MODELS[name]
        c = known.config
        yield Case(
            (c.vocab_size, c.d_model, c.num_layers, c.ffn_width, c.num_heads, c.kv_heads),
            known.published,
            f"This is {name}: its released weights hold {known.published:,} numbers.",
        )


def _parameters(
    v: int,
    d: int,
    n: int,
    f: int,
    h: int,
    kv: int,
    *,
    tables: int = 2,
    wide: int = 2,
    narrow: int = 2,
    gates: int = 3,
    norms: int = 2,
    last: int = 1,
) -> int:
    """The right count, except for how many matrices and norms of each kind there are."""
    attention = wide * d * d + narrow * d * d * kv // h
    return tables * v * d + n * (attention + gates * d * f + norms * d) + last * d


PARAMETERS = Exercise(
    id="res-parameters",
    chapter=11,
    cases=_parameter_cases,
    hint="Two tables of V · D. In each layer: queries and output D · D each; keys and values D · (kv_heads · D / "
    "heads) each; gate, up and down projection D · d_ff each; two norms of D. And one norm of D at the end.",
    mistakes=(
        Mistake(
            partial(_parameters, tables=1),
            "Embedding and output head are two tables here: they are not tied.",
        ),
        Mistake(
            partial(_parameters, gates=2), "A gated feed-forward layer has three matrices: gate, up and down."
        ),
        Mistake(
            lambda v, d, n, f, h, kv: _parameters(v, d, n, f, h, h),
            "This gives every query head its own keys and values. Grouped-query attention has kv_heads of them.",
        ),
        Mistake(
            partial(_parameters, narrow=1),
            "Keys and values have a projection each, of D · (kv_heads · D / heads).",
        ),
        Mistake(
            partial(_parameters, wide=1),
            "One projection of D · D is missing: queries have one, and so has the output of attention.",
        ),
        Mistake(
            lambda v, d, n, f, h, kv: _parameters(v, d, n, f, 1, kv),
            "Keys and values are kv_heads heads wide, and a head has D / heads features: divide by heads.",
        ),
        Mistake(
            partial(_parameters, norms=0, last=0),
            "All matrices are there. The norms are missing: two in each layer, one at the end.",
        ),
        Mistake(partial(_parameters, last=0), "One norm is missing: the one after the last layer."),
        Mistake(
            partial(_parameters, norms=1),
            "Each layer has two norms: one before attention, one before the feed-forward layer.",
        ),
        Mistake(
            partial(_parameters, norms=4, last=2),
            "A norm has one gain per feature and no bias: RMSNorm subtracts no mean and adds nothing.",
        ),
        Mistake(
            lambda v, d, n, f, h, kv: _parameters(v, d, 1, f, h, kv),
            "This is a model of one layer: multiply what a layer holds by the number of layers.",
        ),
        Mistake(
            partial(_parameters, norms=3, last=0),
            "The last norm stands once, after all layers, not in each of them.",
        ),
    ),
)

# --- the cache --------------------------------------------------------------------------------------------------------


def _cached_cases() -> Iterator[Case]:
    # (memory, parameters, layers, kv_heads, head_dim); two bytes per number; by hand.
    yield Case((100, 10, 1, 1, 1), 20, "80 bytes beside 20 of weights; 2 numbers, 4 bytes, for each token.")
    yield Case((1000, 100, 3, 2, 4), 8, "800 bytes; 2 · 3 · 2 · 4 numbers, 96 bytes, a token: 8.3.")
    yield Case((1007, 100, 3, 2, 5), 6, "807 bytes; 2 · 3 · 2 · 5 numbers, 120 bytes, a token: 6.7.")
    yield Case(
        (103, 10, 1, 1, 1), 20, "83 bytes hold 20 whole tokens of 4 bytes; a part of a token does not count."
    )
    yield Case(
        (100, 60, 1, 1, 1), 0, "The weights alone take 120 bytes: nothing fits, not a negative number."
    )
    yield Case(
        (80_000_000_000, 8_030_261_248, 32, 8, 128),
        487_819,
        "Llama 3 8B on 80 GB: 131,072 bytes per token beside 16.06 GB of weights.",
    )


def _cached(keys: int, number: int, memory: int, parameters: int, layers: int, heads: int, width: int) -> int:
    return max(0, (memory - 2 * parameters) // (keys * layers * heads * width * number))


CACHED = Exercise(
    id="res-cached-tokens",
    chapter=11,
    cases=_cached_cases,
    hint="The free memory is memory minus two bytes per parameter. A token keeps a key and a value of head_dim numbers "
    "for each KV head of each layer, two bytes per number. Whole tokens only, and never fewer than 0.",
    mistakes=(
        Mistake(
            lambda *arguments: _cached(1, 2, *arguments),
            "A factor of two is missing: keys *and* values are kept, and each number of bfloat16 has two bytes.",
        ),
        Mistake(lambda *arguments: _cached(2, 4, *arguments), "Four bytes are float32; bfloat16 has two."),
        Mistake(
            lambda memory, parameters, layers, heads, width: memory // (4 * layers * heads * width),
            "The weights are in the same memory: take them off first.",
        ),
        Mistake(
            lambda memory, parameters, layers, heads, width: (
                (memory - 2 * parameters) // (4 * layers * heads * width)
            ),
            "Right where the weights fit. Where they do not, no token fits either: 0, not a negative number.",
        ),
        Mistake(
            lambda memory, parameters, layers, heads, width: _cached(
                2, 2, memory - 2 * parameters, parameters, layers, heads, width
            ),
            "This takes four bytes per parameter off. bfloat16 has two.",
        ),
        Mistake(
            lambda memory, parameters, layers, heads, width: _cached(
                2, 2, memory + parameters, parameters, layers, heads, width
            ),
            "This takes one byte per parameter off. bfloat16 has two.",
        ),
        Mistake(
            lambda memory, parameters, layers, heads, width: _cached(
                2, 2, memory, parameters, 1, heads, width
            ),
            "These are the keys and values of one layer. Every layer keeps its own.",
        ),
        Mistake(
            lambda memory, parameters, layers, heads, width: _cached(
                2, 2, memory, parameters, layers, 1, width
            ),
            "These are the keys and values of one KV head. Every KV head keeps its own.",
        ),
        Mistake(
            lambda memory, parameters, layers, heads, width: (
                max(0, memory - 2 * parameters) / (4 * layers * heads * width)
            ),
            "A part of a token does not count: round down.",
        ),
        Mistake(
            lambda memory, parameters, layers, heads, width: max(
                0, round((memory - 2 * parameters) / (4 * layers * heads * width))
            ),
            "This rounds to the nearest token, which may not fit: round down.",
        ),
    ),
)

# --- days -------------------------------------------------------------------------------------------------------------


def _days_cases() -> Iterator[Case]:
    day = 86_400
    yield Case(
        (1e9, day * 1e3, 1, 6e12, 1.0), 1.0, "6 · 10⁹ · 8.64 · 10⁷ operations at 6 · 10¹² a second: a day."
    )
    yield Case((1e9, day * 1e3, 4, 6e12, 0.5), 0.5, "Four devices at half of their peak are as fast as two.")
    yield Case(
        (2e9, day * 1e3, 1, 6e12, 0.25), 8.0, "Twice the parameters and a quarter of the speed: eight days."
    )
    yield Case(
        (65.3e9, 1.4e12, 2048, 312e12, 0.4776),
        6 * 65.3e9 * 1.4e12 / (2048 * 312e12 * 0.4776 * day),
        "LLaMA 65B: its authors report about 21 days on 2,048 A100.",
    )


def _days(factor: float, n: float, tokens: float, devices: float, peak: float, mfu: float) -> float:
    return factor * n * tokens / (devices * peak * mfu * 86_400)


DAYS = Exercise(
    id="res-days",
    chapter=11,
    cases=_days_cases,
    hint="Operations: 6 for each parameter and token. Speed: devices times peak times MFU. Their quotient is in "
    "seconds; a day has 86,400.",
    mistakes=(
        Mistake(
            lambda *arguments: _days(2, *arguments),
            "2 N a token is the forward pass; with the backward pass it is 6 N.",
        ),
        Mistake(
            lambda *arguments: _days(1, *arguments),
            "The 6 is missing: training takes 6 operations for each parameter and token.",
        ),
        Mistake(
            lambda n, tokens, devices, peak, mfu: _days(6, n, tokens, 1, peak, mfu),
            "This is the time on one device; all of them work at once.",
        ),
        Mistake(
            lambda n, tokens, devices, peak, mfu: _days(6, n, tokens, 1 / devices, peak, mfu),
            "More devices take longer here: their number belongs to the speed, below the line.",
        ),
        Mistake(lambda *arguments: 24 * _days(6, *arguments), "These are hours: divide by 24."),
        Mistake(lambda *arguments: 1440 * _days(6, *arguments), "These are minutes: divide by 1,440."),
        Mistake(lambda *arguments: 86_400 * _days(6, *arguments), "These are seconds: a day has 86,400."),
        Mistake(
            lambda n, tokens, devices, peak, mfu: _days(6, n, tokens, devices, peak, 1 / mfu),
            "A lower utilization takes longer: MFU belongs to the speed, below the line.",
        ),
        Mistake(
            lambda n, tokens, devices, peak, mfu: _days(6, n, tokens, devices, peak, 1),
            "This is the time at the full peak, which nobody reaches: use the MFU.",
        ),
    ),
)

EXERCISES = (BUDGET, PARAMETERS, CACHED, DAYS)
