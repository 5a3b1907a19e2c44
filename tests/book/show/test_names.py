"""Networks are called what people call them, by one mapping."""

import pytest

from lightm.errors import LightMError
from lightm.models import list_models
from lightm.training.record import list_records
from lightm_book import ROOT
from lightm_book.compare.rows import label
from lightm_book.show.names import NAMES, shown_name


def test_every_network_has_one_name_of_its_own():
    assert set(NAMES) == {info.name for info in list_models()}
    assert len(set(NAMES.values())) == len(NAMES)


def test_every_recorded_system_has_a_name_that_says_its_options():
    shown = {label(record): shown_name(label(record)) for record in list_records(ROOT / "results/runs").values()}
    assert all("_" not in name for name in shown.values())
    assert shown["lightm-unet, directions 2"] == "LightM-UNet (text), 2 directions"
    assert shown["nnunet, n_stages 5"] == "nnU-Net, 5 stages"  # the paper's has 8
    assert shown["unetr, img_size 64"] == "UNETR"


def test_an_unknown_network_is_refused():
    with pytest.raises(LightMError, match="unetr"):
        shown_name("untr")
