"""The built book as one PDF: Chromium prints each page, then they are joined, numbered, and linked to each other.

    lightm-book pdf      _build/html/lightm.pdf, of the pages in _build/html

A title page and contents with page numbers come first; the PDF's outline has the same entries.
"""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, NameObject, NullObject

from lightm import __version__
from lightm.errors import LightMError
from lightm.files import whole_file
from lightm_book import ROOT

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
NAME = "lightm.pdf"
SHEET = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>
@page {{ size: A4; margin: 18mm; }}
body {{ font: 11pt/1.6 "DejaVu Serif", Georgia, serif; margin: 0; }}
h1 {{ font-size: 32pt; margin: 80mm 0 5mm; }}
h2 {{ break-before: page; }}
table {{ width: 100%; border-collapse: collapse; }}
th {{ text-align: left; padding-top: 3mm; }}
td:last-child {{ text-align: right; }}
.number {{ break-after: page; height: 260mm; position: relative; }}
.number span {{ position: absolute; bottom: 0; width: 100%; text-align: center; font-size: 9pt; }}
</style>{body}</html>"""


@dataclass(frozen=True)
class Printed:
    """A page of the book: its file, title and part, and its pages of the PDF."""

    file: str
    title: str
    part: str
    pages: PdfReader


def build_pdf(html: Path, files: list[str] | None = None) -> Path:
    """Write lightm.pdf beside the pages and return its path. files: some of the table of contents, for a test.

    LightMError where Chromium or a page is missing.
    """
    html, browser = html.resolve(), next(filter(None, map(shutil.which, CHROMIUM)), None)
    if browser is None:
        raise LightMError("The PDF is printed by Chromium, which is not here: install chromium.")
    with tempfile.TemporaryDirectory() as folder:
        printed = []
        for part, file in contents():
            if files is None or file in files:
                source = html / f"{file}.html"
                if not source.exists():
                    raise LightMError(f"{source} is not there: build the book first (make book).")
                title = BeautifulSoup(source.read_text("utf-8"), "html.parser").select_one("article h1").get_text()
                printed.append(Printed(file, title.strip("# \n"), part, print_page(browser, source, Path(folder))))
                print(f"  {file}: {len(printed[-1].pages.pages)} pages", flush=True)
        front, starts = _front(printed, browser, Path(folder))
        total = len(front.pages) + sum(len(each.pages.pages) for each in printed)
        numbers = "".join(f'<div class="number"><span>{n or ""}</span></div>' for n in range(total))
        stamps = print_text(browser, numbers, Path(folder))
        with whole_file(html / NAME) as path:
            _join(front, printed, starts, stamps, html).write(path)
    _link_from_the_front_page(html)
    return html / NAME


def _link_from_the_front_page(html: Path) -> None:
    page = html / "book" / "intro.html"
    link = f'<p id="whole-book"><a href="../{NAME}">The whole book as one PDF</a>.</p>'
    text = re.sub(r'<p id="whole-book">.*?</p>', link, page.read_text(encoding="utf-8"))
    page.write_text(text, encoding="utf-8")


def contents() -> list[tuple[str, str]]:
    """(part, file) of every page, in the order of _toc.yml."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [("", toc["root"]), *((part["caption"], c["file"]) for part in toc["parts"] for c in part["chapters"])]


def print_page(browser: str, source: Path, folder: Path) -> PdfReader:
    """Chromium's print of one local file, with its scripts run (formulas) and no network."""
    out = folder / f"{source.stem}.pdf"
    flags = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --no-pdf-header-footer"
    command = [browser, *flags.split(), "--virtual-time-budget=30000", f"--user-data-dir={folder / 'profile'}"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--print-to-pdf={out}", source.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if not out.exists():
        raise LightMError(f"Chromium could not print {source.name}: {done.stderr.strip()[-300:]}")
    return PdfReader(out)


def print_text(browser: str, body: str, folder: Path) -> PdfReader:
    with tempfile.NamedTemporaryFile("w", suffix=".html", dir=folder, delete=False, encoding="utf-8") as file:
        file.write(SHEET.format(title="LightM-UNet, line by line", body=body))
    return print_page(browser, Path(file.name), folder)


def _front(printed: list[Printed], browser: str, folder: Path) -> tuple[PdfReader, dict[str, int]]:
    """Title page and contents, and the page that each file starts on; printed twice, for its own length counts."""
    length = 2
    for _ in range(3):
        starts, at, rows, part = {}, length, "", ""
        for each in printed:
            starts[each.file] = at
            if each.part != part:
                part, rows = each.part, rows + f'<tr><th colspan="2">{escape(each.part)}</th></tr>'
            rows += f"<tr><td>{escape(each.title)}</td><td>{at}</td></tr>"
            at += len(each.pages.pages)
        body = f"<h1>LightM-UNet, line by line</h1><p>The lightm authors. Version {__version__}.</p>"
        front = print_text(browser, f"{body}<h2>Contents</h2><table>{rows}</table>", folder)
        if len(front.pages) == length:
            return front, starts
        length = len(front.pages)
    raise LightMError("The contents of the PDF found no stable length; report this.")


def _join(front: PdfReader, printed: list[Printed], starts: dict[str, int], stamps: PdfReader, html: Path) -> PdfWriter:
    writer = PdfWriter()
    writer.append(front, import_outline=False)
    for each in printed:
        writer.append(each.pages, import_outline=False)
    writer.add_metadata({"/Title": "LightM-UNet, line by line", "/Author": "The lightm authors"})
    parents: dict[str, object] = {}
    for each in printed:
        if each.part and each.part not in parents:
            parents[each.part] = writer.add_outline_item(title=each.part, page_number=starts[each.file])
        writer.add_outline_item(title=each.title, page_number=starts[each.file], parent=parents.get(each.part))
    for page, stamp in zip(writer.pages, stamps.pages, strict=False):
        page.merge_page(stamp)
        for annotation in page.get("/Annots", None) or []:
            _link_inside(annotation.get_object(), starts, writer, html)
    writer.compress_identical_objects()
    return writer


def _link_inside(link, starts: dict[str, int], writer: PdfWriter, html: Path) -> None:
    """A link to another page of the book becomes one to its place in the PDF."""
    target = urlsplit(str(link.get("/A", {}).get("/URI", "")))
    path = Path(unquote(target.path))
    if target.scheme != "file" or not path.is_relative_to(html):
        return
    file = path.relative_to(html).with_suffix("").as_posix()
    if file in starts:
        del link[NameObject("/A")]
        place = [writer.pages[starts[file]].indirect_reference, NameObject("/XYZ"), *[NullObject()] * 3]
        link[NameObject("/Dest")] = ArrayObject(place)
