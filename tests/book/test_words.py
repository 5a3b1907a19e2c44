"""Phrases that the book's prose does without; codespell (make lint) looks after the spelling."""

import re

import pytest

from lightm_book import ROOT

# What is looked for, as a regular expression, and what to write instead.
FORBIDDEN = {
    r"\butili[sz]e": "use",
    r"\bin order to\b": "to",
    r"\bit should be noted\b": "say it",
    r"\bneedless to say\b": "leave it out",
    r"\bobviously\b": "leave it out, or say why",
    r"\bof course\b": "leave it out",
    r"\bvery unique\b": "unique",
    r"\bcan not\b": "cannot, or can't",
    r"\ballows to\b": "lets you, or makes it possible to",
    r"\bhow it looks like\b": "what it looks like",
    r"\binformations\b": "information",
    r"\b(?:seconds|minutes|iterations) (?:a|an) (?:row|epoch|image|case|step)\b": "per",
}
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "book").glob("*.md"))]
WRITTEN_BY_A_PROGRAM = {"scorecard.md"}  # it quotes the paper


@pytest.mark.parametrize("path", [p for p in PAGES if p.name not in WRITTEN_BY_A_PROGRAM], ids=lambda p: p.name)
def test_prose_has_none_of_the_forbidden_phrases(path):
    text = " ".join(line.lstrip("> ") for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != ">")
    found = {phrase: better for phrase, better in FORBIDDEN.items() if re.search(phrase, text, re.IGNORECASE)}
    assert not found


def test_a_forbidden_phrase_would_be_found():
    assert re.search(next(reversed(FORBIDDEN)), "it takes 3 seconds an epoch here")
