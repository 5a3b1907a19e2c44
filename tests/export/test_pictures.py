"""Pictures become the network's input, and its logits become labels, as in Python: number for number."""

import io
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from lightm.data.images import read_image
from lightm.data.transforms import normalise_image, resize_image, window_of
from lightm.errors import LightMError
from lightm.training.evaluation import resize_logits

SIZE = 13, 21  # H, W: odd, so that rows of 1, 2 and 4 bits end within a byte


def _bytes(*shape: int, top: int = 256, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top, shape)


def _png(
    samples: np.ndarray, depth: int, kind: int, palette: bytes = b"", filters: bool = True, interlaced=False
) -> bytes:
    """A PNG written by hand, in depths and with filters that Pillow does not write. samples (H, W, S)."""

    def rows(part: np.ndarray) -> bytes:
        out, before, step = b"", None, max(1, part.shape[2] * depth // 8)
        for y, row in enumerate(part):
            bits = row.reshape(-1, 1) >> np.arange(depth - 1, -1, -1) & 1
            line = np.packbits(bits.reshape(-1)).astype(int)
            up = np.zeros_like(line) if before is None else before
            left = np.concatenate([np.zeros(step, int), line])[: len(line)]
            corner = np.concatenate([np.zeros(step, int), up])[: len(line)]
            guess = left + up - corner
            near = np.stack([abs(guess - left), abs(guess - up), abs(guess - corner)]).argmin(0)
            paeth = np.choose(near, [left, up, corner])
            kinds = [0 * line, left, up, (left + up) // 2, paeth]
            name = y % 5 if filters else 0
            out += bytes([name]) + ((line - kinds[name]) % 256).astype(np.uint8).tobytes()
            before = line
        return out

    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [samples[y::dy, x::dx] for y, x, dy, dx in passes] if interlaced else [samples]
    data = b"".join(rows(part) for part in parts if part.size)

    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")

    H, W, _ = samples.shape
    header = W.to_bytes(4, "big") + H.to_bytes(4, "big") + bytes([depth, kind, 0, 0, int(interlaced)])
    packed = zlib.compress(data)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"PLTE", palette) if palette else b"",
            chunk(b"IDAT", packed[:50]),  # in two pieces, as large files have it
            chunk(b"IDAT", packed[50:]),
            chunk(b"IEND", b""),
        ]
    )


def _pictures() -> dict[str, bytes]:
    H, W = SIZE
    found = {}
    for kind, samples, depths in ((0, 1, (1, 2, 4, 8, 16)), (2, 3, (8,)), (4, 2, (8,)), (6, 4, (8,))):
        for depth in depths:
            found[f"kind {kind}, {depth} bits"] = _png(_bytes(H, W, samples, top=2**depth), depth, kind)
    for depth in (1, 2, 4, 8):
        palette = _bytes(2**depth, 3, seed=depth).astype(np.uint8).tobytes()
        found[f"palette, {depth} bits"] = _png(_bytes(H, W, 1, top=2**depth), depth, 3, palette)
    found["interlaced gray"] = _png(_bytes(H, W, 1), 8, 0, interlaced=True)
    found["interlaced bits"] = _png(_bytes(H, W, 1, top=2), 1, 0, interlaced=True)
    found["one pixel, interlaced"] = _png(_bytes(1, 1, 3), 8, 2, interlaced=True)
    buffer = io.BytesIO()
    Image.fromarray(_bytes(H, W, 3).astype(np.uint8)).save(buffer, "PNG", optimize=True)
    found["from Pillow"] = buffer.getvalue()
    for orientation in range(9):  # 0 is none
        exif, buffer = Image.Exif(), io.BytesIO()
        exif[0x0112] = orientation
        Image.fromarray(_bytes(H, W).astype(np.uint8)).save(buffer, "PNG", exif=exif)
        found[f"turned, {orientation}"] = buffer.getvalue()
    return found


def test_png_files_hold_the_values_that_python_reads(node, tmp_path):
    pictures = _pictures()
    paths = [tmp_path / f"{index}.png" for index in range(len(pictures))]
    for path, data in zip(paths, pictures.values(), strict=True):
        path.write_bytes(data)
    answers = node({"task": "decode", "paths": list(map(str, paths)), "out": str(tmp_path / "out")})["answers"]
    values, at = np.fromfile(tmp_path / "out", "<f4"), 0
    for name, path, answer in zip(pictures, paths, answers, strict=True):
        assert "error" not in answer, (name, answer)
        shape = answer["channels"], answer["height"], answer["width"]
        found = values[at : at + np.prod(shape)].reshape(shape)
        at += np.prod(shape)
        expected = read_image(path).values
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_damaged_png_files_are_refused(node, tmp_path):
    whole = _png(_bytes(*SIZE, 1), 8, 0)
    flipped = bytearray(whole)
    flipped[60] ^= 1
    damaged = {"cut": whole[:-40], "flipped": bytes(flipped), "header only": whole[:33], "signature only": whole[:8]}
    damaged["depth"] = _png(_bytes(*SIZE, 3), 4, 2)
    for kind, samples in ((2, 3), (4, 2), (6, 4)):
        damaged[f"16 bits, kind {kind}"] = _png(_bytes(*SIZE, samples, top=2**16), 16, kind)
    damaged["no palette"] = _png(_bytes(*SIZE, 1, top=4), 2, 3)
    paths = []
    for name, data in damaged.items():
        paths.append(str(tmp_path / name))
        (tmp_path / name).write_bytes(data)
    answers = node({"task": "decode", "paths": paths, "out": str(tmp_path / "out")})["answers"]
    assert all("error" in answer for answer in answers), dict(zip(damaged, answers, strict=True))
    for name in (name for name in damaged if "16 bits" in name):
        (tmp_path / "picture.png").write_bytes(damaged[name])
        with pytest.raises(LightMError, match="16 bits a colour"):  # Python refuses them, too
            read_image(tmp_path / "picture.png")


@pytest.mark.parametrize("normalise", ["zscore", "percentile", "ct", "window:20:180.5"])
@pytest.mark.parametrize("size", [(300, 201), (64, 48), (37, 19), (32, 200), (1, 1)])
def test_the_networks_input_is_pythons(size, normalise, node, tmp_path):
    image = torch.from_numpy(_bytes(1, *size).astype("<f4"))
    image.numpy().tofile(tmp_path / "values")
    window = window_of(normalise)
    job = {"shape": list(image.shape), "to": [64, 48], "normalise": "window" if window else normalise, "window": window}
    node({"task": "prepare", "values": str(tmp_path / "values"), "out": str(tmp_path / "out"), **job})
    found = torch.from_numpy(np.fromfile(tmp_path / "out", "<f4").reshape(64, 48))
    expected = normalise_image(resize_image(image, (64, 48)), normalise)[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)  # of values that spread over about 1


def test_colour_becomes_gray_as_pillow_has_it_and_gray_saved_as_colour_stays_what_it_is(node, tmp_path):
    colour = _bytes(3, 16, 16).astype(np.uint8)
    gray = np.repeat(colour[:1], 3, axis=0)
    lightness = np.asarray(Image.fromarray(colour.transpose(1, 2, 0)).convert("L"))
    for values, expected, coloured in ((colour, lightness, True), (gray, gray[0], False)):
        values.astype("<f4").tofile(tmp_path / "values")
        job = {"shape": [3, 16, 16], "to": [16, 16], "normalise": "window", "window": [0.0, 510.0]}
        paths = {"values": str(tmp_path / "values"), "out": str(tmp_path / "out")}
        assert node({"task": "prepare", **paths, **job})["colour"] is coloured
        found = np.fromfile(tmp_path / "out", "<f4").reshape(16, 16) * 255 + 255
        np.testing.assert_array_equal(np.rint(found), expected)


@pytest.mark.parametrize("to", [(24, 32), (50, 77), (9, 11), (1, 1)])
def test_labels_at_the_pictures_size_are_pythons(to, node, tmp_path):
    logits = torch.randn(1, 3, 24, 32, generator=torch.Generator().manual_seed(1))
    logits[0].permute(1, 2, 0).numpy().astype("<f4").tofile(tmp_path / "values")
    paths = {"values": str(tmp_path / "values"), "out": str(tmp_path / "out")}
    counts = node({"task": "answer", "shape": [24, 32, 3], "to": to, **paths})
    labels, *probabilities = np.fromfile(tmp_path / "out", np.uint8).reshape(4, *to)
    expected = resize_logits(logits, to)[0]
    np.testing.assert_array_equal(labels, expected.argmax(0).numpy())
    assert counts == np.bincount(labels.ravel(), minlength=3).tolist()
    np.testing.assert_allclose(np.stack(probabilities), 255 * expected.softmax(0).numpy(), atol=0.51)


def test_the_mask_is_a_png_of_label_values(node, tmp_path):
    labels = _bytes(*SIZE, top=3).astype(np.uint8)
    labels.tofile(tmp_path / "values")
    paths = {"values": str(tmp_path / "values"), "out": str(tmp_path / "mask.png")}
    node({"task": "encode", "shape": SIZE, **paths})
    picture = Image.open(tmp_path / "mask.png")
    assert picture.mode == "L"
    np.testing.assert_array_equal(np.asarray(picture), labels)
