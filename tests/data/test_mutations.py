"""A file with bytes changed at random is read or refused with a sentence: nothing else may come of it."""

import gzip
import random

import numpy as np
import pytest
import tifffile
from faulty import pictures, volumes
from PIL import Image

from lightm.data.images import label_values, read_image
from lightm.errors import LightMError

# Pillow warns of what it passes over before it gives up.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = tmp_path_factory.mktemp("sources")
    volume, picture = volumes(root / "v", cases=1), pictures(root / "p", cases=1)
    packed = volume / "imagesTr" / "c00_0000.nii.gz"
    (root / "a.nii").write_bytes(gzip.decompress(packed.read_bytes()))
    image = Image.open(picture / "images" / "c00.png")
    image.save(root / "a.jpg")
    image.save(root / "a.bmp")
    image.save(root / "a.tif", compression="tiff_lzw")
    colours = np.random.default_rng(0).integers(0, 60_000, (20, 30, 3), np.uint16)
    tifffile.imwrite(root / "b.tif", colours, photometric="rgb", compression="zlib")
    return [packed, picture / "images" / "c00.png", *sorted(path for path in root.iterdir() if path.is_file())]


def mutated(content, rng):
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place = rng.randrange(min(len(content), 400) if rng.random() < 0.7 else len(content))
        how = rng.random()
        if how < 0.5:
            content[place] ^= 1 << rng.randrange(8)
        elif how < 0.8:
            content[place] = rng.choice((0, 1, 127, 128, 255))
        elif how < 0.95:
            content[place : place + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\0\0\xc0\x7f"))
        else:
            del content[place : place + rng.randrange(1, 50)]
    return bytes(content)


def test_a_mutated_file_is_read_or_refused(sources, tmp_path):
    rng, outcomes = random.Random(0), {"read": 0, "refused": 0}
    for turn in range(60 * len(sources)):
        source = sources[turn % len(sources)]
        content = source.read_bytes()
        if source.suffix == ".gz" and turn % 3:  # the header rather than the checksum
            content = gzip.compress(mutated(gzip.decompress(content), rng), 1)
        else:
            content = mutated(content, rng)
        path = tmp_path / source.name
        path.write_bytes(content)
        try:
            label_values(path, read_image(path, indices=bool(turn % 2)))
            outcomes["read"] += 1
        except LightMError as error:
            assert "\n" not in str(error) and source.name in str(error)
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 20
