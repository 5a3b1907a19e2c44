"use strict";
// The scan of the page's WebAssembly module, for programs outside of a page: a line of JSON in, a line of JSON out.
//
//   node wasm.js kernels.wasm memory.js engine.js
//   {"task": "load", "sizes": {B, L, D, N}, "softplus": bool, "arrays": {name: base64 of float32, (B, L, D) and so on}}
//   {"task": "run"}     scans what was loaded
//   {"task": "read"}    {"y": base64 of (B, L, D), "last_state": base64 of (B, D, N)}
//
// The module knows the parts of a network's layer, so there is a little to do around them. Its rows are padded with
// zeros to whole vectors. A is multiplied by log2(e) and laid out by vectors of channels. And the gate is a loop of
// JavaScript here: in the network it is one with the normalisation after it, and no kernel has it alone.
const fs = require("fs");
const vm = require("vm");
const [, , modulePath, ...scripts] = process.argv;
for (const path of scripts) vm.runInThisContext(fs.readFileSync(path, "utf8"), path);

const kernels = new WebAssembly.Instance(new WebAssembly.Module(fs.readFileSync(modulePath)), {}).exports;
const memory = new lightm.Memory(kernels);
const { padded, LANES, CHUNK } = lightm;
let at; // addresses of what was loaded
let job; // its sizes and arrays

const floats = (text) => {
  const bytes = Buffer.from(text, "base64");
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
};
const text = (values) => Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("base64");

// rows of `from` numbers -> rows of `to` numbers: padded with zeros, or cut
const rows = (values, from, to) => {
  const count = from ? values.length / from : 0;
  const out = new Float32Array(count * to);
  for (let i = 0; i < count; i++) out.set(values.subarray(i * from, i * from + Math.min(from, to)), i * to);
  return out;
};

// A (D, N) -> (D / 4, N, 4), padded, times log2(e)
const interleaved = (A, D, N) => {
  const [Dp, Np] = [padded(D), padded(N)];
  const out = new Float32Array(Dp * Np);
  for (let d = 0; d < D; d++) {
    for (let n = 0; n < N; n++) {
      out[Math.floor(d / LANES) * LANES * Np + n * LANES + (d % LANES)] = A[d * N + n] * Math.LOG2E;
    }
  }
  return out;
};

const tasks = {
  load({ sizes, softplus, arrays: encoded }) {
    for (const address of Object.values(at || {})) memory.give(address);
    const arrays = Object.fromEntries(Object.entries(encoded).map(([name, value]) => [name, floats(value)]));
    job = { ...sizes, softplus, arrays };
    const { B, L, D, N } = sizes;
    const [Dp, Np] = [padded(D), padded(N)];
    const bias = arrays.delta_bias || new Float32Array(D);
    const delta = arrays.delta.map((step, i) => (softplus ? step : step + bias[i % D])); // step_size adds it otherwise
    const BC = new Float32Array(B * L * 2 * Np);
    for (let i = 0; i < B * L; i++) {
      BC.set(arrays.B.subarray(i * N, (i + 1) * N), i * 2 * Np);
      BC.set(arrays.C.subarray(i * N, (i + 1) * N), i * 2 * Np + Np);
    }
    at = {
      u: memory.place(rows(arrays.u, D, Dp)),
      delta: memory.place(rows(delta, D, Dp)),
      A: memory.place(interleaved(arrays.A, D, N)),
      BC: memory.place(BC),
      skip: memory.place(lightm.padVector(arrays.D || new Float32Array(D))),
      bias: memory.place(lightm.padVector(bias)),
      h: memory.take(B * Dp * Np),
      y: memory.take(B * L * Dp),
      steps: memory.take(CHUNK * Dp),
    };
    return {};
  },

  run() {
    const { B, L, D, N, softplus } = job;
    const [Dp, Np] = [padded(D), padded(N)];
    for (let b = 0; b < B; b++) {
      const h = at.h + b * Dp * Np * 4;
      kernels.clear(h, Dp * Np);
      for (let t = 0; t < L; t += CHUNK) {
        const T = Math.min(CHUNK, L - t);
        const row = (b * L + t) * Dp * 4;
        const BC = at.BC + (b * L + t) * 2 * Np * 4;
        kernels.gather(at.delta + row, 1, at.steps, T, Dp);
        if (softplus) kernels.step_size(at.steps, at.bias, 1, T, Dp);
        kernels.scan(at.u + row, at.steps, at.A, BC, 2 * Np, at.skip, h, at.y + row, T, Dp, Np);
      }
    }
    const { z } = job.arrays;
    if (z) {
      const y = memory.view(at.y, B * L * Dp);
      for (let i = 0; i < z.length; i++) y[Math.floor(i / D) * Dp + (i % D)] *= z[i] / (1 + Math.exp(-z[i]));
    }
    return {};
  },

  read() {
    const { B, L, D, N } = job;
    const [Dp, Np] = [padded(D), padded(N)];
    const h = memory.view(at.h, B * Dp * Np);
    const state = new Float32Array(B * D * N);
    for (let b = 0; b < B; b++) {
      for (let i = 0; i < D * N; i++) {
        const [d, n] = [Math.floor(i / N), i % N];
        state[b * D * N + i] = h[b * Dp * Np + Math.floor(d / LANES) * LANES * Np + n * LANES + (d % LANES)];
      }
    }
    return { y: text(rows(memory.view(at.y, B * L * Dp), Dp, D)), last_state: text(state) };
  },
};

require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const request = JSON.parse(line);
    process.stdout.write(JSON.stringify(tasks[request.task](request)) + "\n");
  });
