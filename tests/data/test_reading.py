"""Files of one's own and those of real data sets: read as written, refused with a sentence if they can't be used."""

import json
import runpy
import shutil
import tarfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from lightm.data import load_dataset
from lightm.data.download import build_xrays, fetch_decathlon, unpack, write_folder
from lightm.data.images import read_image, write_label, write_volume
from lightm.data.montgomery_shenzhen import hash_mask, manifest
from lightm.data.verify import hash_file, remembered_hashes
from lightm.errors import LightMError


def test_a_folder_of_pngs_gives_back_what_was_written(pictures):
    phantoms, mine = load_dataset("phantom-cxr", cases=4, size=32), load_dataset("folder", root=pictures)
    assert (mine.classes, mine.spatial_dims, mine.in_channels) == (("background", "lung"), 2, 1)
    assert mine.case_ids == phantoms.case_ids and not mine.synthetic
    for case_id in mine.case_ids:
        a, b = mine.read(case_id), phantoms.read(case_id)
        assert np.array_equal(a.image, b.image) and np.array_equal(a.label, b.label)


def test_lits_reads_the_decathlon_layout(volumes, monkeypatch):
    (volumes / "imagesTr" / "._phantom-ct-0-0000.nii.gz").write_bytes(b"left by macOS")
    monkeypatch.setenv("LIGHTM_DATA", str(volumes.parent))
    lits, phantoms = load_dataset("lits"), load_dataset("phantom-ct", cases=2, size=24)
    assert lits.classes == phantoms.classes and lits.normalise == "ct" and lits.case_ids == phantoms.case_ids
    case, drawn = lits.read(lits.case_ids[1]), phantoms.read(phantoms.case_ids[1])
    assert np.array_equal(case.image, drawn.image) and np.array_equal(case.label, drawn.label)
    assert case.spacing == pytest.approx(drawn.spacing, rel=1e-5)


def test_the_nnunet_layout_with_channels_and_named_labels(tmp_path, own_cache, save_gray):
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    save_gray(tmp_path / "imagesTr" / "a_0000.png", np.full((4, 6), 7))
    save_gray(tmp_path / "imagesTr" / "a_0001.png", np.full((4, 6), 9))
    save_gray(tmp_path / "labelsTr" / "a.png", np.eye(4, 6))
    description = {"labels": {"background": 0, "node": 1}, "channel_names": {"0": "CT", "1": "PET"}}
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    data = load_dataset("folder", root=tmp_path)
    assert (data.in_channels, data.classes, data.normalise) == (2, ("background", "node"), "ct")
    assert data.read("a").image[:, 0, 0].tolist() == [7, 9]


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASL", "SPR", "PLS"])
def test_volumes_are_turned_upright_and_predictions_turned_back(tmp_path, codes):
    label = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
    write_volume(tmp_path / "upright.nii.gz", label, (3.0, 2.0, 1.0))
    orientations = nibabel.orientations
    turn = orientations.ornt_transform(orientations.axcodes2ornt("PLS"), orientations.axcodes2ornt(codes))
    stored = nibabel.load(tmp_path / "upright.nii.gz").as_reoriented(turn)
    nibabel.save(stored, tmp_path / "stored.nii.gz")
    image = read_image(tmp_path / "stored.nii.gz")
    assert np.array_equal(image.values[0], label) and image.spacing == (3.0, 2.0, 1.0)
    write_label(tmp_path / "predicted.nii.gz", label, like=image)
    predicted = nibabel.load(tmp_path / "predicted.nii.gz")
    assert np.array_equal(predicted.dataobj, stored.dataobj) and np.allclose(predicted.affine, stored.affine)


def test_pictures_of_every_mode_become_channels(tmp_path):
    colour = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(colour).save(tmp_path / "rgb.png")
    Image.fromarray(np.full((5, 7), 40000, np.uint16)).save(tmp_path / "deep.png")
    assert np.array_equal(read_image(tmp_path / "rgb.png").values, colour.transpose(2, 0, 1))
    assert read_image(tmp_path / "deep.png").values.shape == (1, 5, 7)
    assert read_image(tmp_path / "deep.png").values.max() == 40000


def damage(folder, case, how, save_gray):
    image, mask = folder / "images" / f"{case}.png", folder / "masks" / f"{case}.png"
    if how == "truncated image":
        image.write_bytes(image.read_bytes()[:-200])
    elif how == "truncated mask":
        mask.write_bytes(mask.read_bytes()[:40])
    elif how == "another size":
        save_gray(mask, np.zeros((31, 32)))
    elif how == "unknown label":
        save_gray(mask, np.full((32, 32), 3))
    elif how == "no mask":
        mask.unlink()
    elif how == "no image":
        image.unlink()
    elif how == "colour mask":
        Image.fromarray(np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)).save(mask)
    elif how == "no folder":
        shutil.rmtree(folder / "masks")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated image", r"images/phantom-cxr-0-0002.png is damaged or incomplete .*; fetch it again"),
        ("truncated mask", r"masks/phantom-cxr-0-0002.png is damaged or incomplete"),
        ("another size", r"Case phantom-cxr-0-0002 of folder: the image is 32 x 32 but its label map is 31 x 32"),
        ("unknown label", r"holds the value 3, but the classes are 0 to 1 \(background, lung\)"),
        ("no mask", r"'phantom-cxr-0-0002' has no label map in .*masks"),
        ("no image", r"'phantom-cxr-0-0002' has no image in .*images"),
        ("colour mask", r"save it as 8-bit gray"),
        ("no folder", r"holds neither images/ and masks/ nor imagesTr/"),
    ],
)
def test_damaged_pictures_are_refused_by_name(pictures, save_gray, how, words):
    damage(pictures, "phantom-cxr-0-0002", how, save_gray)
    with pytest.raises(LightMError, match=words) as caught:
        load_dataset("folder", root=pictures).read("phantom-cxr-0-0002")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((24, 24, 24), np.nan, np.float32), "holds NaN or infinite values"),
        (np.zeros((24, 24), np.float32), "give a volume"),
        (np.zeros((20, 24, 24), np.float32), "the image is 20 x 24 x 24 but its label map is 24 x 24 x 24"),
        (None, "is damaged or incomplete"),
    ],
)
def test_damaged_volumes_are_refused_by_name(volumes, values, words):
    path = volumes / "imagesTr" / "phantom-ct-0-0001.nii.gz"
    if values is None:
        path.write_bytes(path.read_bytes()[:2000])
    else:
        nibabel.save(nibabel.Nifti1Image(values, np.diag([-1, -1, 1, 1])[[1, 0, 2, 3]].astype(float)), path)
    with pytest.raises(LightMError, match=words):
        load_dataset("lits", root=volumes).read("phantom-ct-0-0001")


def test_a_label_map_holds_whole_numbers(volumes):
    half = nibabel.Nifti1Image(np.full((24, 24, 24), 0.5, np.float32), np.eye(4))
    nibabel.save(half, volumes / "labelsTr" / "phantom-ct-0-0000.nii.gz")
    with pytest.raises(LightMError, match=r"phantom-ct-0-0000.nii.gz is no label map"):
        load_dataset("lits", root=volumes)


@pytest.mark.parametrize("name", ["montgomery-shenzhen", "hippocampus", "lits"])
def test_missing_data_gets_a_sentence_that_says_what_to_type(name, monkeypatch, tmp_path):
    fetch = f"lightm data fetch {name}"
    monkeypatch.delenv("LIGHTM_DATA", raising=False)
    with pytest.raises(LightMError, match=rf"export LIGHTM_DATA=FOLDER.*{fetch}"):
        load_dataset(name)
    monkeypatch.setenv("LIGHTM_DATA", str(tmp_path))
    with pytest.raises(LightMError, match=rf"there is no folder {tmp_path}/.*{fetch}"):
        load_dataset(name)


def test_own_files_need_a_root():
    with pytest.raises(LightMError, match="needs root=FOLDER"):
        load_dataset("folder")
    with pytest.raises(LightMError, match="there is no folder nowhere; correct root"):
        load_dataset("folder", root="nowhere")


@pytest.mark.parametrize(
    ("content", "words"), [("{", "can't be understood"), ('{"labels": {"0": "a", "2": "b"}}', "without a gap")]
)
def test_a_bad_dataset_json_is_named(pictures, content, words):
    (pictures / "dataset.json").write_text(content)
    with pytest.raises(LightMError, match=words):
        load_dataset("folder", root=pictures)


def test_a_folder_notices_that_a_file_changed(pictures, save_gray):
    before = load_dataset("folder", root=pictures).fingerprint()
    assert load_dataset("folder", root=pictures).fingerprint() == before
    save_gray(pictures / "masks" / "phantom-cxr-0-0000.png", np.zeros((32, 32)))
    assert load_dataset("folder", root=pictures).fingerprint() != before


def test_files_are_hashed_once(pictures):
    seen = []

    def count(path):
        seen.append(path)
        return hash_file(path)

    files = {f"images/phantom-cxr-0-000{i}.png": count for i in range(4)}
    first, second = remembered_hashes(pictures, files), remembered_hashes(pictures, files)
    assert first == second and len(seen) == 4


@pytest.fixture
def three_xrays(tmp_path, own_cache, monkeypatch):
    """Three phantoms where the clone of the X-ray repository would lie, and a manifest of them."""
    phantoms = load_dataset("phantom-cxr", cases=3, size=32)
    write_folder(phantoms, tmp_path / "drawn")
    hashes = {}
    for there in ("cxr", "masks"):
        (tmp_path / "clone" / "data" / there).mkdir(parents=True)
    for name, case_id in zip(("CHNCXR_1_0", "CHNCXR_2_1", "MCUCXR_3_0"), phantoms.case_ids, strict=True):
        for folder, there in (("images", "cxr"), ("masks", "masks")):
            shutil.copy(
                tmp_path / "drawn" / folder / f"{case_id}.png", tmp_path / "clone" / "data" / there / f"{name}.png"
            )
        hashes[name] = (
            hash_file(tmp_path / "drawn" / "images" / f"{case_id}.png"),
            hash_mask(tmp_path / "drawn" / "masks" / f"{case_id}.png"),
        )
    monkeypatch.setattr("lightm.data.montgomery_shenzhen.manifest", lambda: hashes)
    monkeypatch.setattr("lightm.data.download.manifest", lambda: hashes)
    return tmp_path


def test_xrays_are_built_checked_and_grouped(three_xrays):
    build_xrays(three_xrays / "clone", three_xrays / "cxr")
    data = load_dataset("montgomery-shenzhen", root=three_xrays / "cxr")
    assert [data.stratum(case_id) for case_id in data.case_ids] == [
        "Shenzhen, normal",
        "Shenzhen, tuberculosis",
        "Montgomery, normal",
    ]
    assert set(np.unique(data.read("MCUCXR_3_0").label)) == {0, 1}


def test_a_damaged_xray_is_found_before_training(three_xrays, save_gray):
    out = three_xrays / "cxr"
    build_xrays(three_xrays / "clone", out)
    save_gray(out / "masks" / "CHNCXR_2_1.png", np.zeros((32, 32)))
    with pytest.raises(
        LightMError, match=r"1 file\(s\) .* damaged .* masks/CHNCXR_2_1.png; get them again with `lightm data fetch"
    ):
        load_dataset("montgomery-shenzhen", root=out)
    (out / "images" / "CHNCXR_2_1.png").unlink()
    with pytest.raises(LightMError, match=r"1 of 6 files are missing .* images/CHNCXR_2_1.png"):
        load_dataset("montgomery-shenzhen", root=out)


def test_another_xray_repository_is_refused(three_xrays, save_gray):
    save_gray(three_xrays / "clone" / "data" / "cxr" / "CHNCXR_2_1.png", np.zeros((32, 32)))
    with pytest.raises(LightMError, match=r"holds another CHNCXR_2_1.png than the record"):
        build_xrays(three_xrays / "clone", three_xrays / "cxr")


def test_a_decathlon_archive_is_unpacked_and_an_incomplete_one_refused(volumes, tmp_path):
    archive = tmp_path / "Task03_Liver.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(volumes, "Task03_Liver")
    unpack(archive, tmp_path / "unpacked")
    assert load_dataset("lits", root=tmp_path / "unpacked").case_ids == load_dataset("lits", root=volumes).case_ids
    with pytest.raises(LightMError, match=r"is not the complete Task03_Liver.tar"):
        fetch_decathlon("Task03_Liver", tmp_path / "x", archive)


def test_only_phantoms_are_ever_written(pictures, tmp_path):
    with pytest.raises(LightMError, match="only phantoms are written"):
        write_folder(load_dataset("folder", root=pictures), tmp_path / "copy")


def test_the_manifest_lists_704_cases_of_two_hospitals():
    assert len(manifest()) == 704
    assert sum(case_id.startswith("MCUCXR") for case_id in manifest()) == 138


@pytest.mark.real_data
def test_the_real_xrays_are_those_of_the_record(real_data):
    data = load_dataset("montgomery-shenzhen")
    case = data.read(data.case_ids[0])
    assert case.image.shape == (1, 512, 512) and case.image.max() > 200 and 0.1 < case.label.mean() < 0.5


@pytest.mark.real_data
def test_the_real_hippocampi_have_two_parts_in_each_case(real_data):
    data = load_dataset("hippocampus")
    case = data.read(data.case_ids[0])
    assert case.label.shape == case.image.shape[1:] and set(np.unique(case.label)) == {0, 1, 2}


def test_the_script_for_workshops_writes_a_folder_that_can_be_read(tmp_path, own_cache, monkeypatch, capsys):
    script = Path(__file__).resolve().parents[2] / "data_scripts" / "make_phantoms.py"
    monkeypatch.setattr("sys.argv", ["make_phantoms.py", "phantom-ct", str(tmp_path / "ct"), "--cases=2", "--size=20"])
    runpy.run_path(str(script), run_name="__main__")
    assert "2 cases, 3D, classes background, liver, tumour" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["make_phantoms.py", "phantom-ct", str(tmp_path / "ct"), "--size=2"])
    with pytest.raises(SystemExit, match=r"make_phantoms.py: phantom-ct: size=2 can't be drawn"):
        runpy.run_path(str(script), run_name="__main__")
