"""The book as its reader gets it."""

import re
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml

from lightm_book import ROOT
from lightm_book.builders.build_notebooks import strip_ansi
from lightm_book.show.figures import frames_slider

# What a browser fetches by itself when it shows a page; <a href> is followed by the reader only.
FETCHED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "embed": "src",
    "object": "data",
}
FETCHED_LINKS = {"stylesheet", "preload", "prefetch", "preconnect", "dns-prefetch", "icon", "modulepreload"}


def toc_files() -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


def test_every_page_of_the_table_of_contents_is_there(pages):
    assert set(pages) == set(toc_files())


def test_no_page_shows_an_error_or_a_warning(pages):
    for name, page in pages.items():
        for cell in page.select(".cell_output"):
            assert "Traceback (most recent call last)" not in cell.get_text(), name
        assert not page.select(".output.traceback, .output.stderr, .system-message, .problematic"), name


def test_every_page_has_one_title_and_its_language(pages):
    for name, page in pages.items():
        assert page.html["lang"] == "en", name
        assert len(page.select("article h1")) == 1, name


def test_no_page_loads_anything_from_another_host(book, pages):
    for name, page in pages.items():
        wanted = [tag.get(attribute) or "" for kind, attribute in FETCHED.items() for tag in page.find_all(kind)]
        wanted += [tag.get("href", "") for tag in page.find_all("link") if FETCHED_LINKS & set(tag.get("rel", []))]
        wanted += [url for style in page.find_all("style") for url in css_urls(style.get_text())]
        assert not [url for url in wanted if foreign(url)], name
    for sheet in book.glob("_static/**/*.css"):
        assert not [url for url in css_urls(sheet.read_text("utf-8", errors="replace")) if foreign(url)], sheet.name


def test_what_a_page_fetches_is_in_the_book(book, pages):
    for name, page in pages.items():
        for kind, attribute in FETCHED.items():
            for tag in page.find_all(kind):
                place = unquote(urlsplit(tag.get(attribute) or "").path)
                if place and not tag[attribute].startswith("data:"):
                    assert (book / name).parent.joinpath(place).exists(), (name, place)


def test_the_page_to_try_is_small_until_the_network_is_asked_for(book, pages):
    assert toc_files()[1] == "book/try_it", "second in the book"
    page = pages["book/try_it"]
    if not page.select("#try-it"):
        pytest.skip("this copy of the package comes without weights, and a copy of the committed pages trains none")
    assert not [tag for tag in page.find_all("script") if "weights.js" in (tag.get("src") or "")]
    own = [path for path in (book / "_static" / "try_it").iterdir() if path.name != "weights.js"]
    assert sum(path.stat().st_size for path in [book / "book" / "try_it.html", *own]) < 2e6


def test_what_cells_print_stands_on_the_pages_as_it_is_in_the_notebooks(chapters):
    for name, page in chapters.items():
        notebook = nbformat.read(ROOT / f"{name}.ipynb", as_version=4)
        shown = [output.get_text().rstrip("\n") for output in page.select(".cell_output .output.stream")]
        printed = [
            strip_ansi(output.text).rstrip("\n")
            for cell in notebook.cells
            if cell.cell_type == "code" and "remove-cell" not in cell.metadata.get("tags", [])
            for output in cell.outputs
            if output.output_type == "stream"
        ]
        assert shown == printed, name


def test_a_file_name_that_looks_like_a_host_is_no_link(chapters):
    for name, page in chapters.items():
        assert not page.select('a[href^="http://mamba.py"], a[href^="https://mamba.py"]'), name


def css_urls(css: str) -> list[str]:
    return [a or b for a, b in re.findall(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", css)]


def foreign(url: str) -> bool:
    return url.startswith("//") or urlsplit(url).scheme in ("http", "https", "ftp")


def test_every_picture_says_what_it_shows(pages):
    for name, page in pages.items():
        assert not [str(image)[:200] for image in page.find_all("img") if not image.get("alt", "").strip()], name


def test_every_chapter_has_a_slider_exercises_and_folded_solutions(chapters):
    assert chapters
    for name, page in chapters.items():
        sliders = page.select("figure.frames-slider")
        assert sliders, name
        for slider in sliders:
            steps = int(slider.select_one("input[type=range]")["max"]) + 1
            assert len(slider.find_all("img")) == steps > 1, name
        exercises, solutions = page.select("div.exercise"), page.select("div.solution")
        assert exercises and len(exercises) == len(solutions), name
        assert all("dropdown" in solution["class"] for solution in solutions), name


def test_every_internal_link_leads_somewhere(book, pages):
    ids: dict = {}
    for name, page in pages.items():
        here = book / f"{name}.html"
        for link in page.select("article a[href], nav a[href]"):
            url = urlsplit(link["href"])
            if url.scheme or url.netloc:
                continue
            target = (here.parent / unquote(url.path)).resolve() if url.path else here
            assert target.exists(), f"{name}: {link['href']}"
            if url.fragment and target.suffix == ".html":
                if target not in ids:
                    ids[target] = set(re.findall(r'\bid="([^"]+)"', target.read_text("utf-8")))
                assert unquote(url.fragment) in ids[target], f"{name}: {link['href']}"


def test_no_page_shows_the_source_of_a_formula(pages):
    for name, page in pages.items():
        for text in page.select_one("article").find_all(string=re.compile(r"\$[^$]*\\[a-zA-Z]|\\operatorname")):
            inside = {word for parent in text.parents for word in (parent.name, *(parent.get("class") or ()))}
            assert inside & {"math", "script", "pre", "code"}, f"{name}: {text.strip()[:80]}"


@pytest.mark.browser
def test_maths_is_rendered_without_a_network(book, pages, browse):
    with_maths = {name: len(page.select(".math")) for name, page in pages.items() if page.select(".math")}
    assert with_maths
    for name, formulas in with_maths.items():
        page, complaints = browse(book / f"{name}.html")
        assert len(page.select("mjx-container")) >= formulas, name
        assert not page.select("mjx-merror, [data-mjx-error]"), name
        assert "ERR_NAME_NOT_RESOLVED" not in complaints, name


@pytest.mark.browser
def test_moving_a_slider_shows_another_frame(tmp_path, browse):
    slider = frames_slider([bytes_of(0), bytes_of(255)], ["dark", "light"], "a square").html
    move = "const s=document.querySelector('input');s.value=1;s.dispatchEvent(new Event('input'));"
    (tmp_path / "page.html").write_text(f"<!doctype html><body>{slider}<script>{move}</script>", encoding="utf-8")
    page, _ = browse(tmp_path / "page.html")
    assert [image.has_attr("hidden") for image in page.find_all("img")] == [True, False]
    assert page.find("output").get_text() == "light"
    assert page.find("input")["aria-valuetext"] == "light"


def bytes_of(value: int):
    import numpy as np

    return np.full((8, 8), value, np.uint8)
