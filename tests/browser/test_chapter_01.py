"""Chapters 1 and 1b as a reader uses them: Run All without an error, then each of their interactive pieces."""

import statistics

import numpy as np
import pytest

from tests.browser.jupyterlab_page import Lab, box, describe

pytestmark = pytest.mark.browser


def test_chapter_01_runs_and_its_two_pieces_answer(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.open("01_tokenizer.ipynb")
    assert lab.run_all() == []
    page = lab.page

    view = page.locator(".course-tokens").first
    view.scroll_into_view_if_needed()
    typed = view.get_by_label("Text to tokenize")
    typed.fill("跟我来 <script>")
    view.locator(".ct-row", has_text="deepseek").get_by_text("跟我", exact=True).wait_for()
    by_name = {
        row.locator("b").inner_text(): row.locator(".ct-face").all_text_contents()
        for row in view.locator(".ct-row").all()
    }
    assert by_name["deepseek"][:2] == ["跟我", "来"]
    assert by_name["o200k_base"][:3] == ["跟", "我", "来"]
    assert page.locator(".course-tokens script").count() == 0
    lab.pixels(view, "tokens")

    picture = page.locator("img.course-picture").first
    picture.scroll_into_view_if_needed()
    before, place = lab.pixels(picture, "explorer_before"), box(picture)
    cell = picture.locator("xpath=ancestor::div[contains(@class, 'jp-Cell ')]")
    handles = cell.locator(".noUi-handle")
    assert handles.count() == 2
    latencies = [
        lab.press_for_picture(handles.nth(number), "img.course-picture", key)
        for number in (0, 1)
        for key in ("ArrowRight", "ArrowRight", "ArrowLeft")
    ]
    shown = picture.get_attribute("src")
    cell.locator("select").first.select_option("Python code")
    page.wait_for_function(
        "([image, old]) => image.src !== old && image.complete", arg=[picture.element_handle(), shown]
    )
    assert "on Python code" in str(picture.get_attribute("title"))
    assert box(picture) == place
    assert np.any(before != lab.pixels(picture, "explorer_after"))
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
    stepper.get_by_role("button", name="Encoding", exact=True).click()
    page.keyboard.press("End")
    assert stepper.get_by_text("llo", exact=True).first.is_visible()
    lab.pixels(stepper, "stepper")
    lab.close()
