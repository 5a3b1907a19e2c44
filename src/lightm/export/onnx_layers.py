"""Every layer of LightM-UNet and of the released networks as ONNX nodes: `add(layer, graph, x)`, its forward again.

x is the name of a value in the graph. Volumes are (B, C, *S), tokens (B, L, C); the sizes B and S are read off the
input whenever the network runs, so that it takes any.
"""

from functools import singledispatch

from monai.networks.blocks.segresnet_block import ResBlock
from torch import nn

from lightm.errors import LightMError
from lightm.export.onnx_graph import Graph
from lightm.export.onnx_scan import selective_scan
from lightm.models.mamba import Mamba
from lightm.models.mixers import Conv3, SelfAttention
from lightm.models.released import DWConvBlock, MambaBlock, QKVAttention, ReleasedLightMUNet, ReleasedRVMLayer
from lightm.models.rvm import RVMLayer
from lightm.models.unet import DecoderBlock, EncoderBlock, LightMUNet, RVMStack
from lightm.models.vss import CAUSAL_WIDTH, CausalDWConv, SelectiveSSM, SpatialDWConv, VSSModule

FARTHEST = -(2**63)  # where a slice ends that runs backwards to the beginning


@singledispatch
def add(layer: nn.Module, g: Graph, x: str, *grid: str) -> str:
    """Add a layer to the graph; returns the name of its output. Layers over tokens also get the grid's sizes (S,)."""
    raise LightMError(
        f"{g.place(layer)} is a {type(layer).__name__}, which the export to ONNX does not know; "
        "export LightM-UNet, its ablations or a released network."
    )


# ---- PyTorch's layers -----------------------------------------------------------------------------------------------


@add.register
def _(layer: nn.Sequential, g: Graph, x: str) -> str:
    for child in layer:
        x = add(child, g, x)
    return x


@add.register
def _(layer: nn.Identity, g: Graph, x: str) -> str:
    return x


@add.register
def _(layer: nn.ReLU, g: Graph, x: str) -> str:
    return g("Relu", x)


@add.register(nn.Conv2d)
@add.register(nn.Conv3d)
def _(layer: nn.Conv2d | nn.Conv3d, g: Graph, x: str) -> str:
    return _conv(g, layer, x, [*layer.padding] * 2)


@add.register(nn.MaxPool2d)
@add.register(nn.MaxPool3d)
def _(layer: nn.MaxPool2d | nn.MaxPool3d, g: Graph, x: str) -> str:
    return _halve(g, x)  # the networks here have no other


@add.register
def _(layer: nn.Upsample, g: Graph, x: str) -> str:
    return _double(g, x)


@add.register
def _(layer: nn.Linear, g: Graph, x: str) -> str:
    y = g("MatMul", x, g("Transpose", g.weight(layer, "weight"), perm=[1, 0]))
    return y if layer.bias is None else g("Add", y, g.weight(layer, "bias"))


@add.register
def _(layer: nn.LayerNorm, g: Graph, x: str) -> str:
    parameters = g.weight(layer, "weight"), g.weight(layer, "bias")
    return g("LayerNormalization", x, *parameters, axis=-1, epsilon=layer.eps)


@add.register
def _(layer: nn.GroupNorm, g: Graph, x: str) -> str:
    parameters = g.weight(layer, "weight"), g.weight(layer, "bias")
    return g("GroupNormalization", x, *parameters, num_groups=layer.num_groups, epsilon=layer.eps)


# ---- LightM-UNet (lightm.models.unet, rvm, vss, mixers) -------------------------------------------------------------


@add.register
def _(net: LightMUNet, g: Graph, x: str) -> str:
    x = shallow = add(net.stem, g, x)
    skips = []
    for block in net.encoder:
        x = add(block, g, x)
        skips.append(x)
    x = add(net.bottleneck, g, x)
    for block in net.decoder:
        x = add(block, g, g("Add", x, skips.pop()))
    if net.stem_to_head:
        x = g("Add", x, shallow)
    return add(net.head, g, x)


@add.register
def _(block: EncoderBlock, g: Graph, x: str) -> str:
    return _halve(g, add(block.stack, g, x))


@add.register
def _(block: DecoderBlock, g: Graph, fused: str) -> str:
    s = g("Reshape", g.weight(block, "s"), g.constant(-1, *[1] * g.dims))  # (C, 1, 1) or (C, 1, 1, 1)
    y = g("Relu", g("Add", add(block.dwconv, g, fused), g("Mul", s, fused)))
    return _double(g, add(block.halve, g, y))


@add.register
def _(stack: RVMStack, g: Graph, x: str) -> str:
    grid, tokens = g("Shape", x, start=2), _tokens(g, x)
    for layer in stack.layers:
        tokens = add(layer, g, tokens, grid)
    return _volume(g, tokens, grid)


@add.register
def _(layer: RVMLayer, g: Graph, x: str, grid: str) -> str:
    m = add(layer.mixer, g, add(layer.norm_in, g, x), grid)
    if layer.residual:
        m = g("Add", m, x if layer.s is None else g("Mul", g.weight(layer, "s"), x))
    return add(layer.proj, g, add(layer.norm_out, g, m))


@add.register
def _(vss: VSSModule, g: Graph, x: str, grid: str) -> str:
    u = _silu(g, add(vss.dwconv, g, add(vss.in_proj, g, x), grid))
    total = ""
    for direction, ssm in enumerate(vss.ssms):
        y = _from_direction(g, add(ssm, g, _to_direction(g, u, grid, direction)), grid, direction)
        total = g("Add", total, y) if total else y
    gate = _silu(g, add(vss.gate_proj, g, x))
    return add(vss.out_proj, g, g("Mul", add(vss.norm, g, total), gate))


@add.register
def _(ssm: SelectiveSSM, g: Graph, u: str) -> str:
    delta, B, C = _selection(g, ssm, u)
    return _scan(g, ssm, u, g("Softplus", g("Add", delta, g.weight(ssm, "dt_bias"))), B, C)


@add.register(SpatialDWConv)
@add.register(Conv3)
def _(layer: SpatialDWConv | Conv3, g: Graph, x: str, grid: str) -> str:
    return _tokens(g, add(layer.conv, g, _volume(g, x, grid)))


@add.register
def _(layer: CausalDWConv, g: Graph, x: str, grid: str) -> str:
    column = g("Unsqueeze", g("Transpose", x, perm=[0, 2, 1]), g.constant(3))  # (B, D, L, 1)
    return _tokens(g, _conv(g, layer.conv, column, [CAUSAL_WIDTH - 1, 0, 0, 0]))


@add.register
def _(layer: SelfAttention, g: Graph, x: str, grid: str) -> str:
    qkv = g("Split", add(layer.qkv, g, x), outputs=3, num_outputs=3, axis=-1)
    return add(layer.out_proj, g, _attention(g, qkv, layer.heads, layer.out_proj.in_features // layer.heads))


# ---- the released networks (lightm.models.released, mamba) ----------------------------------------------------------


@add.register
def _(net: ReleasedLightMUNet, g: Graph, x: str) -> str:
    x, skips = add(net.convInit, g, x), []
    for down in net.down_layers:
        x = add(down, g, x)
        skips.append(x)
    skips.pop()
    for up, block in zip(net.up_samples, net.up_layers, strict=True):
        x = add(block, g, g("Add", add(up, g, x), skips.pop()))
    return add(net.conv_final, g, x)


@add.register(MambaBlock)
@add.register(ResBlock)
def _(block: MambaBlock | ResBlock, g: Graph, x: str) -> str:
    y = add(block.conv1, g, g("Relu", add(block.norm1, g, x)))
    return g("Add", add(block.conv2, g, g("Relu", add(block.norm2, g, y))), x)


@add.register
def _(block: DWConvBlock, g: Graph, x: str) -> str:
    y = add(block.conv, g, g("Relu", add(block.norm1, g, x)))
    return g("Relu", add(block.norm2, g, g("Add", y, g("Mul", g.weight(block, "skip_scale"), x))))


@add.register
def _(layer: ReleasedRVMLayer, g: Graph, x: str) -> str:
    grid, tokens = g("Shape", x, start=2), _tokens(g, x)
    m = add(layer.mamba, g, add(layer.norm, g, tokens))
    if layer.residual:
        scaled = tokens if layer.skip_scale is None else g("Mul", g.weight(layer, "skip_scale"), tokens)
        m = g("Add", m, scaled)
    return _volume(g, add(layer.proj, g, add(layer.norm, g, m)), grid)


@add.register
def _(mamba: Mamba, g: Graph, x: str) -> str:
    u, z = g("Split", add(mamba.in_proj, g, x), outputs=2, num_outputs=2, axis=-1)
    u = _conv(g, mamba.conv1d, g("Transpose", u, perm=[0, 2, 1]), [*mamba.conv1d.padding, 0])
    u = _silu(g, g("Transpose", u, perm=[0, 2, 1]))
    delta, B, C = _selection(g, mamba, u)
    y = _scan(g, mamba, u, g("Softplus", delta), B, C)
    return add(mamba.out_proj, g, g("Mul", y, _silu(g, z)))


@add.register
def _(layer: QKVAttention, g: Graph, x: str) -> str:
    qkv = [add(f, g, x) for f in (layer.q, layer.k, layer.v)]
    return _attention(g, qkv, layer.heads, layer.q.out_features // layer.heads)


# ---- what they share ------------------------------------------------------------------------------------------------


def _conv(g: Graph, conv: nn.Module, x: str, pads: list[int]) -> str:
    """A convolution with zeros added, `pads`, before the first and behind the last of every axis: (2, 2, 3, 3)."""
    parameters = [g.weight(conv, "weight"), *([] if conv.bias is None else [g.weight(conv, "bias")])]
    kernel, strides, dilations = list(conv.kernel_size), list(conv.stride), list(conv.dilation)
    return g(
        "Conv",
        x,
        *parameters,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=conv.groups,
        pads=pads,
    )


def _halve(g: Graph, x: str) -> str:
    return g("MaxPool", x, kernel_shape=[2] * g.dims, strides=[2] * g.dims)


def _double(g: Graph, x: str) -> str:
    """`lightm.kernels.upsample`."""
    scales = g("Constant", value_floats=[1.0, 1.0, *[2.0] * g.dims])
    return g("Resize", x, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")


def _tokens(g: Graph, x: str) -> str:
    """(B, C, *S) -> (B, L, C)."""
    return g("Transpose", g("Reshape", x, g.constant(0, 0, -1)), perm=[0, 2, 1])


def _volume(g: Graph, x: str, grid: str) -> str:
    """(B, L, C) -> (B, C, *S)."""
    return g("Reshape", g("Transpose", x, perm=[0, 2, 1]), g("Concat", g.constant(0, 0), grid, axis=0))


def _silu(g: Graph, x: str) -> str:
    return g("Mul", x, g("Sigmoid", x))


def _selection(g: Graph, ssm: SelectiveSSM | Mamba, u: str) -> list[str]:
    """What is read off u: delta (B, L, D), before dt_bias and softplus, B and C (B, L, N)."""
    sizes = g.constant(*ssm.split)
    dt, B, C = g("Split", add(ssm.x_proj, g, u), sizes, outputs=3, axis=-1)
    return [add(ssm.dt_proj, g, dt), B, C]


def _scan(g: Graph, ssm: SelectiveSSM | Mamba, u: str, delta: str, B: str, C: str) -> str:
    A = g("Neg", g("Exp", g.weight(ssm, "A_log")))
    y = selective_scan(g, u, delta, A, B, C, *ssm.A_log.shape)
    return g("Add", y, g("Mul", u, g.weight(ssm, "D")))


def _to_direction(g: Graph, x: str, grid: str, direction: int) -> str:
    """`lightm.models.vss.to_direction`."""
    if direction >= 2:
        x = g("Reshape", x, g("Concat", g.constant(0), grid, g.constant(-1), axis=0))  # (B, *S, C)
        x = g("Transpose", x, perm=[0, *range(g.dims, 0, -1), g.dims + 1])
        x = g("Reshape", x, g("Concat", g.constant(0, -1), g("Shape", x, start=g.dims + 1), axis=0))
    return _flip(g, x) if direction % 2 else x


def _from_direction(g: Graph, x: str, grid: str, direction: int) -> str:
    x = _flip(g, x) if direction % 2 else x
    reversed_grid = g("Gather", grid, g.constant(*reversed(range(g.dims)))) if direction >= 2 else ""
    return _to_direction(g, x, reversed_grid, 2) if direction >= 2 else x


def _flip(g: Graph, x: str) -> str:
    """Tokens (B, L, C) from the last to the first."""
    return g("Slice", x, g.constant(-1), g.constant(FARTHEST), g.constant(1), g.constant(-1))


def _attention(g: Graph, qkv: list[str], heads: int, width: int) -> str:
    """Each of the three (B, L, C) -> (B, L, C), every head of C / heads = `width` channels by itself."""
    split, scale = g.constant(0, 0, heads, width), g("Constant", value_float=width**-0.5)
    q, k, v = (g("Reshape", x, split) for x in qkv)  # (B, L, heads, width)
    q, v = (g("Transpose", x, perm=[0, 2, 1, 3]) for x in (q, v))
    scores = g("MatMul", q, g("Transpose", k, perm=[0, 2, 3, 1]))  # (B, heads, L, L)
    y = g("MatMul", g("Softmax", g("Mul", scores, scale), axis=-1), v)
    return g("Reshape", g("Transpose", y, perm=[0, 2, 1, 3]), g.constant(0, 0, heads * width))
