"""Vector values for numba: arithmetic on whole registers, written with + - * /, and no compiler on the user's machine.

Skip this file on a first reading: it extends numba's compiler, and what it adds explains itself where kernels use it
(scan/cpu_forward.py). It is here because numba's own vectoriser, which turns a loop over channels into vector code,
spends two to three times the cycles on the exponentials that dominate the scan. So numba gets a value type, `Vector`:
LLVM's <lanes x float>, or a tile of several ("parts": the scan keeps four states of a block of channels in registers).
LLVM maps it to whatever registers the processor has. Kernels then read like the formulas:

    h = exp2(dt * a) * h + x * spread(B, i, 4)

A product followed by a sum may become one fused multiply-add; nothing else is rearranged, so results are reproducible.
"""

import operator

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils, config
from numba.core.errors import RequireLiteralValue
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model


def _has_avx512() -> bool:
    """Whether numba compiles for a processor with AVX-512: this one, unless NUMBA_CPU_FEATURES says otherwise."""
    if config.CPU_FEATURES is not None:
        return "+avx512f" in config.CPU_FEATURES.split(",")
    return bool(llvm.get_host_cpu_features().get("avx512f"))


HAS_AVX512 = _has_avx512()
REGISTER_BYTES = 64 if HAS_AVX512 else 32
I32, I64 = ir.IntType(32), ir.IntType(64)


def lanes_of(dtype: np.dtype) -> int:
    """Values in a vector: 16 of float32 with AVX-512, 8 elsewhere; half as many of float64."""
    return REGISTER_BYTES // np.dtype(dtype).itemsize


# ---- The type ------------------------------------------------------------------------------------


class Vector(types.Type):
    """`parts` LLVM vectors of `lanes_of(element)` values."""

    def __init__(self, element: types.Float, parts: int):
        self.element, self.parts, self.lanes = element, parts, REGISTER_BYTES * 8 // element.bitwidth
        super().__init__(name=f"Vector({element}, {parts} x {self.lanes})")

    @property
    def scalar_type(self):
        return ir.FloatType() if self.element.bitwidth == 32 else ir.DoubleType()

    @property
    def llvm_type(self):
        return ir.VectorType(self.scalar_type, self.lanes)

    @property
    def bits_type(self):
        return ir.VectorType(ir.IntType(self.element.bitwidth), self.lanes)

    @property
    def mantissa(self) -> int:
        return 23 if self.element.bitwidth == 32 else 52

    @property
    def bias(self) -> int:
        return 127 if self.element.bitwidth == 32 else 1023

    def constant(self, value: float) -> ir.Constant:
        value = float(np.float32(value)) if self.element.bitwidth == 32 else float(value)
        return ir.Constant(self.llvm_type, [value] * self.lanes)

    def splat(self, builder, scalar):
        first = builder.insert_element(ir.Constant(self.llvm_type, ir.Undefined), scalar, ir.Constant(I32, 0))
        return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes))


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, ir.ArrayType(vector.llvm_type, vector.parts))


def unpack(builder, value) -> list:
    return [builder.extract_value(value, i) for i in range(value.type.count)]


def pack(builder, parts: list):
    value = ir.Constant(ir.ArrayType(parts[0].type, len(parts)), ir.Undefined)
    for i, part in enumerate(parts):
        value = builder.insert_value(value, part, i)
    return value


def _literal(number: types.Type) -> int:
    if not isinstance(number, types.IntegerLiteral):
        raise RequireLiteralValue("The number of parts of a vector must be a literal.")
    return number.literal_value


# ---- Memory: arrays are flat, an index counts elements -------------------------------------------


def _address(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def _vector_at(builder, vector, address, part: int):
    address = builder.gep(address, [ir.Constant(I64, part * vector.lanes)])
    return builder.bitcast(address, vector.llvm_type.as_pointer())


@intrinsic(prefer_literal=True)
def load(typing_context, array, index, parts):
    """`parts` (a literal) consecutive vectors at array[index]."""
    vector = Vector(array.dtype, _literal(parts))

    def codegen(context, builder, sig, args):
        address = _address(context, builder, sig.args[0], args[0], args[1])
        align = vector.element.bitwidth // 8
        return pack(
            builder, [builder.load(_vector_at(builder, vector, address, i), align=align) for i in range(vector.parts)]
        )

    return vector(array, types.intp, parts), codegen


@intrinsic
def store(typing_context, array, index, value):
    """Writes the parts of a vector one after the other to array[index]."""

    def codegen(context, builder, sig, args):
        address = _address(context, builder, sig.args[0], args[0], args[1])
        for i, part in enumerate(unpack(builder, args[2])):
            builder.store(part, _vector_at(builder, value, address, i), align=value.element.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), codegen


def _prefetch(array, to_write: int):
    def codegen(context, builder, sig, args):
        address = _address(context, builder, sig.args[0], args[0], args[1])
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        purpose, keep, data = ir.Constant(I32, to_write), ir.Constant(I32, 3), ir.Constant(I32, 1)
        builder.call(function, [builder.bitcast(address, byte), purpose, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@intrinsic
def prefetch(typing_context, array, index):
    """Asks for the cache line of array[index], which need not exist, without waiting for it."""
    return _prefetch(array, 0)


@intrinsic
def prefetch_to_write(typing_context, array, index):
    """The same for a line that will be written."""
    return _prefetch(array, 1)


@intrinsic(prefer_literal=True)
def spread(typing_context, array, index, parts):
    """Part i has array[index + i] in every lane (`parts` is a literal)."""
    vector = Vector(array.dtype, _literal(parts))

    def codegen(context, builder, sig, args):
        address = _address(context, builder, sig.args[0], args[0], args[1])
        scalars = [builder.load(builder.gep(address, [ir.Constant(I64, i)])) for i in range(vector.parts)]
        return pack(builder, [vector.splat(builder, scalar) for scalar in scalars])

    return vector(array, types.intp, parts), codegen


@intrinsic(prefer_literal=True)
def zeros(typing_context, array, parts):
    """Zeros of the array's type."""
    vector = Vector(array.dtype, _literal(parts))

    def codegen(context, builder, sig, args):
        return pack(builder, [vector.constant(0)] * vector.parts)

    return vector(array, parts), codegen


@intrinsic
def lanes(typing_context, array):
    """Values of the array's type in a vector, known to the compiler."""
    count = Vector(array.dtype, 1).lanes

    def codegen(context, builder, sig, args):
        return ir.Constant(I64, count)

    return types.intp(array), codegen


@njit(inline="always")
def scratch(like, size):
    """An uninitialised flat array that starts at a cache line: a vector that straddles two takes twice the time."""
    line = 64 // like.itemsize
    array = np.empty(size + line, like.dtype)
    first = (-(array.ctypes.data // like.itemsize)) % line
    return array[first : first + size]


# ---- Arithmetic: operators on vectors; a single part or a number meets every part ----------------


def _binary(operation, instruction: str) -> None:
    class Template(AbstractTemplate):
        def generic(self, args, keywords):
            vectors = [a for a in args if isinstance(a, Vector)]
            numbers = [a for a in args if isinstance(a, types.Float | types.Integer)]
            if len(args) == 2 and vectors and len(vectors) + len(numbers) == 2:
                return signature(max(vectors, key=lambda vector: vector.parts), *args)

    infer_global(operation)(Template)

    def lower(context, builder, sig, args):
        vector = sig.return_type
        operands = []
        for kind, value in zip(sig.args, args, strict=True):
            if isinstance(kind, Vector):
                parts = unpack(builder, value)
                operands.append(parts if len(parts) == vector.parts else parts * vector.parts)
            else:
                scalar = context.cast(builder, value, kind, vector.element)
                operands.append([vector.splat(builder, scalar)] * vector.parts)
        function = getattr(builder, instruction)
        return pack(builder, [function(x, y, flags=("contract",)) for x, y in zip(*operands, strict=True)])

    for left, right in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(operation, left, right)(lower)


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _binary(_operation, _instruction)


@intrinsic
def add_parts(typing_context, value):
    """The sum of the parts, one vector."""
    vector = Vector(value.element, 1)

    def codegen(context, builder, sig, args):
        parts = unpack(builder, args[0])
        while len(parts) > 1:
            parts = [builder.fadd(x, y, flags=("contract",)) for x, y in zip(parts[::2], parts[1::2], strict=True)]
        return pack(builder, parts)

    return vector(value), codegen


@intrinsic
def store_lane_sums(typing_context, array, index, value):
    """array[index + i] = the sum over the lanes of part i, for a value of four parts."""

    def codegen(context, builder, sig, args):
        def shuffle(x, y, order):
            return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(order)), order))

        def halves_added(x):
            lanes = list(range(x.type.count))
            return builder.fadd(shuffle(x, x, lanes[: len(lanes) // 2]), shuffle(x, x, lanes[len(lanes) // 2 :]))

        def pairs_added(x, y, *picks):  # within every four lanes, which takes the cheapest shuffles there are
            def picked(pick):  # lanes 0 to 3 are x's, 4 to 7 y's
                return [i + g if i < 4 else i - 4 + g + x.type.count for g in range(0, x.type.count, 4) for i in pick]

            return builder.fadd(*(shuffle(x, y, picked(pick)) for pick in picks))

        parts = unpack(builder, args[2])
        if value.lanes > 8:  # half as many take half the time
            parts = [halves_added(part) for part in parts]
        ab, cd = (pairs_added(x, y, (0, 4, 1, 5), (2, 6, 3, 7)) for x, y in (parts[:2], parts[2:]))  # a b a b, c d c d
        sums = pairs_added(ab, cd, (0, 1, 4, 5), (2, 3, 6, 7))  # a b c d
        while sums.type.count > 4:
            sums = halves_added(sums)
        address = _address(context, builder, sig.args[0], args[0], args[1])
        builder.store(sums, builder.bitcast(address, sums.type.as_pointer()), align=value.element.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), codegen


@intrinsic
def largest(typing_context, x, y):
    """The larger of |x| and |y|, lane by lane."""

    def codegen(context, builder, sig, args):
        def magnitude(part):
            function = ir.FunctionType(x.llvm_type, [x.llvm_type])
            name = f"llvm.fabs.v{x.lanes}f{x.element.bitwidth}"
            return builder.call(cgutils.get_or_insert_function(builder.module, function, name), [part])

        parts = [(magnitude(a), magnitude(b)) for a, b in zip(*(unpack(builder, value) for value in args), strict=True)]
        return pack(builder, [builder.select(builder.fcmp_ordered("<", a, b), b, a) for a, b in parts])

    return x(x, y), codegen


@intrinsic
def all_below(typing_context, value, bound):
    """Whether every lane of every part is below the number `bound`; NaN is not."""

    def codegen(context, builder, sig, args):
        bound = value.splat(builder, context.cast(builder, args[1], sig.args[1], value.element))
        below = [builder.fcmp_ordered("<", part, bound) for part in unpack(builder, args[0])]
        while len(below) > 1:
            below = [builder.and_(below.pop(), below.pop()), *below]
        bits = ir.IntType(value.lanes)
        return builder.icmp_unsigned("==", builder.bitcast(below[0], bits), ir.Constant(bits, -1))

    return types.boolean(value, types.float64), codegen
