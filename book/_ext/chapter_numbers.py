"""A Sphinx extension: a chapter keeps the number of its notebook, 09_counting is 9, wherever the contents list it.

So "chapter 9" and "Table 9.3" stay true when a chapter moves to another part. Other pages have no number.
"""

import re

from sphinx import addnodes
from sphinx_external_toc.collectors import TocTreeCollectorWithStyles as Collector


def number_of(docname: str) -> int | None:
    """The number in the name of a chapter's notebook, or None."""
    found = re.match(r"notebooks/(\d+)_", docname)
    return int(found[1]) if found else None


count = Collector.assign_section_numbers


def assign_section_numbers(self, env):
    """The collector's own numbers, with the first of each replaced: in sections, titles and the table of contents."""
    before = env.toc_secnumbers
    count(self, env)
    for docname, numbers in env.toc_secnumbers.items():
        chapter = number_of(docname)
        for anchor, number in numbers.items():
            numbers[anchor] = (chapter, *number[1:]) if number and chapter else None
        nodes = [env.titles[docname]]
        nodes += [line[0] for line in env.tocs[docname].findall(addnodes.compact_paragraph)]
        for node in nodes:
            number = numbers.get(node.get("anchorname", ""))
            node["secnumber"] = list(number) if number else None
            if not number:
                del node["secnumber"]
    return [docname for docname, numbers in env.toc_secnumbers.items() if numbers != before.get(docname)]


def setup(app):
    Collector.assign_section_numbers = assign_section_numbers
    return {"parallel_read_safe": True}
