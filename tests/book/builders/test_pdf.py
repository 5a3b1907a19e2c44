"""The book as one PDF."""

import shutil

import pytest
from pypdf import PdfReader

from lightm.errors import LightMError
from lightm_book.builders import pdf


@pytest.mark.browser
def test_the_pdf_has_contents_page_numbers_formulas_and_links_inside(book, tmp_path):
    if not any(map(pdf.shutil.which, pdf.CHROMIUM)):
        pytest.skip("no Chromium here: install chromium to print the book")
    copy = tmp_path / "html"
    shutil.copytree(book, copy)
    read = PdfReader(pdf.build_pdf(copy, ["book/how_to_read", "notebooks/04_rvm_layer"]))
    texts = [page.extract_text() for page in read.pages]
    assert "Contents" in texts[1] and "RVM layer" in texts[1]
    start = next(n for n, text in enumerate(texts) if n > 1 and "RVM layer" in text and "adjustment factor" in text)
    assert str(start) in texts[1] and str(start) in texts[start]
    inside = [a.get_object() for page in read.pages for a in page.get("/Annots", []) if "/Dest" in a.get_object()]
    assert any(read.pages.index(read.get_object(link["/Dest"][0])) == start for link in inside)
    assert '<a href="../lightm.pdf">' in (copy / "book" / "intro.html").read_text("utf-8")
    assert [item.title for item in read.outline if not isinstance(item, list)]


def test_without_chromium_or_pages_one_sentence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(pdf.shutil, "which", lambda _: None)
    with pytest.raises(LightMError, match="install chromium"):
        pdf.build_pdf(tmp_path)
    monkeypatch.setattr(pdf.shutil, "which", lambda _: "chromium")
    with pytest.raises(LightMError, match=r"intro\.html is not there: build the book first"):
        pdf.build_pdf(tmp_path)
