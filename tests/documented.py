"""The commands that the pages show, as a reader would type them."""

import re
import shlex

from lightm_book import ROOT

PAGES = ["README.md", "CONTRIBUTING.md", *(f"book/{path.name}" for path in sorted((ROOT / "book").glob("*.md")))]
PROGRAMS = ("lightm", "lightm-book", "papermill", "accelerate", "pytest")


def commands(*pages: str) -> list[str]:
    """Each command line in the shell blocks of these pages that calls one of PROGRAMS, without its comment, once."""
    found = {}
    for page in pages:
        text = (ROOT / page).read_text(encoding="utf-8")
        if page.endswith(".py"):  # a chapter: its text is comments
            text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
        for block in re.findall(r"^```(?:sh|bash)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words and words[0] in PROGRAMS:
                    found[shlex.join(words)] = None
    return list(found)
