"""The path of training, projected to a plane, and the loss on that plane."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from course_lib.diagnostics.norms import snapshot


@dataclass(frozen=True)
class Projection:
    """A path of n snapshots of P parameters on the plane through its last point.

    Attributes:
        coordinates: (n, 2); the last is (0, 0).
        explained: Share of the path's squared distances from its end that lies along each axis, (2,).
        directions: The orthonormal axes, (2, P).
        origin: The last snapshot, (P,).
    """

    coordinates: Tensor
    explained: Tensor
    directions: Tensor
    origin: Tensor

    def frame(self) -> pd.DataFrame:
        """One row per snapshot: snapshot (its number), x, y."""
        frame = pd.DataFrame(self.coordinates.cpu().numpy(), columns=["x", "y"])
        return frame.rename_axis("snapshot").reset_index()

    def point(self, x: float, y: float) -> Tensor:
        """The parameters at (x, y) of the plane, (P,)."""
        return self.origin + x * self.directions[0] + y * self.directions[1]


def trajectory_projection(
    snapshots: Sequence[Mapping[str, Tensor] | Tensor],
    method: Literal["pca", "random"] = "pca",
    *,
    seed: int = 0,
) -> Projection:
    """Project the path of training onto the plane that shows most of it, or onto a random one.

    Li et al. 2018, "Visualizing the Loss Landscape of Neural Nets", section 7: principal axes of the differences to the
    last point. Read ``explained`` with care: a random walk in many dimensions also puts most of its length on the first
    axes (Antognini & Sohl-Dickstein 2018, "PCA of high dimensional random walks").

    Args:
        snapshots: At least three, oldest first: results of ``snapshot``, or tensors of one shape.
        method: "pca", or "random": two random orthonormal directions.
        seed: Seed of the random directions.

    Raises:
        ValueError: Too few snapshots, of different sizes, all equal, or an unknown method.
    """
    if len(snapshots) < 3:
        raise ValueError(f"{len(snapshots)} snapshots were given; a plane needs at least 3")
    if method not in ("pca", "random"):
        raise ValueError(f"method is {method!r}; it must be 'pca' or 'random'")
    points = [_flat(point) for point in snapshots]
    if len({len(point) for point in points}) > 1:
        raise ValueError(f"snapshots have different sizes: {sorted({len(point) for point in points})}")
    path = torch.stack(points)
    origin = path[-1].clone()
    path = path - origin  # (n, P)
    total = path.square().sum()
    if not total > 0:
        raise ValueError("snapshots are all equal: there is no path to project")
    if method == "pca":
        # The axes from the n x n Gram matrix: P may be millions, n is dozens.
        _, vectors = torch.linalg.eigh((path @ path.T).double())
        spanning = vectors[:, -2:].flip(-1).T.to(path.dtype) @ path
    else:
        generator = torch.Generator().manual_seed(seed)
        random = torch.randn(2, path.shape[1], generator=generator, dtype=torch.float32, device="cpu")
        spanning = random.to(path)
    directions = torch.linalg.qr(spanning.T)[0].T
    # The axes have a fixed sign: the path starts to the left of its end, and below it.
    along = path[0] @ directions.T
    directions = directions * torch.where(along > 0, -torch.ones_like(along), 1.0).unsqueeze(-1)
    coordinates = path @ directions.T
    return Projection(coordinates, coordinates.square().sum(0) / total, directions, origin)


def loss_on_plane(
    model: nn.Module,
    projection: Projection,
    loss: Callable[[nn.Module], Tensor | float],
    x: ArrayLike,
    y: ArrayLike,
) -> pd.DataFrame:
    """The loss at the grid points of a projection's plane.

    Args:
        model: The module of the snapshots; its parameters are restored afterwards.
        projection: The result of :func:`trajectory_projection` for it.
        loss: Takes the model, returns its loss on fixed data; called without gradients.
        x: Coordinates along the first axis.
        y: Coordinates along the second axis.

    Returns:
        One row per point: x, y, loss. ``frame.pivot(index="y", columns="x", values="loss")`` is the grid.

    Raises:
        ValueError: The projection belongs to a model with another number of parameters.
    """
    params = [param for param in model.parameters() if param.requires_grad]
    count = sum(param.numel() for param in params)
    if count != len(projection.origin):
        raise ValueError(
            f"model has {count:,} trainable parameters, the projection {len(projection.origin):,}"
        )
    before = snapshot(model)
    rows = []
    try:
        with torch.no_grad():
            for b in np.asarray(y, dtype=float):
                for a in np.asarray(x, dtype=float):
                    torch.nn.utils.vector_to_parameters(projection.point(float(a), float(b)), params)
                    rows.append((float(a), float(b), float(loss(model))))
    finally:
        model.load_state_dict(before, strict=False)
    return pd.DataFrame(rows, columns=["x", "y", "loss"])


def _flat(point: Mapping[str, Tensor] | Tensor) -> Tensor:
    """A snapshot as one vector, in float32 at least."""
    tensors = [point] if isinstance(point, Tensor) else list(point.values())
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    return flat.to(torch.promote_types(flat.dtype, torch.float32))
