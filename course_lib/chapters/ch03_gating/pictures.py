"""Pictures of chapter 3: activation functions, gated layers compared, hidden units."""

import pandas as pd

from course_lib.show.look import PALETTE, Picture, direct_labels, figure

ACTIVATION_COLOURS = {
    "relu": PALETTE["blue"],
    "gelu": PALETTE["green"],
    "silu": PALETTE["pink"],
    "relu2": PALETTE["orange"],
    "glu": PALETTE["grey"],
    "reglu": PALETTE["blue"],
    "geglu": PALETTE["green"],
    "swiglu": PALETTE["violet"],
}
"""The same activation has the same colour in every picture."""

NAMES = {
    "relu": "ReLU",
    "gelu": "GELU",
    "silu": "SiLU",
    "relu2": "ReLU²",
    "glu": "GLU",
    "reglu": "ReGLU",
    "geglu": "GEGLU",
    "swiglu": "SwiGLU",
}
"""Names as the papers write them."""


def shapes(curves: pd.DataFrame) -> Picture:
    """Activation functions and their slopes. ``curves``: columns activation, z, value, slope."""
    fig, (left, right) = figure(1, 2, size=(9.6, 3.8))
    near = curves[curves["z"].between(-3, 2)]
    for name, curve in near.groupby("activation", sort=False):
        style = {"color": ACTIVATION_COLOURS[str(name)], "label": NAMES[str(name)]}
        left.plot(curve["z"], curve["value"], **style)
        right.plot(curve["z"], curve["slope"], **style)
    left.set(xlim=(-3, 3.1), ylim=(-0.5, 4.2), xlabel="input z", ylabel="value f(z)")
    right.set(xlim=(-3, 3.1), ylim=(-0.5, 4.2), xlabel="input z", ylabel="slope f′(z)")
    left.set_xticks(range(-3, 3))
    right.set_xticks(range(-3, 3))
    direct_labels(left, right)
    return Picture(fig, caption="Four plain activations and their slopes; slopes by autograd.")


def chain(sizes: pd.DataFrame) -> Picture:
    """Size of the activations along a chain of layers. ``sizes``: columns activation, seed, layer, size."""
    fig, axes = figure(size=(7.6, 3.6))
    low, high = 1e-3, 1e6
    last = int(sizes["layer"].max())
    for keys, run in sizes.groupby(["activation", "seed"], sort=False):
        line = _inside(run.set_index("layer")["size"], low, high)
        axes.plot(line.index, line, color=ACTIVATION_COLOURS[str(keys[0])], linewidth=1, alpha=0.5)
    for name, runs in sizes.groupby("activation", sort=False):
        kept = _inside(runs.groupby("layer")["size"].median(), low, high)
        axes.plot(kept.index, kept, color=ACTIVATION_COLOURS[str(name)], label=NAMES[str(name)])
    axes.set(
        yscale="log",
        ylim=(low, high),
        xlim=(0, last * 1.12),
        xlabel="layer",
        ylabel="mean square, relative to the input",
    )
    direct_labels(axes)
    return Picture(
        fig,
        caption="No norms, no residual connections; weights scaled to preserve the size of normal inputs of variance "
        "1. Thin lines: seeds; thick lines: their medians.",
    )


def _inside(line: "pd.Series[float]", low: float, high: float) -> "pd.Series[float]":
    """The line until it first leaves the picture, ``low`` to ``high``."""
    return line[line.between(low, high).cummin()]


def comparison(differences: pd.DataFrame) -> Picture:
    """Loss minus that of ReLU with the same seed: one dot per seed, with mean and standard error as bars.

    ``differences``: columns activation, seed, difference.
    """
    fig, axes = figure(size=(7.6, 3.8))
    names = list(dict.fromkeys(differences["activation"]))
    for place, name in enumerate(reversed(names)):
        values = differences.loc[differences["activation"] == name, "difference"]
        colour = ACTIVATION_COLOURS[name]
        axes.plot(values, [place] * len(values), "o", color=colour, alpha=0.45, markersize=5)
        axes.errorbar(
            values.mean(),
            place,
            xerr=values.sem(),
            fmt="|",
            color=colour,
            markersize=18,
            capsize=0,
            elinewidth=3,
        )
    axes.axvline(0, color=PALETTE["grey"], linewidth=1)
    axes.set_yticks(range(len(names)), labels=[NAMES[name] for name in reversed(names)])
    axes.set(xlabel="loss on held-out stories minus ReLU's (nats/byte); left is better")
    axes.grid(visible=False, axis="y")
    return Picture(
        fig,
        caption="Equal parameters and equal data; each dot is one seed, compared with ReLU and the same seed. Bars: "
        "mean and standard error.",
    )


def dead_units(results: pd.DataFrame) -> Picture:
    """Share of dead units against the learning rate. ``results``: columns activation, lr, seed, dead."""
    fig, axes = figure(size=(7.6, 3.4))
    for name, runs in results.groupby("activation", sort=False):
        colour = ACTIVATION_COLOURS[str(name)]
        axes.plot(runs["lr"], 100 * runs["dead"], ".", color=colour, alpha=0.5)
        means = 100 * runs.groupby("lr")["dead"].mean()
        axes.plot(means.index, means, "o-", color=colour, label=NAMES[str(name)])
    rates = sorted(set(results["lr"]))
    axes.set(xscale="log", xlim=(rates[0] / 1.2, rates[-1] * 1.6), xlabel="learning rate")
    axes.set(ylabel="dead units of the last layer (%)")
    axes.set_xticks(rates, labels=[f"{rate:g}" for rate in rates])
    axes.minorticks_off()
    direct_labels(axes)
    return Picture(
        fig, caption="Units with output 0 for all of 2,048 tokens, after 60 steps; dots are seeds."
    )


def sparsity(results: pd.DataFrame) -> Picture:
    """Loss added when only the largest hidden values are used. ``results``: columns activation, kept, loss."""
    fig, axes = figure(size=(7.6, 3.6))
    for name, run in results.groupby("activation", sort=False):
        full = run.loc[run["kept"] == 1.0, "loss"].iloc[0]
        part = run[run["kept"] < 1].sort_values("kept", ascending=False)
        axes.plot(
            100 * part["kept"],
            part["loss"] - full,
            "o-",
            color=ACTIVATION_COLOURS[str(name)],
            label=NAMES[str(name)],
        )
    shares = sorted(100 * share for share in set(results["kept"]) if share < 1)
    axes.set(xscale="log", xlim=(shares[-1] * 1.2, shares[0] / 1.5), ylim=(-0.01, None))
    axes.set(xlabel="hidden units kept for each token (%)", ylabel="loss added (nats/byte)")
    axes.set_xticks(shares, labels=[f"{share:.0f}" for share in shares])
    axes.minorticks_off()
    direct_labels(axes)
    return Picture(fig, caption="Each token keeps its largest hidden values; the others are set to 0.")
