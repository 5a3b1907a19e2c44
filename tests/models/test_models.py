"""Networks by name, and the token mixers of the ablations."""

import subprocess
import sys

import pytest
import torch

from lightm.counting import count
from lightm.errors import LightMError
from lightm.models import build_model, list_models, options_for_size
from lightm.models.mixers import Conv3, SelfAttention
from lightm.models.vss import VSSModule

NAMES = ["lightm-unet", "paper-conv3", "paper-attention", "paper-no-adjustment", "paper-no-residual"]
SMALL = {"width": 8, "depths": (1, 1), "bottleneck_depth": 2}


def test_list_models_names_each_network_with_its_place_in_the_paper():
    infos = {info.name: info for info in list_models()}
    assert set(NAMES) <= set(infos)
    for name, info in infos.items():
        assert info.summary and info.paper_section and info.name == name


def one_million(spatial_dims, name="lightm-unet-1m", **options):
    """Its true count at the paper's image size, image channels and classes."""
    channels, classes, size = {2: (3, 2, (512, 512)), 3: (1, 3, (128, 128, 128))}[spatial_dims]
    with torch.device("meta"):
        return count(build_model(name, spatial_dims, channels, classes, **options), (channels, *size))


def test_lightm_unet_1m_keeps_what_the_headline_says_with_everything_counted():
    counted = one_million(2)
    assert counted.params <= 1_090_000 and counted.macs <= 22_300_000_000
    assert counted.by_operation["scan"] > 0 and sum(counted.by_operation.values()) == counted.macs
    assert one_million(3).params <= 1_090_000


def test_lightm_unet_1m_is_the_texts_network_at_the_largest_width_within_the_budget():
    assert one_million(2) == one_million(2, "lightm-unet", width=20)
    assert one_million(2, "lightm-unet", width=21).params > 1_090_000


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_lightm_unet_1m_learns_with_all_its_parameters(spatial_dims):
    torch.manual_seed(0)
    model = build_model("lightm-unet-1m", spatial_dims, 1, 2)
    image = torch.randn(1, 1, *[16] * spatial_dims)
    label = (image[:, 0] > 0).long()
    losses = []
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(4):
        loss = torch.nn.functional.cross_entropy(model(image), label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert [n for n, p in model.named_parameters() if not p.grad.abs().max() > 0] == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(8, 12), (4, 8, 4)])
def test_every_model_maps_images_to_logits_and_learns_with_all_its_parameters(name, size):
    torch.manual_seed(0)
    model = build_model(name, len(size), 2, 3, **SMALL)
    logits = model(torch.randn(1, 2, *size))
    assert logits.shape == (1, 3, *size)
    logits.square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


def mixers(name):
    model = build_model(name, 2, 1, 2, **SMALL)
    encoder = {type(layer.mixer) for block in model.encoder for layer in block.stack.layers}
    return encoder, {type(layer.mixer) for layer in model.bottleneck.layers}


def test_conv3_replaces_all_vss_modules_and_attention_those_of_the_bottleneck():
    assert mixers("lightm-unet") == ({VSSModule}, {VSSModule})
    assert mixers("paper-conv3") == ({Conv3}, {Conv3})
    assert mixers("paper-attention") == ({VSSModule}, {SelfAttention})


def test_no_adjustment_and_no_residual_differ_from_the_paper_by_the_factors_of_nine_layers():
    def size(name):
        return sum(p.numel() for p in build_model(name, 2, 1, 2).parameters())

    factors = 32 + 2 * 64 + 2 * 128 + 4 * 256
    assert size("lightm-unet") - size("paper-no-adjustment") == factors
    assert size("lightm-unet") - size("paper-no-residual") == factors


def test_conv3_counts_c_squared_times_3_to_the_d():
    assert sum(p.numel() for p in Conv3(6, 2).parameters()) == 6 * 6 * 9
    assert sum(p.numel() for p in Conv3(6, 3).parameters()) == 6 * 6 * 27


def test_self_attention_is_softmax_of_scaled_products():
    torch.manual_seed(0)
    attention, x = SelfAttention(6, heads=2), torch.randn(2, 5, 6)
    q, k, v = attention.qkv(x).chunk(3, dim=-1)  # (B, L, C), a head's channels are neighbours
    heads = []
    for h in (slice(0, 3), slice(3, 6)):
        weights = torch.softmax(q[..., h] @ k[..., h].transpose(1, 2) / 3**0.5, dim=-1)  # (B, L, L)
        heads.append(weights @ v[..., h])
    torch.testing.assert_close(attention(x, (5, 1)), attention.out_proj(torch.cat(heads, dim=-1)))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lightm-nuet", {}, "no model 'lightm-nuet'. Did you mean 'lightm-unet'"),
        ("lightm-unet", {"widht": 8}, "no option 'widht'. Did you mean 'width'"),
        ("paper-conv3", {"directions": 2}, "'paper-conv3' has no option 'directions'"),
        ("lightm-unet-1m", {"width": 32}, "'lightm-unet-1m' has no option 'width'"),
        ("paper-no-adjustment", {"adjustment": True}, "has no option 'adjustment'"),
        ("paper-attention", {"heads": 7}, "heads=7 must divide"),
    ],
)
def test_unknown_names_and_options_get_a_suggestion(name, options, message):
    with pytest.raises(LightMError, match=message):
        build_model(name, 2, 1, 2, **options)


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("lightm-unet", (64, 64), {}),
        ("nnunet", (64, 64), {"n_stages": 5}),
        ("u-mamba-enc", (192, 192), {"n_stages": 6}),
        ("nnunet", (16, 24, 16), {"n_stages": 3}),
        ("nnunet", (100, 100), {"n_stages": 3}),  # 25 can't be halved
        ("nnunet", (512, 512), {}),  # the default, made for it
        ("unetr", (64, 64), {"img_size": 64}),
        ("unetr", (32, 48, 32), {"img_size": [32, 48, 32]}),
        ("unetr", (128, 128, 128), {}),
    ],
)
def test_the_options_for_an_image_size_are_what_the_network_must_be_told(name, size, options):
    assert options_for_size(name, size) == options


def test_networks_that_need_no_package_are_built_and_listed_without_loading_one():
    """`needs` is true: neither MONAI nor the baselines' library is loaded by a network that names none."""
    code = (
        "import sys\n"
        "from lightm.models import build_model, list_models\n"
        "names = [info.name for info in list_models() if not info.needs]\n"
        "for name in names: build_model(name, 2, 1, 2)\n"
        "print(len(names), [m for m in ('monai', 'dynamic_network_architectures') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "6 []"
