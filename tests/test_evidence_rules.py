"""Chapters argue by the rules of evidence, and stored runs are complete and made by the present code."""

import dataclasses
import json
from pathlib import Path

import nbformat
import pytest

from course_lib.chapters.contents import CHAPTERS
from course_lib.chapters.references import experiments
from course_lib.lab.reference_runs import make_point, product
from course_lib.lab.scale import choose
from tests import evidence_rules
from tests.lab.toy_experiment import experiment, run
from tests.notebook_rules import Chapter

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

NOT_REMADE = (6, 7, 8, 10, 11, 12)
"""Chapters that do not keep the rules yet. The list only shrinks: a chapter that keeps them all must leave it."""


def complaints(chapter: Chapter) -> list[str]:
    """Broken rules of a notebook, and of its stored runs if there are any."""
    declared = [one for one in experiments() if one.chapter == chapter.number]
    told = [complaint for rule in evidence_rules.RULES for complaint in rule(chapter)]
    return told + list(evidence_rules.chapter_makes_a_run_again(chapter, declared))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_remade_chapter_keeps_the_rules(path: Path) -> None:
    chapter = Chapter.read(path)
    if chapter.number not in NOT_REMADE:
        assert complaints(chapter) == []


@pytest.mark.parametrize("number", NOT_REMADE)
def test_the_list_only_shrinks(number: int) -> None:
    """A chapter of several notebooks is remade when all of them keep the rules."""
    parts = [chapter for chapter in map(Chapter.read, NOTEBOOKS) if chapter.number == number]
    assert any(map(complaints, parts)), f"it keeps all rules: take {number} off the list NOT_REMADE"


def test_the_list_names_chapters_once() -> None:
    assert sorted(set(NOT_REMADE)) == list(NOT_REMADE)
    assert set(NOT_REMADE) <= {chapter.number for chapter in CHAPTERS}


def test_stored_files_belong_to_declared_experiments() -> None:
    files = sorted((ROOT / "course_lib" / "chapters").glob("*/reference/*"))
    assert list(evidence_rules.files_are_declared(experiments(), files)) == []


def test_stored_runs_are_complete_and_of_the_present_code() -> None:
    assert list(evidence_rules.runs_are_complete(experiments(), NOT_REMADE)) == []


def test_stored_runs_have_seeds_and_tries_enough() -> None:
    assert list(evidence_rules.designs_can_show_something(experiments())) == []


def test_stored_runs_do_not_depend_on_the_scale() -> None:
    assert list(evidence_rules.runs_have_one_scale(experiments())) == []


# --- the rules for notebooks ------------------------------------------------------------------------------------------

PREDICT = "**Predict:** which?"
ANSWER = 'evidence.answer(f"{best} by {gain}")'
CONTROL = """rattling = evidence.control(
    because="a", change="b", then="c", measured=f"{gain}", where="section 1", stands=gain > 1)"""
LISTED = "show.table(evidence.summary(rattling))"
BECAUSE = "Decay helps because weights rattle."


def chapter(
    *section: str, recap: tuple[str, ...] = (BECAUSE, LISTED), after: tuple[str, ...] = ()
) -> Chapter:
    """A chapter with one section and a recap; cells that call ``evidence`` or assign are code."""
    sources = ["# 7. Title", "## 1 Section", *section, "## Recap", *recap, "## Exercises", *after]
    cells = [
        nbformat.v4.new_code_cell(source, id=f"x-cell-{place}")
        if "evidence." in source or " = " in source
        else nbformat.v4.new_markdown_cell(source, id=f"x-cell-{place}")
        for place, source in enumerate(sources)
    ]
    return Chapter(Path("07_title.ipynb"), nbformat.v4.new_notebook(cells=cells))


def told(one: Chapter) -> list[str]:
    return [f"{rule.__name__}: {complaint}" for rule in evidence_rules.RULES for complaint in rule(one)]


@pytest.mark.parametrize(
    "good",
    [
        chapter(PREDICT, ANSWER, CONTROL),
        chapter(PREDICT, "x = 1", "The picture shows it.", f"x = 1\n{ANSWER}", CONTROL),
        chapter(PREDICT, f"display({ANSWER})\nassert 1", CONTROL),
        chapter(PREDICT, f"if is_small():\n    display({ANSWER})", CONTROL),
        chapter(PREDICT, ANSWER, PREDICT, ANSWER, CONTROL),
        chapter(CONTROL.replace("stands", "refuted"), recap=("No explanation.", LISTED)),
        chapter("**What we saw.** It fell because it settled.", CONTROL),
        chapter("We said because, and it is a guess.", recap=("| a | b |",)),
        chapter("x = 1", recap=("```\nbecause\n```",)),
    ],
)  # fmt: skip
def test_a_good_chapter_gets_no_complaint(good: Chapter) -> None:
    assert told(good) == []


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (chapter(CONTROL, recap=(BECAUSE,)), "controls_are_listed: the recap shows no table"),
        (
            chapter(CONTROL, recap=(BECAUSE, "table = evidence.summary(rattling)")),
            "controls_are_listed: the recap shows no table",
        ),
        (
            chapter(CONTROL, LISTED, recap=(BECAUSE,)),
            "controls_are_listed: the recap shows no table",
        ),
        (
            chapter(CONTROL, CONTROL.replace("rattling", "batches")),
            "controls_are_listed: the control batches is not in the recap's",
        ),
        (
            chapter(CONTROL, recap=(BECAUSE, "evidence.summary(rattling, batches)")),
            "controls_are_listed: the summary lists batches, which no cell above assigns",
        ),
        (
            chapter(CONTROL, "batches = 1", recap=(BECAUSE, "evidence.summary(rattling, batches)")),
            "controls_are_listed: the summary lists batches, which no cell above assigns",
        ),
        (
            chapter(recap=("Text.", LISTED), after=(CONTROL,)),
            "controls_are_listed: the summary lists rattling, which no cell above assigns",
        ),
        (
            chapter(CONTROL, CONTROL),
            "controls_are_listed: the control rattling is one of several with this name",
        ),
        (
            chapter(CONTROL, CONTROL.partition("= ")[2]),
            "controls_are_listed: the control without a name in x-cell-3 cannot be listed",
        ),
        (
            chapter(CONTROL.replace("section 1", "section 2")),
            "controls_say_where: the control rattling stands in section 1 and says where='section 2'",
        ),
        (
            chapter(CONTROL.replace('"section 1"', "here")),
            "controls_say_where: the control rattling stands in section 1 and says where=here",
        ),
        (
            chapter(recap=(CONTROL, BECAUSE, LISTED)),
            "controls_say_where: the control rattling stands in 'Recap', not in a numbered section",
        ),
        (
            chapter(CONTROL.replace("gain > 1", "True")),
            "controls_can_fail: the control rattling: stands is not computed",
        ),
        (
            chapter(CONTROL.replace(", stands=gain > 1", "")),
            "controls_can_fail: the control rattling: stands is not computed",
        ),
        (
            chapter(CONTROL.replace("{gain}", "0.06")),
            "controls_can_fail: the control rattling: measured is not computed",
        ),
        (
            chapter(CONTROL, recap=("Because a,\n\n| because | b |", LISTED)),
            'because_has_a_control: the recap says "because" 2 times; 1 controls stood',
        ),
        (
            chapter(CONTROL.replace("stands", "refuted")),
            'because_has_a_control: the recap says "because" 1 times; 0 controls stood',
        ),
        (
            chapter("**What we saw.** It fell because it settled.", recap=("Text.",)),
            'because_has_a_control: x-cell-2 says "because", and the chapter has no control',
        ),
        (chapter(PREDICT, CONTROL), "predictions_are_answered: nothing answers the prediction in x-cell-2"),
        (
            chapter(PREDICT, PREDICT, ANSWER, CONTROL),
            "predictions_are_answered: nothing answers the prediction in x-cell-2",
        ),
        (
            chapter(ANSWER, PREDICT, CONTROL),
            "predictions_are_answered: nothing answers the prediction in x-cell-3",
        ),
        (
            chapter(CONTROL, PREDICT, recap=(ANSWER, BECAUSE, LISTED)),
            "predictions_are_answered: nothing answers the prediction in x-cell-3",
        ),
        (
            chapter(CONTROL, after=(PREDICT,)),
            "predictions_are_answered: nothing answers the prediction in x-cell-7",
        ),
        (
            chapter(PREDICT, f"said = {ANSWER}", CONTROL),
            "predictions_are_answered: nothing answers the prediction in x-cell-2",
        ),
        (
            chapter(PREDICT, f"{ANSWER}\nx = 1", CONTROL),
            "predictions_are_answered: nothing answers the prediction in x-cell-2",
        ),
        (
            chapter(PREDICT, 'evidence.answer("linear, by 0.06")', CONTROL),
            "predictions_are_answered: x-cell-3: the answer's number is not computed",
        ),
    ],
)  # fmt: skip
def test_a_broken_rule_is_reported(bad: Chapter, complaint: str) -> None:
    assert [line for line in told(bad) if line.startswith(complaint)], told(bad)


# --- the rules for stored runs ----------------------------------------------------------------------------------------


def test_a_file_that_no_experiment_declares_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "ch99_toys" / "reference"
    toy = experiment(folder)
    assert list(evidence_rules.files_are_declared([toy], [toy.path])) == []
    found = evidence_rules.files_are_declared([toy], [toy.path, folder / "old.jsonl"])
    assert list(found) == ["no experiment declares ch99_toys/reference/old.jsonl"]


def test_runs_that_are_missing_or_stale_are_named(tmp_path: Path) -> None:
    toy = experiment(tmp_path)
    lines = [json.dumps(make_point(toy, settings, seed)) + "\n" for settings, seed in toy.jobs]

    def found(lines: list[str], *not_remade: int) -> list[str]:
        toy.path.write_text("".join(lines), encoding="utf-8")
        return list(evidence_rules.runs_are_complete([toy], not_remade))

    assert found(lines) == []
    assert found([]) == ["99 toy is empty: 18 of 18 points are to be made"] and found([], 99) == []
    assert found(lines[1:]) == found(lines[1:], 99) == ["99 toy is incomplete: 1 of 18 points are to be made"]
    old = [line.replace(toy.code, "0" * 12) for line in lines[:2]] + lines[2:]
    assert found(old) == found(old, 99) == ["99 toy is stale: 2 of 18 points are to be made"]


def test_designs_with_few_seeds_or_tries_are_named(tmp_path: Path) -> None:
    rates = [0.01, 0.02, 0.04, 0.08]
    good = dataclasses.replace(
        experiment(tmp_path, seeds=(0, 1, 2, 3)), grid=product(arm=["a", "b"], lr=rates)
    )
    assert list(evidence_rules.designs_can_show_something([good])) == []
    few = dataclasses.replace(good, seeds=(0, 1, 2))
    assert list(evidence_rules.designs_can_show_something([few])) == [
        "99 toy has 3 seeds; at least 4 are needed"
    ]
    unequal = dataclasses.replace(good, grid=good.grid[1:])
    assert list(evidence_rules.designs_can_show_something([unequal])) == [
        "99 toy tries 3 values of lr for ['a']; at least 4 are needed"
    ]


def of_two_scales(*, seed: int, lr: float, arm: str, steps: int) -> dict[str, float]:
    return run(seed=seed, lr=lr, arm=arm, steps=choose(small=steps, large=9 * steps))


def test_a_run_that_asks_for_the_scale_is_named(tmp_path: Path) -> None:
    toy = experiment(tmp_path)
    assert list(evidence_rules.runs_have_one_scale([toy])) == []
    found = evidence_rules.runs_have_one_scale([dataclasses.replace(toy, run=of_two_scales)])
    assert "99 toy uses course_lib.lab.scale.choose: write its sizes as settings" in list(found)


def test_a_chapter_with_stored_runs_makes_one_again(tmp_path: Path) -> None:
    toys = [experiment(tmp_path)]
    without = chapter("x = toy.load()")
    assert list(evidence_rules.chapter_makes_a_run_again(without, [])) == []
    assert "with Experiment.rerun(...)" in "".join(evidence_rules.chapter_makes_a_run_again(without, toys))
    part = Chapter(Path("07b_title.ipynb"), without.notebook)
    assert list(evidence_rules.chapter_makes_a_run_again(part, toys)) == []
    assert list(evidence_rules.chapter_makes_a_run_again(chapter("x = toy.rerun(0, lr=1)"), toys)) == []
