"use strict";
// The memory of the WebAssembly module: who holds which part of it, and how weights are laid into it.
// Plain scripts share one global object, `lightm`: a page opened from a disk can't load modules.
var lightm = globalThis.lightm || (globalThis.lightm = {});

lightm.LANES = 4; // floats in a vector; every channel count is padded to a multiple of it
lightm.padded = (channels) => Math.ceil(channels / lightm.LANES) * lightm.LANES;

// Gives out pieces of the module's memory, first fit, and takes them back. Addresses are in bytes, sizes in floats.
lightm.Memory = class {
  constructor(kernels) {
    this.memory = kernels.memory;
    this.top = Math.ceil(kernels.heap_base() / 64) * 64;
    this.free = []; // {at, bytes}, by address, never two that touch
    this.sizes = new Map(); // address -> bytes, of what is given out
    this.peak = 0;
  }

  take(floats) {
    const bytes = Math.ceil((floats * 4) / 64) * 64;
    let at;
    const piece = this.free.find((p) => p.bytes >= bytes);
    if (piece) {
      at = piece.at;
      piece.at += bytes;
      piece.bytes -= bytes;
      if (!piece.bytes) this.free.splice(this.free.indexOf(piece), 1);
    } else {
      at = this.top;
      const missing = at + bytes - this.memory.buffer.byteLength;
      if (missing > 0) this.memory.grow(Math.ceil(missing / 65536)); // RangeError: the device has no more
      this.top += bytes;
      this.peak = Math.max(this.peak, this.top);
    }
    this.sizes.set(at, bytes);
    return at;
  }

  give(at) {
    this.putBack({ at, bytes: this.sizes.get(at) });
    this.sizes.delete(at);
  }

  // Keeps the first floats of a piece and takes the rest back.
  shrink(at, floats) {
    const bytes = Math.ceil((floats * 4) / 64) * 64;
    const rest = { at: at + bytes, bytes: this.sizes.get(at) - bytes };
    if (rest.bytes <= 0) return;
    this.sizes.set(at, bytes);
    this.putBack(rest);
  }

  putBack(piece) {
    this.free.push(piece);
    this.free.sort((a, b) => a.at - b.at);
    for (let i = this.free.length - 1; i > 0; i--) {
      const [left, right] = [this.free[i - 1], this.free[i]];
      if (left.at + left.bytes === right.at) {
        left.bytes += right.bytes;
        this.free.splice(i, 1);
      }
    }
    const last = this.free[this.free.length - 1];
    if (last && last.at + last.bytes === this.top) {
      this.top = last.at;
      this.free.pop();
    }
  }

  // The floats at an address. Growing the memory detaches every view, so ask for it anew each time.
  view(at, floats) {
    return new Float32Array(this.memory.buffer, at, floats);
  }

  place(values) {
    const at = this.take(values.length);
    this.view(at, values.length).set(values);
    return at;
  }
};

lightm.fromBase64 = (text) => {
  const letters = atob(text.trim());
  const bytes = new Uint8Array(letters.length); // Uint8Array.from would make a string of each letter first
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
};

// IEEE 754 half precision -> Float32Array.
lightm.fromHalf = (halves) => {
  const powers = Float64Array.from({ length: 31 }, (_, exponent) => 2 ** (Math.max(exponent, 1) - 25));
  const out = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) {
    const sign = halves[i] & 0x8000 ? -1 : 1;
    const exponent = (halves[i] >> 10) & 31;
    const fraction = halves[i] & 1023;
    if (exponent === 31) out[i] = fraction ? NaN : sign * Infinity;
    else out[i] = sign * (fraction + (exponent ? 1024 : 0)) * powers[exponent];
  }
  return out;
};

// A network's tensors by name, read out of the flat block of bytes that comes with its description.
lightm.Weights = class {
  constructor(description, bytes) {
    const remedy = "get this page again from its source";
    const wrong = (why) => new Error(`The network's weights are damaged (${why}): ${remedy}.`);
    if (bytes.byteLength !== description.bytes) {
      throw wrong(`${bytes.byteLength} bytes where ${description.bytes} belong`);
    }
    if (lightm.crc32(bytes) !== description.crc32) throw wrong("their checksum differs");
    this.tensors = description.tensors;
    this.buffer = bytes.slice().buffer; // a copy that starts at an even address
  }

  get(name) {
    const { offset, shape, dtype } = this.tensors[name];
    const count = shape.reduce((a, b) => a * b, 1);
    if (dtype === "float16") return lightm.fromHalf(new Uint16Array(this.buffer, offset, count));
    return new Float32Array(this.buffer, offset, count);
  }

  shape(name) {
    return this.tensors[name].shape;
  }
};

// CRC-32 as in PNG and zip.
lightm.crc32 = (bytes, before = 0) => {
  if (!lightm.crcTable) {
    lightm.crcTable = new Uint32Array(256).map((_, n) => {
      for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
      return n;
    });
  }
  let crc = ~before;
  for (let i = 0; i < bytes.length; i++) crc = lightm.crcTable[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
};

// A vector of one value a channel, padded with zeros.
lightm.padVector = (values) => {
  const out = new Float32Array(lightm.padded(values.length));
  out.set(values);
  return out;
};

// A linear layer's weight (K, C) as `linear` of linear.c reads it: panels of 8 columns, each (C, 8), the last (C, 4) if
// need be. rows: which row of the weight each column is, null for a column of zeros.
lightm.panels = (weight, C, rows) => {
  const K = lightm.padded(rows.length);
  const out = new Float32Array(C * K);
  for (let first = 0; first < K; first += 8) {
    const width = Math.min(8, K - first);
    for (let k = 0; k < width; k++) {
      const row = rows[first + k];
      if (row === null || row === undefined) continue;
      for (let c = 0; c < C; c++) out[first * C + c * width + k] = weight[row * C + c];
    }
  }
  return out;
};

// Depthwise filters (C, taps) as the convolutions read them: (taps, C padded).
lightm.filters = (weight, C, taps) => {
  const Cp = lightm.padded(C);
  const out = new Float32Array(taps * Cp);
  for (let c = 0; c < C; c++) for (let k = 0; k < taps; k++) out[k * Cp + c] = weight[c * taps + k];
  return out;
};

// exp(delta A) = 2^(delta A log2(e)), so the factor goes into A = -exp(A_log) (D, N): (D / 4, N padded, 4), lanes last.
lightm.decays = (logs, D, N) => {
  const [Dp, Np] = [lightm.padded(D), lightm.padded(N)];
  const out = new Float32Array(Dp * Np);
  for (let d = 0; d < D; d++) {
    for (let n = 0; n < N; n++) {
      const at = ((d >> 2) * Np + n) * lightm.LANES + (d & 3);
      out[at] = -Math.exp(logs[d * N + n]) * Math.LOG2E;
    }
  }
  return out;
};
