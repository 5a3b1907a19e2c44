"""The commands that the pages show, as a reader would type them."""

import re
import shlex

from lightm_book import ROOT

PAGES = ["README.md", "CONTRIBUTING.md", *(f"book/{path.name}" for path in sorted((ROOT / "book").glob("*.md")))]
PROGRAMS = ("lightm", "lightm-book", "papermill", "torchrun", "pytest")


def commands(*pages: str, mentions: bool = False) -> list[str]:
    """Each command line in the shell blocks of these pages that calls one of PROGRAMS, without its comment, once.

    mentions: instead, what their text has between backticks, such as `lightm info`.
    """
    found = {}
    for page in pages:
        text = (ROOT / page).read_text(encoding="utf-8")
        if page.endswith(".py"):  # a chapter: its text is comments
            text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
        blocks = r"`((?:lightm|lightm-book) [^`…]+)`" if mentions else r"^```(?:sh|bash)\n(.*?)^```"
        for block in re.findall(blocks, text, re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words and words[0] in PROGRAMS:
                    found[shlex.join(words)] = None
    return list(found)
