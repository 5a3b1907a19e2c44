"""A Sphinx extension: mends, in the finished pages, what the theme leaves in the way of screen readers and phones.

`mend` is text to text, and mending twice changes nothing. What it mends was found with axe-core (tests/book/builders).
"""

import re
from html import escape, unescape
from pathlib import Path

SIGNATURE = re.compile(r"<dl>\s*((?:<dd>.*?</dd>\s*)+)</dl>", re.DOTALL)
SHORTCUT, SCROLLS = '<span class="search-button__kbd-shortcut"', '<div class="pst-scrollable-table-container"'
TABLE = re.compile(r'<table class="[^"]*\b(?:scorecard|cards)\b.*?</table>', re.DOTALL)


def mend(html: str) -> str:
    """A page as it should be."""
    # The shortcut is no part of the button's name.
    html = html.replace(f"{SHORTCUT}>", f'{SHORTCUT} aria-hidden="true">')
    # A folded cell is called what is written on it.
    html = html.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    # Sphinx makes a definition list without terms of a signature on several lines.
    html = SIGNATURE.sub(_parameters, html)
    # Its list of references is to be read as one text, and has links between its items.
    html = html.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    html = html.replace(' role="doc-biblioentry"', "")
    # What scrolls by itself can be reached with the keyboard.
    html = html.replace(f"{SCROLLS}>", f'{SCROLLS} tabindex="0">')
    # On a phone the cells of these tables stand under each other, each with the name of its column.
    return TABLE.sub(lambda found: _with_labels(found[0]), html)


def _parameters(found: re.Match) -> str:
    lines = re.sub(r"<dd>(.*?)</dd>", r'<span class="sig-line">\1</span>', found[1], flags=re.DOTALL)
    return f'<span class="sig-lines">{lines}</span>'


def _with_labels(table: str) -> str:
    if "data-label=" in table:
        return table
    heads = [unescape(re.sub(r"<[^>]+>", "", head)).strip() for head in re.findall(r"<th\b.*?</th>", table, re.DOTALL)]

    def row(found: re.Match) -> str:
        names = iter(heads)
        return re.sub(r"<td\b", lambda _: f'<td data-label="{escape(next(names, ""))}"', found[0])

    return re.sub(r"<tr\b.*?</tr>", row, table, flags=re.DOTALL)


def mend_all(app, exception):
    if exception or app.builder.format != "html":
        return
    for folder in ("book", "notebooks"):
        for path in Path(app.outdir, folder).glob("*.html"):
            text = path.read_text(encoding="utf-8")
            if (mended := mend(text)) != text:
                path.write_text(mended, encoding="utf-8")


def setup(app):
    app.connect("build-finished", mend_all)
    return {"parallel_read_safe": True}
