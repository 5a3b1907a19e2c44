"""What the paper says about the network, held against our networks and against made-up ones."""

from types import SimpleNamespace

import pytest
from paper_evidence import FakeNetworks, verdict

from lightm_book.paper import CLAIMS, Evidence, Verdict
from lightm_book.paper.checks.network import WORDS
from lightm_book.paper.evidence import TEXT

FIRST, SECOND = "lightm-unet-released-2024-03-17", "lightm-unet-released-2024-03-29"
RELEASED = {
    "method-decoder-code-1": "CONTRADICTED",
    "method-scale-code-1": "CONTRADICTED",
    "method-factor-code": "CONTRADICTED",
    "method-second-norm-code": "CONTRADICTED",
    "method-ssm-norm-code": "CONTRADICTED",
    "method-dwconv-code": "CONVENTION",
    "method-expansion": "CONVENTION",
    "method-bottleneck-code": "CONVENTION",  # four blocks of two layers
    "method-decoder-code-2": "REPRODUCED",
    "method-scale-code-2": "REPRODUCED",
    "setup-depths-code": "CONVENTION",  # one, two and two blocks of two layers
}
# What a network other than the paper's would have: no name and no shape is the one that is asked for.
WRONG = {"encoder.0.weight": (3, 3), "bottleneck.0.proj.weight": (2, 1), "decoder.0.A_log": (1, 1)}
WRONG_UPLOAD = {
    "up_layers.0.0.conv.0.conv.weight": (4, 4, 3, 3, 3),
    "down_layers.0.1.conv1.mamba.A_log": (64, 16),
    "down_layers.1.1.mamba.in_proj.weight": (64, 16),
    "down_layers.1.2.mamba.in_proj.weight": (64, 32),
    "down_layers.3.1.conv1.mamba.A_log": (64, 16),
    "up_layers.0.0.conv1.conv.weight": (4, 4, 3, 3, 3),
}


@pytest.mark.parametrize("id", RELEASED)
def test_the_released_code_against_the_text(id):
    assert verdict(id).name == RELEASED[id]


@pytest.mark.parametrize("id", [c.id for c in CLAIMS.values() if c.check in ("tensors", "expansion")])
def test_tensors_of_another_network_contradict(id):
    shapes = {TEXT: WRONG, FIRST: WRONG_UPLOAD, SECOND: WRONG_UPLOAD}
    assert verdict(id, Evidence(networks=FakeNetworks(shapes))) is Verdict.CONTRADICTED


@pytest.mark.parametrize("id", [c.id for c in CLAIMS.values() if c.check in ("linear", "quadratic", "little_more")])
def test_costs_that_grow_otherwise_contradict(id):
    names = (TEXT, "paper-no-adjustment", "paper-no-residual", "unetr", "swin-unetr")
    sizes = [2, 3, *((n, n) for n in (128, 256, 512))]
    counts = {
        (name, size): SimpleNamespace(
            params=1000 if name == TEXT else 1, macs=size if isinstance(size, int) else int(size[0] ** 1.5)
        )
        for name in names
        for size in sizes
    }
    assert verdict(id, Evidence(networks=FakeNetworks(counts=counts))) is Verdict.CONTRADICTED


def test_attention_is_quadratic_over_all_tokens_and_not_within_windows():
    finding = CLAIMS["introduction-quadratic"].judge(Evidence())
    assert finding.verdict is Verdict.CONVENTION
    assert "`unetr` 4.14, then 4.55 times the MACs, exactly" in finding.note and "not quadratic" in finding.note


def test_trainers_are_those_of_all_networks():
    assert verdict("setup-optimiser") is Verdict.CONTRADICTED
    assert verdict("setup-optimiser", quote="Adam was employed as the optimizer") is Verdict.CONVENTION
    assert verdict("setup-learning-rate") is verdict("setup-schedule") is Verdict.CONVENTION
    assert verdict("setup-learning-rate", quote="a learning rate of 1e-2") is Verdict.CONTRADICTED
    assert "SGD together with 0.0001 is in none of them" in CLAIMS["setup-optimiser"].judge(Evidence()).note


def test_number_words_of_quotations_are_known():
    asked = [c.quote for c in CLAIMS.values() if c.check == "tensors" and c.arguments.get("number") == "word"]
    assert asked and all(set(quote.split()) & WORDS.keys() for quote in asked)
