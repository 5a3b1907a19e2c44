"use strict";
// The operations of a network, one method each: they take a volume {at, H, W, C}, whose tokens lie row by row, give its
// memory back and return the next one. Shapes are in tokens and channels, channels padded: (L, C).
var lightm = globalThis.lightm || (globalThis.lightm = {});

lightm.Run = class {
  constructor(kernels, memory, options) {
    this.kernels = kernels;
    this.memory = memory;
    this.options = { keep: [], directions: [0, 1, 2, 3], deltaScale: 1, residual: true, adjustment: true, ...options };
    this.kept = {};
    this.pinned = new Set(); // addresses of skip connections: a later operation reads them again
  }

  release(at) {
    if (!this.pinned.has(at)) this.memory.give(at);
  }

  // ---- what the reader wants to look into -------------------------------------------------------------------------

  // A place for (L, C) values under a name, or null if nobody asked for them.
  wanted(name, H, W, C) {
    const { keep } = this.options;
    if (!name || (keep !== "all" && !keep.includes(name))) return null;
    return (this.kept[name] = { shape: [H, W, C], values: new Float32Array(H * W * C) });
  }

  // T tokens of C channels, `ld` floats apart, into their places: first, first + stride, ...
  put(place, first, stride, at, ld, T) {
    if (!place) return;
    const C = place.shape[2];
    const from = this.memory.view(at, (T - 1) * ld + C);
    for (let t = 0; t < T; t++) place.values.set(from.subarray(t * ld, t * ld + C), (first + t * stride) * C);
  }

  read(at, L, C, ld) {
    const place = { shape: [1, L, C], values: new Float32Array(L * C) };
    this.put(place, 0, 1, at, ld, L);
    return place.values;
  }

  keepVolume(name, { at, H, W, C }) {
    this.put(this.wanted(name, H, W, C), 0, 1, at, lightm.padded(C), H * W);
  }

  // ---- helpers ----------------------------------------------------------------------------------------------------

  linear({ panels, bias, C, K }, x, ldx, out, ldo, T) {
    this.kernels.linear(x, ldx, panels, bias, out, ldo, T, C, K);
  }

  copy(from, to, T, C) {
    this.kernels.gather(from, 1, to, T, C);
  }

  // Calls each(first token, tokens) for the chunks of a sequence; yields now and then.
  *chunks(L, from, to, each) {
    for (let t = 0; t < L; t += lightm.CHUNK) {
      each(t, Math.min(lightm.CHUNK, L - t));
      if (t % 4096 === 0) yield from + ((to - from) * t) / L;
    }
  }

  // ---- operations -------------------------------------------------------------------------------------------------

  // Depthwise 3 x 3 convolution of every row; each(y, row) gets the row's result (W, C), which it may put in the place
  // of the input's row y: the row above is kept aside.
  *convolve({ filters, bias }, { at, H, W, C }, activate, each) {
    const Cp = lightm.padded(C);
    const rowBytes = W * Cp * 4;
    const [zeros, up, row] = [0, 1, 2].map(() => this.memory.take(W * Cp));
    this.kernels.clear(zeros, W * Cp);
    this.kernels.clear(up, W * Cp);
    for (let y = 0; y < H; y++) {
      const mid = at + y * rowBytes;
      const down = y + 1 < H ? mid + rowBytes : zeros;
      this.kernels.conv3x3_row(up, mid, down, filters, bias, row, W, Cp, activate);
      this.copy(mid, up, W, Cp);
      each(y, row);
      if (y % 16 === 0) yield y / H;
    }
    for (const piece of [zeros, up, row]) this.memory.give(piece);
  }

  // volume += skip, whose memory is free from here on.
  join({ at, H, W, C }, skip) {
    this.kernels.add(at, skip.at, H * W * lightm.padded(C)); // (L, C)
    this.pinned.delete(skip.at);
    this.memory.give(skip.at);
  }

  *dwconv(layer, volume, { out }, skip) {
    const { H, W, C } = volume;
    const [Cp, Kp] = [lightm.padded(C), lightm.padded(out)];
    if (skip) this.join(volume, skip);
    const next = this.memory.take(H * W * Kp);
    yield* this.convolve(layer.depthwise, volume, 0, (y, row) => {
      this.linear(layer.pointwise, row, Cp, next + y * W * Kp * 4, Kp, W);
    });
    this.release(volume.at);
    return { at: next, H, W, C: out };
  }

  *pool(layer, { at, H, W, C }) {
    const Cp = lightm.padded(C);
    const next = this.memory.take((H / 2) * (W / 2) * Cp);
    for (let y = 0; y < H; y += 2) {
      const above = at + y * W * Cp * 4;
      this.kernels.max_pool_row(above, above + W * Cp * 4, next + ((y / 2) * (W / 2) * Cp) * 4, W, Cp);
    }
    this.release(at);
    yield 1;
    return { at: next, H: H / 2, W: W / 2, C };
  }

  // Equation (4): fused = x + skip, ReLU(DWConv(fused) + s' * fused); half the channels, twice the size.
  *decode(layer, volume, operation, skip) {
    const { at, H, W, C } = volume;
    const [Cp, Kp] = [lightm.padded(C), lightm.padded(operation.out)];
    const s = this.options.adjustment ? layer.s : layer.ones;
    this.join(volume, skip);
    const mixed = this.memory.take(W * Cp); // a row
    const half = this.memory.take(H * W * Kp);
    yield* this.convolve(layer.depthwise, volume, 0, (y, row) => {
      this.linear(layer.pointwise, row, Cp, mixed, Cp, W); // (W, C)
      this.kernels.add_scaled(mixed, at + y * W * Cp * 4, s, W, Cp);
      this.kernels.relu(mixed, W * Cp);
      this.linear(layer.halve, mixed, Cp, half + y * W * Kp * 4, Kp, W); // (W, C / 2)
    });
    this.memory.give(mixed);
    this.release(at);
    const next = this.memory.take(4 * H * W * Kp);
    for (let y = 0; y < 2 * H; y++) {
      const near = y >> 1;
      const far = Math.min(Math.max(y % 2 ? near + 1 : near - 1, 0), H - 1);
      const [a, b] = [half + near * W * Kp * 4, half + far * W * Kp * 4];
      this.kernels.upsample_row(a, b, next + y * 2 * W * Kp * 4, W, Kp);
    }
    this.memory.give(half);
    return { at: next, H: 2 * H, W: 2 * W, C: operation.out };
  }

  // Equations (1) to (3): M~ = VSSM(LN(M)) + s * M; M_out = Projection(LN(M~)).
  *rvm(layer, volume, operation) {
    const { at: x, H, W, C } = volume;
    const { inner: D, out, name } = operation;
    const L = H * W;
    const [Cp, Dp, Kp] = [C, D, out].map(lightm.padded);
    const { kernels, memory } = this;
    const T = lightm.CHUNK;
    const norm = ({ weight, bias }, from, to, tokens, count) =>
      kernels.layer_norm(from, weight, bias, to, tokens, lightm.padded(count), count);

    const [a, b] = [memory.take(T * Cp), memory.take(T * Cp)]; // scratch, a chunk each
    const [z, w] = [memory.take(T * Dp), memory.take(T * Dp)];
    const u = memory.take(L * Dp);
    yield* this.chunks(L, 0, 0.15, (t, n) => {
      norm(layer.normIn, x + t * Cp * 4, a, n, C); // (T, C)
      this.linear(layer.inProj, a, Cp, u + t * Dp * 4, Dp, n); // (T, D)
    });
    if (operation.dwconv === "spatial") {
      yield* this.convolve(layer.conv, { at: u, H, W, C: D }, 1, (row, result) => {
        this.copy(result, u + row * W * Dp * 4, W, Dp);
      });
    } else {
      kernels.causal_conv(u, layer.conv.filters, layer.conv.bias, u, L, Dp);
    }
    this.put(this.wanted(`${name}: u`, H, W, D), 0, 1, u, Dp, L);
    const y = yield* this.ssms(layer.ssms, operation, u, H, W); // u's memory is y's now, or given back
    this.put(this.wanted(`${name}: y`, H, W, D), 0, 1, y, Dp, L);

    // A chunk of the result may stand where its y stood, if it is no wider: y is not needed any more.
    const next = Kp <= Dp ? y : memory.take(L * Kp);
    const gate = this.wanted(`${name}: gate`, H, W, D);
    const s = layer.s && this.options.adjustment ? layer.s : layer.ones;
    yield* this.chunks(L, 0.6, 1, (t, n) => {
      norm(layer.normIn, x + t * Cp * 4, a, n, C);
      this.linear(layer.gateProj, a, Cp, z, Dp, n); // (T, D)
      this.put(gate, t, 1, z, Dp, n);
      kernels.gated_norm(y + t * Dp * 4, z, layer.norm.weight, layer.norm.bias, w, n, Dp, D);
      this.linear(layer.outProj, w, Dp, b, Cp, n); // (T, C)
      if (operation.residual && this.options.residual) kernels.add_scaled(b, x + t * Cp * 4, s, n, Cp);
      norm(layer.normOut, b, a, n, C);
      this.linear(layer.proj, a, Cp, next + t * Kp * 4, Kp, n); // (T, C_out)
    });
    for (const at of [a, b, z, w]) memory.give(at);
    this.release(x);
    if (next === y) memory.shrink(y, L * Kp);
    else memory.give(y);
    const result = { at: next, H, W, C: out };
    this.keepVolume(name, result);
    return result;
  }

  // The selective SSMs, one for each direction: the sum y (L, D) of what they make of u (L, D). A single one that reads
  // row by row puts y in the place of u; others need u to the end.
  *ssms(ssms, { inner: D, states: N, rank: R, name }, u, H, W) {
    const [Dp, Np, Rp] = [D, N, R].map(lightm.padded);
    const ld = Rp + 2 * Np;
    const T = lightm.CHUNK;
    const { kernels, memory } = this;
    const inPlace = ssms.length === 1 && this.options.directions[0] === 0;
    const y = inPlace ? u : memory.take(H * W * Dp);
    if (!inPlace) kernels.clear(y, H * W * Dp);
    const scratch = [T * ld, T * Dp, T * Dp, T * Dp, Dp * Np].map((floats) => memory.take(floats));
    const [parts, delta, chunkU, chunkY, h] = scratch;
    for (let k = 0; k < ssms.length; k++) {
      const ssm = ssms[k];
      kernels.clear(h, Dp * Np);
      const label = (what) => `${name}: ${what}${ssms.length > 1 ? ` ${k}` : ""}`;
      const keeps = [["delta", D], ["B", N], ["C", N]].map(([what, C]) => this.wanted(label(what), H, W, C));
      for (const { start, stride, count, done } of lightm.walk(this.options.directions[k], H, W)) {
        const steps = this.chunks(count, 0, 1, (t, n) => {
          const first = start + t * stride;
          const place = first * Dp * 4;
          if (!inPlace) kernels.gather(u + place, stride, chunkU, n, Dp);
          const from = inPlace ? u + place : chunkU;
          this.linear(ssm.xProj, from, Dp, parts, ld, n); // (T, R + N + N)
          this.linear(ssm.dtProj, parts, ld, delta, Dp, n); // (T, D)
          kernels.step_size(delta, ssm.dtBias, this.options.deltaScale, n, Dp);
          kernels.scan(from, delta, ssm.A, parts + Rp * 4, ld, ssm.D, h, chunkY, n, Dp, Np);
          if (inPlace) this.copy(chunkY, y + place, n, Dp);
          else kernels.scatter_add(y + place, stride, chunkY, n, Dp);
          [[delta, Dp], [parts + Rp * 4, ld], [parts + (Rp + Np) * 4, ld]].forEach(([at, width], i) =>
            this.put(keeps[i], first, stride, at, width, n),
          );
        });
        for (const share of steps) yield 0.2 + (0.4 * (k + done + (share * count) / (H * W))) / ssms.length;
      }
    }
    scratch.forEach((at) => memory.give(at));
    if (!inPlace) memory.give(u);
    return y;
  }
};

// The stretches of equally spaced tokens that a scan direction reads one after the other: 0 row by row, 1 its reverse,
// 2 column by column, 3 the reverse of that (lightm.models.vss.to_direction). done: the share of the tokens before it.
lightm.walk = (direction, H, W) => {
  if (![0, 1, 2, 3].includes(direction)) throw new Error(`There is no scan direction ${direction}: give 0, 1, 2 or 3.`);
  if (direction === 0) return [{ start: 0, stride: 1, count: H * W, done: 0 }];
  if (direction === 1) return [{ start: H * W - 1, stride: -1, count: H * W, done: 0 }];
  return Array.from({ length: W }, (_, i) =>
    direction === 2
      ? { start: i, stride: W, count: H, done: i / W }
      : { start: H * W - 1 - i, stride: -W, count: H, done: i / W },
  );
};
