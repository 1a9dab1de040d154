"""``course reproduce``: the stored reference runs of the chapters."""

import random
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from course_lib.cli.options import Json
from course_lib.cli.output import print_json

if TYPE_CHECKING:
    from course_lib.lab.reference_runs import Experiment

app = typer.Typer()


@app.command()
def reproduce(
    chapter: Annotated[int | None, typer.Argument(help="Number of a chapter; default: all.")] = None,
    name: Annotated[str | None, typer.Argument(help="Name of one of its experiments; default: all.")] = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="Make the points that are missing or stale.")
    ] = False,
    sample: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Make N random points again and compare them.")
    ] = None,
    adopting: Annotated[
        int | None,
        typer.Option(
            "--adopt",
            min=1,
            metavar="N",
            help="Make N random stale points again; if all are the same, let the other stale ones count.",
        ),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Print what there is and what it costs.")] = False,
    jobs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Points in work at a time, one thread each.")
    ] = 1,
    seed: Annotated[
        int | None,
        typer.Option(help="Random seed of --sample and --adopt; default: another one each time."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the stored reference runs, make missing ones, or make some again and compare.

    Points are stored as soon as they are made: after Ctrl-C, the same command continues. Exit status 1 if a point that
    was made again differs. Points are stale if the code that makes them has changed; if it still makes the same
    (--adopt, on the machine that made them), a line in the file says so and they count again.
    """
    from course_lib.chapters.references import experiments

    if missing + (sample is not None) + (adopting is not None) > 1:
        raise typer.BadParameter("--missing, --sample and --adopt exclude each other")
    chosen = experiments(chapter, name)
    if listing or not (missing or sample or adopting):
        _list(chosen, as_json)
    elif missing:
        _make_missing(chosen, jobs, as_json)
    elif adopting:
        _adopt(chosen, adopting, jobs, seed, as_json)
    else:
        _compare(chosen, sample or 0, jobs, seed, as_json)


def _list(chosen: "list[Experiment]", as_json: bool) -> None:
    rows: list[dict[str, Any]] = []
    for experiment in chosen:
        left = len(experiment.missing())
        rows.append(
            {
                "chapter": experiment.chapter,
                "name": experiment.name,
                "question": experiment.question,
                "state": experiment.state(),
                "points": len(experiment.keys),
                "missing": left,
                "cpu_hours_of_all": round(experiment.cost() / 3600, 2),
                "cpu_hours_missing": round(experiment.cost() * left / len(experiment.keys) / 3600, 2),
            }
        )
    if as_json:
        print_json(rows)
        return
    for row in rows:
        there = row["points"] - row["missing"]
        typer.echo(f"{row['chapter']:2} {row['name']}: {row['state']}, {there} of {row['points']} points")
        typer.echo(f"   {row['question']}")
        typer.echo(f"   CPU hours: {row['cpu_hours_of_all']:.1f}, left to do: {row['cpu_hours_missing']:.1f}")


def _make_missing(chosen: "list[Experiment]", jobs: int, as_json: bool) -> None:
    from course_lib.files import progress
    from course_lib.lab.reference_runs import make

    made = 0
    for experiment in chosen:
        work = experiment.missing()
        with progress(
            total=len(work), description=experiment.name, unit="point", enabled=sys.stderr.isatty()
        ) as bar:
            for _ in make(experiment, work, jobs=jobs):
                made += 1
                bar.update()
    print_json({"made": made}) if as_json else typer.echo(f"{made} points made")


def _adopt(chosen: "list[Experiment]", sample: int, jobs: int, seed: int | None, as_json: bool) -> None:
    from course_lib.lab.reference_runs import made
    from course_lib.lab.repetition import adopt

    rows: list[dict[str, Any]] = []
    for experiment in chosen:
        stale = experiment.stale()
        for code in sorted({point["code"] for point in stale}):
            points = [point for point in stale if point["code"] == code]
            picked = random.Random(seed).sample(points, min(sample, len(points)))
            work = [(point["settings"], point["seed"]) for point in picked]
            adopt(experiment, code, list(made(experiment, work, jobs=jobs)))
            place = {"chapter": experiment.chapter, "name": experiment.name}
            rows.append({**place, "adopted": code, "points": len(points), "again": len(picked)})
    if as_json:
        print_json(rows)
        return
    for row in rows:
        typer.echo(
            f"{row['chapter']:2} {row['name']}: {row['points']} points of {row['adopted']} count again, "
            f"{row['again']} were made again and are the same"
        )
    if not rows:
        typer.echo("no points are stale")


def _compare(chosen: "list[Experiment]", sample: int, jobs: int, seed: int | None, as_json: bool) -> None:
    from course_lib.files import progress
    from course_lib.lab.reference_runs import made
    from course_lib.lab.repetition import repetition

    stored = [(experiment, point) for experiment in chosen for point in experiment.current().values()]
    if not stored:
        raise ValueError("no points are stored that the present code has made")
    picked = random.Random(seed).sample(stored, min(sample, len(stored)))
    rows: list[dict[str, Any]] = []
    with progress(total=len(picked), description="again", unit="point", enabled=sys.stderr.isatty()) as bar:
        for experiment in chosen:
            work = [(point["settings"], point["seed"]) for one, point in picked if one is experiment]
            for again in made(experiment, work, jobs=jobs):
                place = {"chapter": experiment.chapter, "name": experiment.name, "settings": again["settings"],
                         "seed": again["seed"]}  # fmt: skip
                results = repetition(experiment, again).to_dict("records")
                rows += [{**place, **{str(key): value for key, value in row.items()}} for row in results]
                bar.update()
    differing = [row for row in rows if not row["ok"]]
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            settings = ", ".join(f"{key}={value}" for key, value in row["settings"].items())
            verdict = "ok     " if row["ok"] else "DIFFERS"
            typer.echo(f"{verdict} {row['chapter']} {row['name']}: {settings}, seed {row['seed']}")
            typer.echo(
                f"        {row['result']}: stored {row['stored']:.6g}, again {row['again']:.6g}, "
                f"spread of the seeds {row['spread']:.2g}"
            )
    if differing:
        raise typer.Exit(1)
