"""The comparison of tokenizers runs every job, notices other results, and README has what was measured."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
TESTED = ("course_lib", "tiktoken", "tokenizers")
TEXT = "It was a truth, universally acknowledged. 跟我学习语文！ it's 12345\n\n"


@pytest.fixture(scope="module")
def modules() -> Iterator[SimpleNamespace]:
    """The scripts of benchmarks/, which import each other by their bare names."""
    names = ("texts", "peers", "worker", "report", "speed")
    sys.path.insert(0, str(BENCHMARKS))
    yield SimpleNamespace(**{name: importlib.import_module(f"tokenizer_{name}") for name in names})
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def folder(modules: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of three documents, short strings of it, and the files of GPT-2's vocabulary."""
    folder = tmp_path_factory.mktemp("speed")
    modules.texts.write_vocabulary("gpt2", folder)
    corpus = folder / "corpus.txt"
    corpus.write_bytes("<|endoftext|>".join([TEXT * 20, "", TEXT.upper() * 20, "x = [1, 2]\n"]).encode())
    modules.texts.write_short_strings(corpus, folder / "strings", 10)
    return folder


def measured(modules: SimpleNamespace, folder: Path, job: str, name: str, form: str = "") -> dict[str, Any]:
    path = folder / ("strings" if job == "short" else "corpus.txt")
    task = modules.worker.Task(job, "x", str(path), "300" if job == "train" else "gpt2", form=form)
    [peer] = [peer for peer in task.peers([name]) if peer.name == name]
    found: dict[str, Any] = modules.worker.measure(task, peer, folder)
    return found


CASES = [
    *(("encode", "", name) for name in TESTED),
    *(("batch", "", name) for name in TESTED),
    ("file", "", "course_lib"),
    *(("short", "list", name) for name in TESTED),
    *(("short", "NumPy", name) for name in ("course_lib", "tiktoken")),
]


@pytest.mark.parametrize(("job", "form", "name"), CASES)
def test_each_package_gives_the_ids_that_are_expected(
    modules: SimpleNamespace, folder: Path, job: str, form: str, name: str
) -> None:
    found = measured(modules, folder, job, name, form)
    kind = {"encode": peer(modules, name).form, "short": "short"}.get(job, "documents")
    path = str(folder / ("strings" if job == "short" else "corpus.txt"))
    assert found["digests"] == [modules.speed.expected_digest(path, kind, "gpt2", folder)]
    assert len(found["cpu"]) == len(found["wall"]) >= 2 and found["peak_mb"] > 1


def test_training_reports_the_tokens_that_were_learned(modules: SimpleNamespace, folder: Path) -> None:
    ours, other = (
        measured(modules, folder, "train", name)["tokens"] for name in ("course_lib", "tokenizers")
    )
    assert len(ours) == len(other) == 300 - 257
    assert all(bytes.fromhex(token).decode(errors="ignore").lower() in TEXT.lower() for token in ours)
    assert set(ours) & set(other)


def peer(modules: SimpleNamespace, name: str) -> Any:
    return next(peer for peer in modules.peers.PEERS if peer.name == name)


def test_other_ids_and_tokens_are_noticed(modules: SimpleNamespace, folder: Path) -> None:
    corpus = str(folder / "corpus.txt")
    task = modules.worker.Task("encode", "x", corpus, "gpt2")
    right = modules.speed.expected_digest(corpus, "text", "gpt2", folder)
    turns = [{"tiktoken": {"digests": [right]}}, {"tiktoken": {"digests": ["other", right]}}]
    judged = modules.speed.agreement
    assert judged(task, peer(modules, "tiktoken"), turns[:1], folder) == {"same": True}
    assert judged(task, peer(modules, "tiktoken"), turns, folder) == {"same": False}
    train = modules.worker.Task("train", "x", corpus, "300")
    turn = {"course_lib": {"tokens": ["a", "b", "c"]}, "tokenizers": {"tokens": ["b", "a", "d", "e"]}}
    assert judged(train, peer(modules, "tokenizers"), [turn], folder) == {"same": False, "shared": 0.5}


def test_ratios_come_from_the_same_turn_and_count_the_text(modules: SimpleNamespace) -> None:
    turns = [
        {"course_lib": {"cpu": [ours, ours]}, "x": {"cpu": [theirs, theirs]}}
        for ours, theirs in [(1.0, 2.0), (10.0, 20.0), (100.0, 500.0)]
    ]
    found = modules.speed.timing(turns, "x", "cpu", 0.5)
    assert found == {"first_s": 20, "first_ratio": 4, "again_s": 20, "again_ratio": 4}


@pytest.mark.parametrize(
    "result",
    [
        np.array([1, 2, 3], np.uint16),
        np.array([1, 2, 3], np.uint32).tobytes(),
        (np.array([1, 2, 3], np.uint32).tobytes(), b"offsets"),
        {"data": np.array([1, 2, 3], np.uint32)},
        [1, 2, 3],
        [[1], [], [2, 3]],
        [SimpleNamespace(ids=[1, 2]), SimpleNamespace(ids=[3])],
    ],
    ids=lambda result: type(result).__name__,
)
def test_ids_are_taken_out_of_every_container(modules: SimpleNamespace, result: Any) -> None:
    ids = modules.peers.ids_of(result)
    assert ids.tolist() == [1, 2, 3] and ids.dtype == np.uint32


def test_texts_have_no_empty_documents_and_the_size_that_was_asked_for(
    modules: SimpleNamespace, tmp_path: Path
) -> None:
    paths = modules.texts.write_texts(tmp_path, 0.03)
    assert list(paths) == ["English", "Chinese", "stories", "code"]
    for name, path in paths.items():
        corpus = modules.texts.Corpus(path)
        assert corpus.megabytes == pytest.approx(0.12 if name == "stories" else 0.03, rel=0.01)
        assert all(corpus.documents) and modules.texts.SEPARATOR not in corpus.text
        eighth = modules.texts.Corpus(modules.texts.head(path, 0.125))
        assert corpus.text.startswith(eighth.text) and len(eighth.text) < len(corpus.text) / 7


def test_one_command_measures_and_writes_what_readme_is_made_of(
    modules: SimpleNamespace, tmp_path: Path
) -> None:
    out = tmp_path / "results.json"
    command = [sys.executable, str(BENCHMARKS / "tokenizer_speed.py"), "--quick", "--job", "short"]
    done = subprocess.run(
        [*command, "--package", "tiktoken", "--out", str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert [(row["job"], row["package"], row["same"]) for row in found["rows"]] == [
        (f"short, {form}", name, True) for form in ("list", "NumPy") for name in ("course_lib", "tiktoken")
    ]
    assert "microseconds" in modules.report.section(found)


def test_readme_and_its_picture_are_what_the_results_give(modules: SimpleNamespace, tmp_path: Path) -> None:
    report: ModuleType = modules.report
    readme, picture = tmp_path / "README.md", tmp_path / "picture.svg"
    readme.write_text(report.README.read_text(encoding="utf-8"), encoding="utf-8")
    report.write(report.RESULTS, readme, picture)
    advice = "run: python benchmarks/tokenizer_speed.py --readme"
    assert readme.read_text(encoding="utf-8") == report.README.read_text(encoding="utf-8"), advice
    for path in (picture, report.PICTURE):
        assert report.fingerprint(report.RESULTS) in path.read_text(encoding="utf-8"), advice
    assert report.PICTURE.stat().st_size < 200_000


def test_a_page_without_its_marks_is_refused(modules: SimpleNamespace, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match=r"page\.md must have one section between"):
        modules.report.write(modules.report.RESULTS, page, tmp_path / "picture.svg")
    assert page.read_text() == "nothing" and not (tmp_path / "picture.svg").exists()


def test_packages_that_are_left_out_have_a_reason(modules: SimpleNamespace) -> None:
    names = [peer.name for peer in modules.peers.PEERS]
    assert names[0] == "course_lib" and len(set(names)) == len(names)
    assert all(len(reason) > 20 for reason in modules.peers.LEFT_OUT.values())
