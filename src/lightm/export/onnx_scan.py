"""The selective scan in ONNX, without a node for every token.

onnxruntime's operator `LinearAttention` (domain com.microsoft, version 1.26 and newer; close to the operator of that
name in ONNX 27) carries a matrix of state S a head from token to token. With update_rule="gated" it is

    S_t = exp(g_t) S_{t-1} + k_t v_t'          o_t = S_t' q_t

With a head for every channel, keys of N numbers and values of one number, S is the channel's state h, and

    g = delta A    k = B    v = delta u    q = C

make it the scan of Mamba. All channels share one B and one C, as the operator allows for keys and queries.
(github.com/microsoft/onnxruntime, docs/ContribOperators.md; onnx.ai/onnx/operators/onnx__LinearAttention.html)

The decays g are N times as large as u: (B, L, D N). So that they are never there all at once, the tokens come in M
chunks of T, and ONNX's operator Scan takes the state from one to the next. That is also faster.
"""

from lightm.export.onnx_graph import Graph

CHUNK_NUMBERS = 2**16  # of g in a chunk, an image: a quarter of a megabyte stays in a core's cache


def selective_scan(g: Graph, u: str, delta: str, A: str, B: str, C: str, channels: int, states: int) -> str:
    """y (B, L, D) without the term D u. u, delta (B, L, D), delta after its softplus; A (D, N); B, C (B, L, N)."""
    chunk, one = max(1, CHUNK_NUMBERS // (channels * states)), g.constant(1)
    length = g("Shape", u, start=1, end=2)  # L, like M and T a list of one number
    chunks = _ceiling(g, length, g.constant(chunk))  # M
    tokens = _ceiling(g, length, chunks)  # T <= chunk, and M T - L < M
    missing = g("Sub", g("Mul", chunks, tokens), length)
    pads = g("Concat", g.constant(0, 0, 0, 0), missing, g.constant(0), axis=0)
    shape = g("Concat", g.constant(0), chunks, tokens, g.constant(-1), axis=0)

    def cut(x: str) -> str:
        """(B, L, X) -> (B, M, T, X). Tokens added at the end are zero; the state goes on, and their y is dropped."""
        return g("Reshape", g("Pad", x, pads), shape)

    def step(h: str, delta: str, v: str, B: str, C: str) -> tuple[str, str]:
        decay = g("Mul", g("Unsqueeze", delta, g.constant(3)), A)  # (B, T, D, N)
        decay = g("Reshape", decay, g.constant(0, 0, -1))
        heads = {"q_num_heads": 1, "kv_num_heads": channels}
        y, h = g(
            "LinearAttention",
            *(C, B, v, h, decay),
            outputs=2,
            domain="com.microsoft",
            update_rule="gated",
            scale=1.0,
            **heads,
        )
        return h, y

    state_shape = g("Concat", g("Shape", u, end=1), g.constant(channels, states, 1), axis=0)
    first = g("ConstantOfShape", state_shape)  # zeros (B, D, N, 1)
    y = g.scan(step, first, [cut(x) for x in (delta, g("Mul", delta, u), B, C)])  # (B, M, T, D)
    y = g("Reshape", y, g.constant(0, -1, channels))
    return g("Slice", y, g.constant(0), length, one)  # (B, L, D)


def _ceiling(g: Graph, a: str, b: str) -> str:
    """a / b rounded up, for whole numbers of at least one."""
    return g("Div", g("Sub", g("Add", a, b), g.constant(1)), b)
