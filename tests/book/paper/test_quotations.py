"""What we quote of the paper and of the authors' code is what stands there."""

import pytest
from paper_evidence import PRINTED
from paper_text import normalised, paper, quotations, read_windows, sha256

# SHA-256 of the tensors in a state_dict of each upload of the authors' code, "NAME SHAPE" a line, sorted by name.
TENSORS = {
    ("2024-03-17", 2): "daff1c7a16defc117db7935129a87b83bb0f1d6f4b8e502ded1e70492beb90f7",
    ("2024-03-17", 3): "a1ffc57d54f768421126ab127110c2d29e6afd6797e1afd4a3a381a4d4b88f17",
    ("2024-03-29", 2): "3b416dae519f7ab66b7d48016709dea8f947c6bc6f01093977d95cfb199d43f5",
    ("2024-03-29", 3): "e6537845ab2b829d0a18922baf8d04ece849a3fc6e6cc9352ecbcd07344905ca",
}


def test_every_quotation_has_the_hash_of_the_papers_words():
    windows = read_windows()
    quoted = quotations()
    assert windows.keys() == quoted.keys()
    assert {n: (len(q), sha256(q)) for n, q in quoted.items()} == {n: window[1:] for n, window in windows.items()}


def test_the_hashes_are_those_of_the_paper():
    text = normalised(paper("lightm-unet-paper.txt"))
    captions = [*(text.index(f"Table {number}: ") for number in (1, 2, 3)), len(text)]
    for name, (start, length, digest) in read_windows().items():
        assert sha256(text[start : start + length]) == digest, name
        if name.startswith("Table"):
            number = int(name[6])
            assert captions[number - 1] < start < captions[number], name


def lines(date: str, dims: int) -> list[str]:
    shapes = PRINTED.networks.shapes(f"lightm-unet-released-{date}", dims)
    return sorted(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())


@pytest.mark.parametrize(("date", "dims"), TENSORS)
def test_the_rebuilt_uploads_have_the_authors_names_and_shapes(date, dims):
    assert sha256("".join(f"{line}\n" for line in lines(date, dims))) == TENSORS[date, dims]


@pytest.mark.parametrize(("date", "dims"), TENSORS)
def test_the_hashes_of_the_uploads_are_those_of_the_authors_names(date, dims):
    theirs = paper(f"released_{date}_{dims}d_state_dict.tsv").splitlines()[1:]
    assert lines(date, dims) == sorted(line.replace("\t", " ") for line in theirs)
