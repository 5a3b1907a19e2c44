"use strict";
// Runs a network from its description (lightm.export.describe) on the WebAssembly kernels.
//
//   const engine = await lightm.Engine.open(moduleBytes, description, weightBytes);
//   const result = lightm.finish(engine.run(image, H, W));    // image: one Float32Array (H, W) for each input channel
//   result.logits                                             // Float32Array (H, W, K)
//
// `run` is a generator that yields the share of the work that is done: a worker reports it, and a page without workers
// can rest between two of them. Long sequences go by in chunks, so that what a layer makes on the way stays in the
// cache and is never held whole: of (L, D) there is one, which convolution and scan overwrite.
var lightm = globalThis.lightm || (globalThis.lightm = {});

lightm.CHUNK = 64; // tokens

// The value that a generator returns, whatever it yields.
lightm.finish = (generator) => {
  for (;;) {
    const step = generator.next();
    if (step.done) return step.value;
  }
};

lightm.Engine = class {
  static async open(moduleBytes, description, weightBytes) {
    const { instance } = await WebAssembly.instantiate(moduleBytes, {});
    return new lightm.Engine(instance.exports, description, weightBytes);
  }

  constructor(kernels, description, weightBytes) {
    this.kernels = kernels;
    this.description = description;
    this.memory = new lightm.Memory(kernels);
    const weights = new lightm.Weights(description, weightBytes);
    const place = new lightm.Placer(this.memory, weights);
    this.layers = description.operations.map((operation) => place[operation.op](operation));
  }

  // options, all of them optional:
  //   keep       names of what is returned beside the logits, or "all": `kept` maps each to {shape, values}
  //   directions the order in which each SSM reads the grid (0 to 3), in the place of 0, 1, 2, 3
  //   deltaScale a factor on every step size
  //   residual   false leaves the residual connections of the RVM Layers out
  //   adjustment false makes their adjustment factors s, and the decoder's s', 1
  *run(image, H, W, options = {}) {
    const { step, in_channels: channels } = this.description;
    if (H % step || W % step || !(H > 0 && W > 0)) {
      throw new Error(`The size ${H} x ${W} must be divisible by ${step}: pad or resize the picture.`);
    }
    if (image.length !== channels || image.some((plane) => plane.length !== H * W)) {
      throw new Error(`The network takes ${channels} channels of ${H} x ${W} values.`);
    }
    const held = new Set(this.memory.sizes.keys());
    try {
      return yield* this.stages(image, H, W, options);
    } finally {
      for (const at of [...this.memory.sizes.keys()]) if (!held.has(at)) this.memory.give(at);
    }
  }

  *stages(image, H, W, options) {
    const { memory } = this;
    const run = new lightm.Run(this.kernels, memory, options);
    const Cp = lightm.padded(image.length);
    const x = memory.take(H * W * Cp);
    const values = memory.view(x, H * W * Cp).fill(0); // (L, C): the planes side by side
    image.forEach((plane, c) => {
      for (let i = 0; i < plane.length; i++) values[i * Cp + c] = plane[i];
    });
    let volume = { at: x, H, W, C: image.length };
    const skips = new Map();
    const shares = this.shares(H, W);
    let done = 0;
    for (let i = 0; i < this.layers.length; i++) {
      const operation = this.description.operations[i];
      const skip = operation.skip && skips.get(operation.skip);
      const steps = run[operation.op](this.layers[i], volume, operation, skip);
      for (let s = steps.next(); ; s = steps.next()) {
        if (s.done) {
          volume = s.value;
          break;
        }
        yield done + s.value * shares[i];
      }
      done += shares[i];
      if (operation.save) {
        skips.set(operation.save, volume);
        run.pinned.add(volume.at);
      }
      run.keepVolume(operation.stage, volume);
      yield done;
    }
    const logits = run.read(volume.at, volume.H * volume.W, volume.C, lightm.padded(volume.C));
    return { logits, classes: volume.C, H: volume.H, W: volume.W, kept: run.kept, bytes: memory.peak };
  }

  // Roughly what part of the time each operation takes, from its multiplications.
  shares(H, W) {
    let L = H * W;
    const costs = this.description.operations.map(({ op, channels: C, inner: D, out, states, directions }) => {
      if (op === "pool") return (L /= 4) * C;
      if (op === "decode") return (L *= 4) * C * (C / 4 + 5);
      if (op === "dwconv") return L * C * (9 + out);
      return L * (C * (3 * D + out) + D * (20 + directions * (5 * states + C / 8)));
    });
    const total = costs.reduce((a, b) => a + b, 0);
    return costs.map((cost) => cost / total);
  }
};

// Lays the weights of each kind of operation into the module's memory.
lightm.Placer = class {
  constructor(memory, weights) {
    this.memory = memory;
    this.weights = weights;
  }

  vector(name) {
    return this.memory.place(lightm.padVector(this.weights.get(name)));
  }

  linear(name, rows) {
    const [K, C] = this.weights.shape(`${name}.weight`); // a pointwise convolution's (K, C, 1, 1) too
    rows = rows || [...Array(K).keys()];
    const panels = lightm.panels(this.weights.get(`${name}.weight`), C, rows);
    const bias = `${name}.bias` in this.weights.tensors ? this.vector(`${name}.bias`) : 0;
    return { panels: this.memory.place(panels), bias, C, K: lightm.padded(rows.length) };
  }

  depthwise(name, taps) {
    const weight = this.weights.get(`${name}.weight`);
    const C = this.weights.shape(`${name}.weight`)[0];
    return { filters: this.memory.place(lightm.filters(weight, C, taps)), bias: this.vector(`${name}.bias`) };
  }

  norm(name) {
    return { weight: this.vector(`${name}.weight`), bias: this.vector(`${name}.bias`) };
  }

  ones(C) {
    return this.memory.place(lightm.padVector(new Float32Array(C).fill(1)));
  }

  dwconv({ at }) {
    return { depthwise: this.depthwise(`${at}.depthwise`, 9), pointwise: this.linear(`${at}.pointwise`) };
  }

  pool() {
    return {};
  }

  decode({ at, channels }) {
    return {
      ...this.dwconv({ at: `${at}.dwconv` }),
      s: this.vector(`${at}.s`),
      ones: this.ones(channels),
      halve: this.linear(`${at}.halve`),
    };
  }

  rvm({ at, channels, dwconv, directions, states, rank }) {
    const mixer = `${at}.mixer`;
    // x_proj's outputs are dt (R), B (N) and C (N); each starts at a multiple of 4, so zeros go in between
    const part = (start, count) =>
      Array.from({ length: lightm.padded(count) }, (_, i) => (i < count ? start + i : null));
    const rows = [...part(0, rank), ...part(rank, states), ...part(rank + states, states)];
    return {
      normIn: this.norm(`${at}.norm_in`),
      inProj: this.linear(`${mixer}.in_proj`),
      gateProj: this.linear(`${mixer}.gate_proj`),
      conv: this.depthwise(`${mixer}.dwconv.conv`, dwconv === "spatial" ? 9 : 4),
      ssms: Array.from({ length: directions }, (_, k) => this.ssm(`${mixer}.ssms.${k}`, rows)),
      norm: this.norm(`${mixer}.norm`),
      outProj: this.linear(`${mixer}.out_proj`),
      ones: this.ones(channels),
      s: `${at}.s` in this.weights.tensors ? this.vector(`${at}.s`) : 0,
      normOut: this.norm(`${at}.norm_out`),
      proj: this.linear(`${at}.proj`),
    };
  }

  ssm(name, rows) {
    const [D, N] = this.weights.shape(`${name}.A_log`);
    return {
      xProj: this.linear(`${name}.x_proj`, rows),
      dtProj: this.linear(`${name}.dt_proj`),
      dtBias: this.vector(`${name}.dt_bias`),
      A: this.memory.place(lightm.decays(this.weights.get(`${name}.A_log`), D, N)),
      D: this.vector(`${name}.D`),
    };
  }
};
