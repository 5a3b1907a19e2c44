"""`lightm data verify` on pictures and on folders: formats that mislead, files that nobody would read, one report."""

import json
import os
import shutil
import struct
import zlib

import numpy as np
import pytest
import tifffile
from faulty import gray, pictures, volumes
from PIL import Image

from lightm.cli import main
from lightm.data import load_dataset
from lightm.data.check import check_folder
from lightm.data.check.named import check_before_training, said_before_training
from lightm.errors import LightMError


def kinds(report, severity="error"):
    return {(f.kind, f.case) for f in report.faults if f.severity == severity}


def png_header(path, width, height):
    """A PNG of a few bytes that says it is width x height."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    parts = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)), chunk(b"IDAT", zlib.compress(b"0" * 9))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b""))


def sixteen_bit_colours(path):
    raw = b"".join(b"\0" + b"\1\2" * 3 * 48 for _ in range(40))

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">2I5B", 48, 40, 16, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def flipped_bit(path):
    content = bytearray(path.read_bytes())
    content[-20] ^= 4  # in the checksum of the pixels or just before
    path.write_bytes(bytes(content))


BLACK = Image.new("L", (48, 40))
DAMAGE = {
    "empty": ("truncated", lambda p: p.write_bytes(b"")),
    "half of it": ("truncated", lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2])),
    "without its end": ("truncated", lambda p: p.write_bytes(p.read_bytes()[:-12])),
    "a flipped bit": ("truncated", flipped_bit),
    "PostScript": ("wrong-ending", lambda p: p.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")),
    "a web page": ("wrong-ending", lambda p: p.write_bytes(b"<html><body>404</body></html>")),
    "a Git LFS pointer": ("wrong-ending", lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid")),
    "a pickle": ("wrong-ending", lambda p: p.write_bytes(b"\x80\x04\x95" + bytes(50))),
    "noise": ("unreadable", lambda p: p.write_bytes(bytes(range(256)))),
    "a bomb": ("too-large", lambda p: png_header(p, 60_000, 60_000)),
    "more than announced": ("truncated", lambda p: png_header(p, 100, 100)),
    "16-bit colours": ("depth", sixteen_bit_colours),
    "animated": ("pages", lambda p: BLACK.save(p, save_all=True, append_images=[Image.new("L", (48, 40), 9)])),
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("folder", ["images", "masks"])
def test_a_damaged_picture_is_named(tmp_path, own_cache, how, folder):
    root = pictures(tmp_path / "set")
    kind, damage = DAMAGE[how]
    damage(root / folder / "c02.png")
    report = check_folder(root)
    assert kinds(report) == {(kind, "c02")} and report.errors[0].file == f"{folder}/c02.png"


def test_a_named_pipe_is_not_waited_for(tmp_path, own_cache):
    root = pictures(tmp_path / "set")
    (root / "images" / "c02.png").unlink()
    os.mkfifo(root / "images" / "c02.png")
    assert kinds(check_folder(root)) == {("unreadable", "c02")}


def test_a_picture_is_turned_as_its_exif_data_asks_and_a_mask_that_does_not_fit_is_named(tmp_path, own_cache):
    root = pictures(tmp_path / "set")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.open(root / "images" / "c02.png")
    (root / "images" / "c02.png").unlink()
    picture.rotate(90, expand=True).save(root / "images" / "c02.jpg", exif=exif, quality=95)
    report = check_folder(root)
    assert not report.faults and "turned as its EXIF data asks: c02" in report.notes[0]
    case = load_dataset("folder", root=root).read("c02")
    assert np.abs(case.image[0] - np.asarray(picture, np.float32)).mean() < 8  # JPEG, but the right way up
    mask = Image.open(root / "masks" / "c02.png")
    mask.rotate(90, expand=True).save(root / "masks" / "c02.png")
    report = check_folder(root)
    assert kinds(report) == {("shape", "c02")} and "EXIF" in report.errors[0].remedy


@pytest.mark.parametrize("imagej", [False, True])
def test_a_tiff_with_several_pages_is_named(tmp_path, own_cache, imagej):
    root = pictures(tmp_path / "set")
    (root / "images" / "c02.png").unlink()
    stack = np.zeros((3, 40, 48), np.uint8)
    tifffile.imwrite(root / "images" / "c02.tif", stack, imagej=imagej, photometric="minisblack")
    report = check_folder(root)
    assert kinds(report) == {("pages", "c02")} and "holds 3 pictures" in report.errors[0].what


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.int32, np.float64])
@pytest.mark.parametrize("colours", [0, 3])
def test_a_tiff_keeps_all_its_bits(tmp_path, dtype, colours):
    from lightm.data.images import read_image

    values = np.random.default_rng(0).integers(0, 60_000, (5, 7, 3) if colours else (5, 7)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb" if colours else "minisblack", compression="zlib")
    expected = values.transpose(2, 0, 1) if colours else values[None]
    assert np.array_equal(read_image(tmp_path / "a.tif").values, expected.astype(np.float32))


def soft(root):
    mask = Image.open(root / "masks" / "c02.png")
    mask.resize((24, 20)).resize((48, 40)).save(root / "masks" / "c02.png")


def test_a_mask_with_soft_edges_is_named_and_the_threshold_reads_it(tmp_path, own_cache):
    root = pictures(tmp_path / "set")
    soft(root)
    report = check_folder(root)
    assert kinds(report) == {("soft-mask", "c02")} and "threshold=127" in report.errors[0].remedy
    assert not check_folder(root, threshold=127).errors
    assert set(np.unique(load_dataset("folder", root=root, threshold=127).read("c02").label)) == {0, 1}


def test_a_mask_with_a_palette_holds_its_numbers(tmp_path, own_cache):
    root = pictures(tmp_path / "set")
    for path in (root / "masks").iterdir():
        mask = Image.fromarray((np.asarray(Image.open(path)) // 255).astype(np.uint8), mode="P")
        mask.putpalette([200, 0, 0, 0, 200, 0])
        mask.save(path)
    assert not check_folder(root).faults
    assert set(np.unique(load_dataset("folder", root=root).read("c02").label)) == {0, 1}


def test_a_colour_picture_among_gray_ones_is_named_and_the_option_reads_it(tmp_path, own_cache):
    root = pictures(tmp_path / "set")
    colours = np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8)
    Image.fromarray(colours).save(root / "images" / "c02.png")
    assert kinds(check_folder(root)) == {("channels", "c02")}
    assert not check_folder(root, channels=1).errors
    assert load_dataset("folder", root=root, channels=1).read("c02").image.shape == (1, 40, 48)
    assert load_dataset("folder", root=root, channels=3).read("c01").image.shape == (3, 40, 48)
    same = np.repeat(colours[..., :1], 3, axis=2)
    Image.fromarray(same).save(root / "images" / "c02.png")  # gray, saved as colour
    assert not check_folder(root).errors
    assert np.array_equal(load_dataset("folder", root=root).read("c02").image[0], same[..., 0])


def nested(root):
    (root / "images" / "more").mkdir()
    shutil.copy(root / "images" / "c00.png", root / "images" / "more" / "c90.png")


LAYOUT = {
    "an image without mask": ({("no-partner", "c02")}, lambda r: (r / "masks" / "c02.png").unlink()),
    "a mask without image": ({("no-partner", "c02")}, lambda r: (r / "images" / "c02.png").unlink()),
    "two images": ({("two-files", "c02")}, lambda r: BLACK.save(r / "images" / "c02.jpg")),
    "two masks": ({("two-files", "c02")}, lambda r: shutil.copy(r / "masks" / "c02.png", r / "masks" / "c02.PNG")),
    "a folder within": ({("nested", "")}, nested),
    "another format": (
        {("wrong-ending", ""), ("no-partner", "c02")},
        lambda r: (r / "images" / "c02.png").rename(r / "images" / "c02.webp"),
    ),
    "another format with its mask": (
        {("wrong-ending", "")},
        lambda r: [(r / f / "c02.png").rename(r / f / "c02.npy") for f in ("images", "masks")],
    ),
    "the same picture twice": (
        {("duplicate", "z")},
        lambda r: [shutil.copy(r / f / "c02.png", r / f / "z.png") for f in ("images", "masks")],
    ),
    "the same picture in another format": (
        {("duplicate", "z")},
        lambda r: [Image.open(r / f / "c02.png").save(r / f / "z.tif") for f in ("images", "masks")],
    ),
    "the picture as its mask": (
        {("label-is-image", "c02")},
        lambda r: shutil.copy(r / "masks" / "c02.png", r / "images" / "c02.png"),
    ),
    "a mask of another size": ({("shape", "c02")}, lambda r: gray(r / "masks" / "c02.png", np.eye(40, 47))),
    "a volume among pictures": (
        {("axes", "v")},
        lambda r: [
            shutil.copy(volumes(r.parent / "v") / "imagesTr" / "c00_0000.nii.gz", r / "images" / "v.nii.gz"),
            shutil.copy(r.parent / "v" / "labelsTr" / "c00.nii.gz", r / "masks" / "v.nii.gz"),
        ],
    ),
}


@pytest.mark.parametrize("how", LAYOUT)
def test_what_is_wrong_with_a_folder_is_named(tmp_path, own_cache, how):
    root = pictures(tmp_path / "set")
    expected, change = LAYOUT[how]
    change(root)
    assert kinds(check_folder(root)) == expected


def test_all_faults_are_in_one_report_and_side_files_do_not_matter(tmp_path, own_cache, capsys):
    root = pictures(tmp_path / "set")
    assert not check_folder(root).faults
    (root / "images" / ".DS_Store").write_bytes(b"x")
    (root / "images" / "Thumbs.db").write_bytes(b"x")
    assert not check_folder(root).faults
    for how, case in (("empty", "c00"), ("half of it", "c01"), ("a bomb", "c02")):
        DAMAGE[how][1](root / "images" / f"{case}.png")
    (root / "masks" / "c03.png").unlink()
    assert main(["data", "verify", str(root), "--json", str(tmp_path / "report.json")]) == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert [f["case"] for f in report["faults"]] == ["c00", "c01", "c02", "c03"]
    text = capsys.readouterr().out
    assert all(f"error    c0{i}, " in text for i in range(4)) and "4 errors, 0 warnings" in text


def test_a_name_with_control_characters_is_printed_harmlessly(tmp_path, own_cache):
    root = pictures(tmp_path / "set")
    for folder in ("images", "masks"):
        (root / folder / "c02.png").rename(root / folder / "c\x1b[2J\n2.png")
    DAMAGE["empty"][1](root / "images" / "c\x1b[2J\n2.png")
    text = check_folder(root).text()
    assert "\x1b" not in text and "c\\x1b[2J\\n2" in text


def test_a_name_that_is_no_utf_8_is_no_trouble(tmp_path, own_cache, capsys):
    root = pictures(tmp_path / "set")
    for folder in ("images", "masks"):
        os.rename(root / folder / "c02.png", os.fsencode(root / folder) + b"/c\xff.png")
    assert main(["data", "verify", str(root), "--json", str(tmp_path / "r.json")]) == 0
    assert main(["data", "verify", str(root)]) == 0
    DAMAGE["empty"][1](root / "images" / os.fsdecode(b"c\xff.png"))
    assert main(["data", "verify", str(root), "--json", str(tmp_path / "r.json")]) == 1
    assert "c\\udcff" in capsys.readouterr().out
    assert load_dataset("folder", root=root).fingerprint()


def test_the_answer_is_remembered_by_content_and_a_damaged_memory_is_made_anew(tmp_path, own_cache):
    root = pictures(tmp_path / "set")
    soft(root)
    first = check_folder(root)
    second = check_folder(root)
    assert not first.remembered and second.remembered and second.faults == first.faults and second.facts == first.facts
    copy = shutil.copytree(root, tmp_path / "elsewhere")  # the same content in another place
    assert check_folder(copy).remembered
    (kept,) = (tmp_path / "cache" / "lightm" / "checks").iterdir()
    content = kept.read_text()
    for damage in (content.replace("soft-mask", "hard-mask"), content[:100], "[]", ""):
        kept.write_text(damage)
        again = check_folder(root)
        assert not again.remembered and again.faults == first.faults and check_folder(root).remembered


def test_a_file_that_changed_behind_its_date_is_looked_at_again(tmp_path, own_cache):
    root = pictures(tmp_path / "set")
    assert not check_folder(root).faults
    path = root / "masks" / "c02.png"
    status, content = path.stat(), bytearray(path.read_bytes())
    content[-20] ^= 4
    path.write_bytes(bytes(content))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size and kinds(check_folder(root)) == {("truncated", "c02")}


def test_accepted_kinds_are_warnings_and_unknown_ones_refused(tmp_path, own_cache):
    root = pictures(tmp_path / "set")
    LAYOUT["the same picture twice"][1](root)
    report = check_folder(root, accept=["duplicate"])
    assert not report.errors and kinds(report, "warning") == {("duplicate", "z")}
    with pytest.raises(LightMError, match=r"no kind of fault 'duplicates' to accept. Did you mean 'duplicate'"):
        check_folder(root, accept=["duplicates"])


def test_training_does_not_start_on_faulty_data(tmp_path, own_cache):
    root = pictures(tmp_path / "set")
    assert check_before_training("folder", str(root), {}) and check_before_training("phantom-cxr", "", {}) is None
    LAYOUT["the same picture twice"][1](root)
    DAMAGE["empty"][1](root / "images" / "c02.png")
    DAMAGE["empty"][1](root / "masks" / "c02.png")
    with pytest.raises(LightMError, match=r"2 error\(s\) in the data .* c02, images/c02.png: is empty .* lists all"):
        check_before_training("folder", str(root), {})


def test_structures_that_a_resize_loses_are_said_before_training(tmp_path, own_cache):
    root = pictures(tmp_path / "set")
    for i, path in enumerate(sorted((root / "masks").iterdir())):
        gray(path, np.pad(np.full((3, 3), 255), ((5 + i, 32 - i), (9, 36))))  # 9 of 1920 pixels
    report = check_before_training("folder", str(root), {})
    assert said_before_training(report, (80, 96)) == []
    (line,) = said_before_training(report, (16, 16))
    assert "Label 1 (foreground) shrinks to 1.2 voxels or fewer" in line and "data.size 16 x 16" in line
    gray(root / "masks" / "c00.png", np.zeros((40, 48)))
    (first, _) = said_before_training(check_before_training("folder", str(root), {}), (16, 16))
    assert "1 warning(s) about the data, e.g. c00, masks/c00.png: holds background only" in first


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["hippocampus", "montgomery-shenzhen"])
def test_no_false_alarm_on_real_data(real_data, name):
    from lightm.data.check.named import check_dataset

    assert not check_dataset(name).faults


def test_a_gray_picture_saved_in_colour_is_the_same_picture(tmp_path, own_cache):
    root = pictures(tmp_path / "set")
    Image.open(root / "images" / "c00.png").convert("RGB").save(root / "images" / "q.png")
    shutil.copy(root / "masks" / "c00.png", root / "masks" / "q.png")
    assert ("duplicate", "q") in kinds(check_folder(root))


def test_where_cases_are_not_resized_nothing_is_said_of_structures_that_shrink(tmp_path, own_cache):
    report = check_folder(pictures(tmp_path / "set"))
    assert said_before_training(report, (8, 8)) and not said_before_training(report, ())
