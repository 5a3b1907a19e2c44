"""Plans add up, and the workshop's folder works from a memory stick."""

import re

import pytest
from bs4 import BeautifulSoup

from lightm.errors import LightMError
from lightm_book.builders import teaching, workshop
from lightm_book.builders.build_notebooks import NOTEBOOKS


@pytest.fixture(scope="module")
def chapters():
    return teaching.load_chapters(NOTEBOOKS)


def test_every_chapter_of_the_contents_has_a_purpose_a_quiz_a_prompt_and_wrong_answers(chapters):
    assert sorted(teaching.reading_order()) == sorted(chapters)
    for number, chapter in chapters.items():
        about = chapter.about
        assert about["purpose"] and about["prompt"]["expect"] and about["wrong"], number
        assert all(question["right"] not in question["wrong"] for question in about["quiz"]) and about["quiz"], number


def test_the_contents_list_no_chapter_before_one_that_it_needs(chapters):
    order = teaching.reading_order()
    for number in order:
        assert all(order.index(needed) < order.index(number) for needed in chapters[number].about["needs"]), number


def test_what_a_chapter_says_it_needs_is_in_the_table(chapters):
    for number, chapter in chapters.items():
        first = " ".join(cell.source for cell in chapter.sections[0].cells)
        line = re.search(r"You need: (.*?)\.\s", first, re.DOTALL)
        named = {int(n) for n in re.findall(r"`(\d\d)_", line[1])} if line else set()
        assert named <= set(chapter.about["needs"]), number


def test_each_session_is_long_enough_for_reading_and_machine_and_the_minutes_add_up(chapters):
    for plan in teaching.load_teaching()["plan"]:
        rows = teaching.timetable(plan, chapters)
        assert rows[-1].start + rows[-1].minutes == plan["minutes"]
        assert any(row.reading > 5 for row in rows)


def test_a_plan_that_does_not_fit_is_refused(chapters):
    session = {"title": "All", "minutes": 1, "read": [1]}
    with pytest.raises(LightMError, match="has 1 minutes and needs"):
        teaching.timetable({"name": "Rush", "session": [session]}, chapters)
    with pytest.raises(LightMError, match=r"skips \['Nowhere'\]"):
        teaching.timetable({"name": "Rush", "session": [session | {"skip": ["Nowhere"]}]}, chapters)


def test_a_slide_has_the_sections_heading_and_its_prose_in_the_notes(chapters):
    page = BeautifulSoup(workshop.slides(chapters[1]), "html.parser")
    slides = page.select("section.slide")
    assert len(slides) == len(chapters[1].sections) + 1  # a title and a discussion, no exercises
    assert all(slide.select_one("aside.notes") for slide in slides) and page.select("img[alt]")
    assert "{doc}" not in page.get_text() and "```" not in page.get_text()


def test_a_quiz_question_has_one_right_answer(chapters):
    page = BeautifulSoup(workshop.quiz(chapters), "html.parser")
    for question in page.select("fieldset"):
        assert len(question.select("input[value=yes]")) == 1 and question["data-why"]


def test_the_folder_asks_no_other_host_and_every_link_of_it_leads_somewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(workshop, "BUILD", tmp_path)
    folder = workshop.build_workshop(committed=True)
    assert not workshop.problems(folder)
    names = {path.name for path in folder.iterdir()}
    assert {"index.html", "script.html", "handout.html", "cheat_sheet.html", "quiz.html", "discussion.html"} <= names
    (folder / "quiz.html").write_text('<img src="https://example.org/a.png"><a href="gone.html">x</a>', "utf-8")
    assert len(workshop.problems(folder)) == 2


def test_without_executed_chapters_one_sentence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(workshop, "BUILD", tmp_path)
    with pytest.raises(LightMError, match="make book"):
        workshop.build_workshop()
