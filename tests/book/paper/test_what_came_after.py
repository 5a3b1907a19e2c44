"""What the page on later work repeats from the paper's tables is what they print."""

import re

from lightm_book import ROOT
from lightm_book.paper import TABLES
from lightm_book.paper.tables import GFLOPS, PARAMS

PAGE = (ROOT / "book" / "what_came_after.md").read_text(encoding="utf-8")
ROWS = {"nnU-Net, 3D": "nnU-Net", "U-Mamba_Bot": "U-Mamba", "U-Mamba (Bot)": "U-Mamba"}


def table(head):
    """Name -> cells of the Markdown table with this heading, as it is written."""
    lines = PAGE[PAGE.index(head) :].splitlines()[2:]
    rows = {}
    for line in lines:
        if not line.startswith("|"):
            return rows
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        name = name.strip("*")
        rows[ROWS.get(name, name)] = [cell.strip("*") for cell in cells]
    return rows


def test_the_columns_of_table_1_beside_trials():
    rows = table("| network | lesion, TriALS |")
    ours = {name: cells[2:] for name, cells in rows.items() if name in TABLES[1].rows}
    assert len(ours) == 5
    for name, cells in ours.items():
        assert cells == [str(TABLES[1][name, f"{part} DSC"]) for part in ("Tumor", "Liver")], name


def test_the_columns_of_table_2_beside_swin_umamba():
    rows = table("| network | Params, LightM-UNet's Table 2 |")
    assert set(rows) == set(TABLES[2].rows) - {"LightM-UNet"}
    for name, (params, _, gflops, _) in rows.items():
        assert (params, gflops) == (str(TABLES[2][name, PARAMS]), f"{TABLES[2][name, GFLOPS]:,}"), name


def test_the_two_scores_of_table_2_in_the_text():
    found = re.search(r"paper's ([\d.]+) against nnU-Net's ([\d.]+) \(Table 2\)", PAGE)
    assert found.groups() == (str(TABLES[2]["LightM-UNet", "DSC"]), str(TABLES[2]["nnU-Net", "DSC"]))
