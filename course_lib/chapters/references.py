"""The experiments with stored reference runs, of all chapters."""

import importlib
from pathlib import Path

from course_lib.lab.reference_runs import Experiment
from course_lib.lab.scale import chosen_scale


def experiments(chapter: int | None = None, name: str | None = None) -> list[Experiment]:
    """The experiments that chapters declare as ``REFERENCE`` in their module ``experiments``, in order.

    With ``COURSE_SCALE=large``, those that have a larger form in that form.

    Raises ValueError for a chapter or a name that does not exist.
    """
    folders = sorted(path for path in Path(__file__).parent.glob("ch[0-9][0-9]_*") if path.is_dir())
    numbers = {int(path.name[2:4]): path.name for path in folders}
    if chapter is not None and chapter not in numbers:
        raise ValueError(f"there is no chapter {chapter}; chapters are {min(numbers)} to {max(numbers)}")
    found = [
        experiment
        for number, folder in numbers.items()
        if chapter in (None, number)
        for experiment in getattr(_module(folder), "REFERENCE", ())
    ]
    if name is None:
        return _scaled(found)
    named = [experiment for experiment in found if experiment.name == name]
    if not named:
        names = ", ".join(experiment.name for experiment in found) or "none"
        raise ValueError(f"there is no experiment {name!r} with stored runs; there are: {names}")
    return _scaled(named)


def _scaled(chosen: list[Experiment]) -> list[Experiment]:
    return [one.larger or one for one in chosen] if chosen_scale() == "large" else chosen


def _module(folder: str) -> object:
    name = f"course_lib.chapters.{folder}.experiments"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None  # a chapter without experiments
