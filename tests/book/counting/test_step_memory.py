"""The counted memory: by hand on a layer, and against the allocator's own events on real steps."""

import json

import pytest
import torch
from torch import nn

from lightm.errors import LightMError
from lightm.models import build_model
from lightm.models.mamba import Mamba
from lightm_book import ROOT
from lightm_book.counting.memory import StepMemory, count_memory, largest_batch, measure_peak, with_fused_mamba
from lightm_book.counting.memory_table import BATCH, PAPER_SIZE, SYSTEMS, count_row, read_memory, settings

RECORD = ROOT / "results" / "memory.json"


def test_two_layers_by_hand():
    step = count_memory(nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 4)), (5, 8), optimizer="sgd")  # logits (1, 5, 4)
    parameters = 4 * (8 * 16 + 16 + 16 * 4 + 4)
    assert step.parameters == step.gradients == step.optimizer == parameters
    assert step.rows()["0"] == 4 * 5 * 16  # the first layer's output is the second one's input
    assert "1" not in step.rows()  # nothing needs the logits: the loss keeps their log-softmax
    assert sum(step.by_module.values()) == sum(step.by_operation.values()) == step.activations
    assert step.peak > step.parameters + step.optimizer + step.activations


def test_the_model_stays_as_it_was():
    model = nn.Conv2d(3, 4, 3)  # the logits are smaller than the image
    before = {key: value.clone() for key, value in model.state_dict().items()}
    count_memory(model, (3, 8, 8))
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    assert not model._forward_hooks and model.weight.grad is None


@pytest.mark.parametrize(
    ("name", "shape", "options", "closeness"),
    [
        ("lightm-unet", (3, 32, 32), {"width": 8}, 0.001),
        ("lightm-unet-released-2024-03-17", (3, 32, 32), {"width": 8}, 0.001),
        ("segresnet", (3, 32, 32), {"init_filters": 8}, 0.1),  # oneDNN's kernels take scratch memory beside
    ],
)
def test_the_counted_peak_is_what_the_allocator_gives_out(name, shape, options, closeness):
    torch.manual_seed(0)
    model = build_model(name, 2, shape[0], 2, **options)
    counted = count_memory(model, shape, batch=2)
    images = 2 * 4 * torch.Size(shape).numel()
    step_alone = counted.peak - counted.parameters - counted.optimizer - images
    assert measure_peak(model, shape, 2) == pytest.approx(step_alone, rel=closeness)


def test_sixty_gigabytes_are_counted_without_allocating_them():
    one, two = (count_memory(Mamba(64), (2**21, 64), batch) for batch in (1, 2))
    assert two.peak > 10 * 2**30
    assert 1.99 < two.activations / one.activations <= 2


def test_bf16_takes_about_half():
    model = build_model("lightm-unet", 2, 3, 2, width=8)
    full, half = (count_memory(model, (3, 64, 64), precision=precision) for precision in ("fp32", "bf16"))
    assert 0.4 < half.activations / full.activations < 0.8
    assert half.parameters == full.parameters


def test_checkpointing_keeps_the_inputs_of_blocks_only():
    model = build_model("lightm-unet", 2, 3, 2, width=8)
    plain, again = (count_memory(model, (3, 64, 64), checkpointing=c) for c in (False, True))
    assert again.activations < 0.3 * plain.activations and again.peak < 0.7 * plain.peak
    assert again.gradients == plain.gradients


def test_the_fused_kernel_keeps_what_its_source_says():
    L, C, D, N, R = 256, 16, 32, 16, 1
    block = Mamba(C)
    kept = count_memory(with_fused_mamba(nn.Sequential(nn.Linear(C, C), block)), (L, C))
    tokens = {"projected input x, z": 2 * D, "Δ, B, C": R + 2 * N, "copies of B, C": 2 * N, "y": D}
    states = D * 2 * N  # one chunk of 2048 tokens
    A_and_its_exponential = 2 * 4 * D * N
    ours = kept.rows()["1"]
    assert ours == 4 * L * sum(tokens.values()) + 4 * states + A_and_its_exponential
    assert count_memory(nn.Sequential(nn.Linear(C, C), block), (L, C)).rows()["1"] > ours


def test_the_largest_batch_is_the_last_that_fits():
    def step(batch, peak):
        return StepMemory((1, 8), batch, 0, 0, 0, 0, peak, {}, {})

    one, four = step(1, 100), step(4, 190)
    assert [largest_batch(c, one, four) for c in (99, 100, 129, 130, 159, 190, 251)] == [0, 1, 1, 2, 2, 4, 6]
    for wrong in ((four, one), (one, one)):
        with pytest.raises(LightMError, match="with 1 and with more images"):
            largest_batch(100, *wrong)


def test_batches_lie_on_a_line():
    row = count_row("lightm-unet-1m", 2, 64)
    with torch.device("meta"):
        model = build_model("lightm-unet-1m", 2, 3, 2)
    half = count_memory(model, (3, 64, 64), batch=BATCH[2] // 2)
    assert half.activations == pytest.approx(row.one.activations * BATCH[2] / 2, rel=0.01)
    assert row.peak(1) == row.one.peak and row.peak(BATCH[2]) == row.many.peak
    assert row.peak(BATCH[2] // 2) == pytest.approx(half.peak, rel=0.02)


@pytest.mark.parametrize(("key", "value"), [("precision", "fp16"), ("optimizer", "lion")])
def test_an_unknown_setting_is_named(key, value):
    with pytest.raises(LightMError, match=f"{key}='{value}' is unknown"):
        count_memory(nn.Linear(2, 2), (3, 2), **{key: value})


def test_the_record_holds_every_setting_and_can_be_counted_again():
    record = read_memory(RECORD)
    assert len(record) == len(list(settings()))
    for model in SYSTEMS:
        for dims, side in PAPER_SIZE.items():
            assert record[model, dims, side, "fp32", False, False].many
    for model, side in (("segresnet", 512), ("lightm-unet", 256)):
        recorded = record[model, 2, side, "fp32", False, False]
        assert count_row(model, 2, side, many=recorded.many is not None).as_dict() == recorded.as_dict() | {
            "by_part": recorded.one.by_module
        }


def test_a_damaged_record_is_named(tmp_path):
    path = tmp_path / "memory.json"
    path.write_text(json.dumps([{"model": "lightm-unet"}]))
    with pytest.raises(LightMError, match=r"Make it with: lightm-book count --memory"):
        read_memory(path)
