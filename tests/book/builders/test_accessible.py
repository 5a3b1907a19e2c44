"""The pages can be used with a screen reader, a keyboard and a phone."""

import hashlib
import importlib.util
import json
import os
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from lightm_book import ROOT

AXE = Path(os.environ.get("LIGHTM_AXE", ROOT / "_build" / "npm" / "node_modules" / "axe-core" / "axe.min.js"))
# Of axe-core 4.14.1, which .ci/run fetches with npm.
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
AUDIT = """<script src="{axe}"></script><script>
addEventListener("load", async () => {{
  const found = [];
  for (const mode of ["light", "dark"]) {{
    document.documentElement.dataset.theme = document.documentElement.dataset.mode = mode;
    await new Promise((done) => setTimeout(done, 1000));
    const options = {{resultTypes: ["violations"], ...(mode == "dark" && {{runOnly: ["color-contrast"]}})}};
    for (const broken of (await axe.run(document, options)).violations)
      if (["serious", "critical"].includes(broken.impact))
        found.push(...broken.nodes.map((node) => `${{mode}} ${{broken.id}}: ${{node.target.join(" ")}}`));
  }}
  const out = document.createElement("pre");
  out.id = "axe-findings";
  out.textContent = JSON.stringify(found);
  document.body.append(out);
}});
</script>"""


@pytest.fixture(scope="module")
def mend():
    path = ROOT / "book" / "_ext" / "accessible_pages.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.mend


@pytest.mark.browser
def test_axe_finds_nothing_serious_or_critical_on_any_page_in_light_or_dark(book, pages, browse, tmp_path):
    if not AXE.exists():
        pytest.skip("axe-core is not here: npm install --prefix _build/npm --no-save axe-core@4.14.1")
    assert hashlib.sha256(AXE.read_bytes()).hexdigest() == AXE_SHA256, f"{AXE} is of another version"
    found = {}
    for name in pages:
        source = book / f"{name}.html"
        html = source.read_text("utf-8").replace("<head>", f'<head><base href="{source.as_uri()}">', 1)
        copy = tmp_path / "page.html"
        copy.write_text(html.replace("</body>", AUDIT.format(axe=AXE.as_uri()) + "</body>"), encoding="utf-8")
        page, _ = browse(copy)
        audit = page.select_one("#axe-findings")
        assert audit, f"the audit of {name} did not end"
        if audit.get_text() != "[]":
            found[name] = json.loads(audit.get_text())
    assert not found


def test_a_signature_is_no_list_and_a_shortcut_no_name(mend):
    page = '<dt class="sig">f(<dl>\n<dd><em>x</em>,</dd>\n<dd><em>y</em></dd>\n</dl>)</dt>'
    page += '<dl class="simple"><dt>a</dt></dl>'
    page += '<span class="search-button__kbd-shortcut">K</span>'
    page += '<details class="hide above-input"><summary aria-label="Toggle hidden content">Show</summary></details>'
    page += '<div role="list" class="citation-list"><div role="doc-biblioentry">one</div></div>'
    mended = BeautifulSoup(mend(page), "html.parser")
    assert not mended.select("[role]")
    assert len(mended.select("dt.sig .sig-line")) == 2 and not mended.select("dt.sig dl") and mended.select("dl.simple")
    assert "aria-label" not in mended.summary.attrs
    assert mended.select_one(".search-button__kbd-shortcut")["aria-hidden"] == "true"
    assert mend(mend(page)) == mend(page)


def test_cells_of_a_wide_table_know_their_column(mend):
    rows = "<thead><tr><th>A</th><th>B &amp; C</th></tr></thead><tbody><tr><td>1</td><td>b</td></tr></tbody>"
    table = f'<table class="cards table">{rows}</table>'
    cells = BeautifulSoup(mend(table), "html.parser").select("td")
    assert [cell["data-label"] for cell in cells] == ["A", "B & C"]
    assert mend(mend(table)) == mend(table)
    assert mend(table.replace("cards", "other")) == table.replace("cards", "other")
