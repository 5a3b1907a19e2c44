"""The README says what is true."""

import re

from lightm.training.record import list_records
from lightm_book import ROOT
from lightm_book.builders.build_facts import result_sentence

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_headline_is_the_sentence_that_the_record_of_the_largest_images_gives():
    shown = re.search(r"<!-- headline -->\n(.*?)<!-- /headline -->", README, re.DOTALL)[1]
    assert " ".join(shown.split()) == result_sentence(list_records(ROOT / "results" / "runs"))


def test_python_examples_run():
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block, names)
    assert names["logits"].shape == (1, 2, 256, 256)


def test_files_that_it_links_to_are_there():
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / link).exists(), link
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), target
