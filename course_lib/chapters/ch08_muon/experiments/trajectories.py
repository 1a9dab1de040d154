"""Chapter 8: the path of training on a plane, the loss on that plane, and a random walk for comparison."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from course_lib.diagnostics import Projection, Snapshot, loss_on_plane, snapshot, trajectory_projection
from course_lib.files import progress
from course_lib.lab.defaults import float32_on_cpu
from course_lib.lab.small_runs import held_out_batch, one_thread
from course_lib.loss import cross_entropy
from course_lib.model import TransformerLM

VIEWS = ("PCA", "random", "random, enlarged")
"""The views of ``planes``; a random plane is shown at the scale of the path and enlarged to the path's projection."""


@dataclass(frozen=True)
class Plane:
    """A path on a plane.

    Attributes:
        projection: What :func:`course_lib.diagnostics.trajectory_projection` found.
        grid: The loss on the plane: x, y, loss.
        along: The loss at each snapshot and at its projection onto the plane: snapshot, x, y, loss, shadow_loss.
    """

    projection: Projection
    grid: pd.DataFrame
    along: pd.DataFrame


@float32_on_cpu()
def random_walk(lengths: Sequence[float], size: int, seed: int = 0) -> Tensor:
    """A path in ``size`` dimensions whose steps have the given lengths and independent random directions.

    Returns the points, (len(lengths) + 1, size); the first is the origin.
    """
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(len(lengths), size, generator=generator)
    steps = steps / steps.norm(dim=1, keepdim=True) * torch.tensor(lengths).unsqueeze(1)
    return torch.cat([torch.zeros(1, size), steps.cumsum(0)])


def step_lengths(path: Sequence[Snapshot]) -> list[float]:
    """The Euclidean distance of each snapshot from the one before it."""
    return [_distance(path[place : place + 2]) for place in range(len(path) - 1)]


def random_walk_law(axis: int) -> float:
    """Share of a long random walk's (equal steps) squared distances from its end on principal axis ``axis``, from 1.

    Brownian motion's Karhunen-Loève expansion: eigenvalues 4 / (π² (2k-1)²) of a trace of 1/2. For distances from the
    mean instead of from the end: Antognini & Sohl-Dickstein 2018.
    """
    return 8 / (np.pi**2 * (2 * axis - 1) ** 2)


def explained(paths: Mapping[str, Sequence[Snapshot] | Tensor]) -> pd.DataFrame:
    """The shares of each path that its first two principal axes explain. Columns: path, first, second, both."""
    rows = []
    for name, path in paths.items():
        first, second = trajectory_projection(list(path)).explained.tolist()
        rows.append((name, first, second, first + second))
    return pd.DataFrame(rows, columns=["path", "first", "second", "both"])


def planes(
    model: TransformerLM,
    paths: Mapping[str, Sequence[Snapshot]],
    *,
    points: int = 11,
    batch_size: int = 8,
    margin: float = 0.25,
) -> dict[tuple[str, str], Plane]:
    """Views of paths of a model's weights, with the held-out loss on their planes.

    Args:
        model: A model of the paths' shape; its weights are restored.
        paths: Snapshots by name.
        points: Grid points along each axis.
        batch_size: Windows of held-out text for the loss.
        margin: Extension of the grid beyond the path, as a share of the path's extent.

    Returns:
        By (path, view); the views are ``VIEWS``.
    """
    tokens, targets = held_out_batch(batch_size, model.config.context_length)

    def loss(net: nn.Module) -> Tensor:
        return cross_entropy(net(tokens), targets)

    found = {}
    jobs = [(name, view) for name in paths for view in VIEWS]
    with one_thread():
        for name, view in progress(jobs, description="loss on planes", unit="plane"):
            projection = trajectory_projection(paths[name], "pca" if view == "PCA" else "random")
            shadow = projection.coordinates.numpy()
            low, high = shadow.min(0), shadow.max(0)
            if view == "random":  # the distance between the path's ends
                high = np.full(2, _distance(paths[name]))
                low = -high
            x, y = (
                np.linspace(a - margin * (b - a), b + margin * (b - a), points)
                for a, b in zip(low, high, strict=True)
            )
            grid = loss_on_plane(model, projection, loss, x, y)
            found[name, view] = Plane(projection, grid, _along(model, projection, paths[name], loss))
    return found


def _distance(path: Sequence[Snapshot]) -> float:
    """The distance between the start and the end of a path."""
    return float(sum((path[0][name] - path[-1][name]).square().sum() for name in path[0]) ** 0.5)


def _along(
    model: TransformerLM,
    projection: Projection,
    path: Sequence[Snapshot],
    loss: Callable[[nn.Module], Tensor],
) -> pd.DataFrame:
    before = snapshot(model)
    params = list(model.parameters())
    frame = projection.frame()
    losses, shadows = [], []
    with torch.no_grad():
        for point, x, y in zip(path, frame["x"], frame["y"], strict=True):
            model.load_state_dict(point, strict=False)
            losses.append(float(loss(model)))
            torch.nn.utils.vector_to_parameters(projection.point(x, y), params)
            shadows.append(float(loss(model)))
        model.load_state_dict(before, strict=False)
    return frame.assign(loss=losses, shadow_loss=shadows)
