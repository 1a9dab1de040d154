"""Points made again: compared with the stored ones, or the reason to let points of older code count."""

import datetime
import math
import statistics
from collections.abc import Mapping, Sequence

import pandas as pd

from course_lib.lab.reference_runs import Experiment, Point, Settings, append, append_to, key_of

SAME_MACHINE = 1e-6
"""Largest relative difference between a point and its repetition with the same versions on the same processor."""


SPREADS = 5
"""Largest difference elsewhere, in spreads of the seeds. Two runs that share nothing but their settings differ by the
spread times the root of two; with a dozen results per point, three spreads would be exceeded by chance."""


def repetition(experiment: Experiment, again: Point) -> pd.DataFrame:
    """A point that was made again beside the stored one.

    Where code, versions, processor and threads are the same, the results must be, to :data:`SAME_MACHINE`; elsewhere
    sums are rounded in another order, runs drift apart, and a result must lie within :data:`SPREADS` times the spread
    of the seeds.

    Returns:
        One row per result: result, stored, again, spread (standard deviation over seeds at these settings, at least the
        usual one on the grid), ok.

    Raises:
        KeyError: No such point is stored.
    """
    stored = experiment.current()[key_of(again["settings"], again["seed"])]
    spread = _spreads(experiment, again["settings"])
    here = _same_machine(stored, again)
    rows = []
    for name, value in stored["result"].items():
        found = float(again["result"][name])
        ok = _same(value, found) or (not here and abs(found - value) <= SPREADS * spread[name])
        rows.append((name, value, found, spread[name], ok))
    return pd.DataFrame(rows, columns=["result", "stored", "again", "spread", "ok"])


def _spreads(experiment: Experiment, settings: Settings) -> dict[str, float]:
    """Standard deviation of each result over seeds: at these settings, and at least what is usual on the grid.

    Few seeds may agree by chance, hence the second: the root of the mean variance, without the fifth of the grid where
    it is largest. Where some runs diverge, their spread says nothing about the others.
    """
    by_settings: dict[str, list[Mapping[str, float]]] = {}
    for point in experiment.current().values():
        by_settings.setdefault(key_of(point["settings"], 0), []).append(point["result"])
    variances = {key: _variances(results) for key, results in by_settings.items()}
    return {
        name: math.sqrt(max(value, _usual([one[name] for one in variances.values() if name in one])))
        for name, value in variances[key_of(settings, 0)].items()
    }


def _usual(variances: Sequence[float]) -> float:
    """The mean of the smaller four fifths."""
    return statistics.fmean(sorted(variances)[: math.ceil(0.8 * len(variances))])


def _variances(results: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Variance of each result over seeds, of the finite values; 0 where there are fewer than two."""
    found = {}
    for name in results[0]:
        values = [result[name] for result in results if math.isfinite(result[name])]
        found[name] = statistics.variance(values) if len(values) > 1 else 0.0
    return found


def adopt(experiment: Experiment, code: str, again: Sequence[Point]) -> None:
    """Let the stale points of another version of the code count, since the present one makes the same.

    A function may be renamed or moved without changing what it computes; hours of runs should survive that. The points
    themselves stay as they are: a line is appended that says which version was adopted, and by which repetitions.

    Args:
        experiment: Its stale points have the version ``code``.
        code: The version that made them.
        again: Some of these points, chosen at random, made again by the present code.

    Raises:
        ValueError: A repetition differs, or was made with other versions or on another processor, where results need
            not be the same; or there is none.
    """
    stored = {
        key_of(point["settings"], point["seed"]): point
        for point in experiment.stale()
        if point["code"] == code
    }
    if not again:
        raise ValueError(f"{experiment.name}: nothing was made again, so nothing can be adopted")
    for point in again:
        key = key_of(point["settings"], point["seed"])
        if not _same_machine(stored[key], point):
            raise ValueError(
                f"{experiment.name}: {key} was made on another processor or with other versions; make the sample there"
            )
        if not all(
            _same(value, float(point["result"][name])) for name, value in stored[key]["result"].items()
        ):
            raise ValueError(f"{experiment.name}: {key} differs, so the points of {code} stay stale")
    adoption = {
        "adopts": code,
        "code": experiment.code,
        "again": [[dict(point["settings"]), point["seed"]] for point in again],
        "versions": again[0]["versions"],
        "processor": again[0]["processor"],
        "date": datetime.date.today().isoformat(),
    }
    with append_to(experiment.path) as file:
        append(file, adoption)


def _same_machine(stored: Point, again: Point) -> bool:
    return all(stored[name] == again[name] for name in ("versions", "processor", "threads"))


def _same(stored: float, again: float) -> bool:
    return stored == again or abs(again - stored) <= SAME_MACHINE * abs(stored)
