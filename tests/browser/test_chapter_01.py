"""Chapters 1 and 1b as a reader uses them: Run All without an error, then each of their interactive pieces."""

import re
import statistics

import numpy as np
import pytest
from playwright.sync_api import Locator, expect

from tests.browser.jupyterlab_page import Lab, box, describe

pytestmark = pytest.mark.browser


def faces(view: Locator, tokenizer: str) -> Locator:
    """The tokens that a token view shows in the row of ``tokenizer``."""
    row = view.locator(".ct-row", has=view.page.get_by_text(tokenizer, exact=True))
    return row.locator(".ct-face")


def test_chapter_01_runs_and_its_three_pieces_answer(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.open("01_tokenizer.ipynb")
    assert lab.run_all() == []
    page = lab.page

    four_cuts, subwords = page.locator(".course-tokens").all()
    four_cuts.scroll_into_view_if_needed()
    expect(faces(four_cuts, "deepseek")).to_have_text(["跟我", "学习", "语文"])
    four_cuts.get_by_role("button", name="跟我来").click()
    expect(faces(four_cuts, "deepseek")).to_have_text(["跟我", "来"])
    expect(faces(four_cuts, "o200k_base")).to_have_text(["跟", "我", "来"])
    four_cuts.get_by_label("Text to tokenize").fill("跟我来 <script>")
    expect(faces(four_cuts, "deepseek")).to_have_text(["跟我", "来", " <", "script", ">"])
    assert page.locator(".course-tokens script").count() == 0
    lab.pixels(four_cuts, "tokens")
    of_first = four_cuts.locator(".ct-token").first
    expect(of_first.locator(".ct-hex")).to_be_hidden()
    four_cuts.get_by_role("button", name="bytes", exact=True).click()
    expect(of_first.locator(".ct-hex")).to_be_visible()
    expect(of_first.locator(".ct-id")).to_be_hidden()
    lab.pixels(four_cuts, "tokens_bytes")

    subwords.scroll_into_view_if_needed()
    subwords.get_by_label("Text to tokenize").fill(" understandingly")
    expect(faces(subwords, "Unigram")).to_have_text([" understand", "ing", "ly"])
    expect(faces(subwords, "BPE")).to_have_text([" understand", "ingly"])
    lab.pixels(subwords, "subwords")

    picture = page.locator("img.course-picture").first
    picture.scroll_into_view_if_needed()
    place = box(picture)
    cell = picture.locator("xpath=ancestor::div[contains(@class, 'jp-Cell ')]")
    handles = cell.locator(".noUi-handle")
    assert handles.count() == 2
    latencies = [
        lab.press_for_picture(handles.nth(number), "img.course-picture", key)
        for number in (0, 1)
        for key in ("ArrowRight", "ArrowRight", "ArrowLeft")
    ]
    corpus, tokenizer = cell.locator("select").all()
    for control, entry, says in (
        (corpus, "Python code", "on Python code"),
        (tokenizer, "ours, Chinese", "ours, Chinese with"),
        (cell.get_by_role("checkbox"), "", "with tied embeddings"),
    ):
        before = lab.pixels(picture)
        if entry:
            control.select_option(entry)
        else:
            control.check()
        expect(picture).to_have_attribute("title", re.compile(says))
        assert np.any(before != lab.pixels(picture)), says
    assert box(picture) == place
    lab.pixels(cell, "explorer_cell")
    with capsys.disabled():
        print(f"\nchapter 1, compression explorer: {describe(latencies)}")
    assert statistics.median(latencies) > 0
    lab.close()


def test_chapter_01b_runs_and_its_stepper_answers(lab: Lab) -> None:
    lab.open("01b_bpe_engine.ipynb")
    assert lab.run_all() == []
    page = lab.page

    stepper = page.locator(".course-stepper").first
    stepper.scroll_into_view_if_needed()
    newest = stepper.locator(".ms-row").nth(2).locator(".ms-word .ms-token")
    assert newest.all_text_contents() == list("newest")
    stepper.get_by_label("Next step").click()
    assert newest.all_text_contents() == [*"newe", "st"]
    slider = stepper.get_by_label("Merges done")
    before = lab.pixels(stepper)
    slider.fill("5")
    assert stepper.locator(".ms-merge").count() == 5 and np.any(before != lab.pixels(stepper))
    stepper.get_by_role("button", name="Encoding", exact=True).click()
    page.keyboard.press("End")
    assert stepper.get_by_text("llo", exact=True).first.is_visible()
    lab.pixels(stepper, "stepper")
    lab.close()
