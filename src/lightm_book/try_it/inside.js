"use strict";
// What happens inside a scan, computed once more from what the engine kept of it: plain loops, to be read beside chapter
// 2. u, delta: (L, D); B, C: (L, N); A: (N) of one channel d. A path names the tokens in the order in which they are read.
var lightm = globalThis.lightm || (globalThis.lightm = {});

// The tokens of a grid (H, W) in the order of a scan direction.
lightm.path = (direction, H, W) => {
  const path = new Uint32Array(H * W);
  let i = 0;
  for (const { start, stride, count } of lightm.walk(direction, H, W)) {
    for (let t = 0; t < count; t++) path[i++] = start + t * stride;
  }
  return path;
};

// One channel of a scan along its path -> {states (L, N), y (L)}, in the order of the path.
lightm.trace = ({ u, delta, B, C, A, skip }, d, path) => {
  const N = A.length;
  const D = u.length / path.length;
  const [states, y] = [new Float32Array(path.length * N), new Float32Array(path.length)];
  const h = new Float64Array(N);
  path.forEach((token, i) => {
    const [step, value] = [delta[token * D + d], u[token * D + d]];
    let out = skip * value;
    for (let n = 0; n < N; n++) {
      h[n] = Math.exp(step * A[n]) * h[n] + step * value * B[token * N + n];
      out += C[token * N + n] * h[n];
    }
    states.set(h, i * N);
    y[i] = out;
  });
  return { states, y };
};

// What place i of the path reads of those before it -> {parts: of y, one for each place 0 to i; halfLives (N): after how
// many tokens half of a state is left, counted backwards from i; Infinity if the path is too short for that}.
lightm.lookBack = ({ u, delta, B, C, A }, d, path, i) => {
  const N = A.length;
  const D = u.length / path.length;
  const left = new Float64Array(N).fill(1); // exp(A times the sum of delta over the tokens after this one)
  const halfLives = new Array(N).fill(Infinity);
  const parts = new Float32Array(i + 1);
  for (let j = i; j >= 0 && left.some((share) => share > 1e-7); j--) {
    const token = path[j];
    const [step, value] = [delta[token * D + d], u[token * D + d]];
    for (let n = 0; n < N; n++) {
      parts[j] += C[path[i] * N + n] * left[n] * step * value * B[token * N + n];
      left[n] *= Math.exp(step * A[n]);
      if (left[n] < 0.5 && halfLives[n] === Infinity) halfLives[n] = i - j + 1;
    }
  }
  return { parts, halfLives };
};

// How many of the latest tokens hold this share of what is read, by size.
lightm.reach = (parts, share) => {
  const whole = parts.reduce((sum, part) => sum + Math.abs(part), 0);
  let sum = 0;
  for (let j = parts.length - 1; j >= 0; j--) {
    sum += Math.abs(parts[j]);
    if (sum >= share * whole) return parts.length - j;
  }
  return parts.length;
};

// The channel of delta (L, D) whose largest value is most times its smallest.
lightm.liveliest = (delta, D) => {
  const [low, high] = [new Float32Array(D).fill(Infinity), new Float32Array(D)];
  delta.forEach((step, i) => {
    low[i % D] = Math.min(low[i % D], step);
    high[i % D] = Math.max(high[i % D], step);
  });
  return high.reduce((best, top, d) => (top / low[d] > high[best] / low[best] ? d : best), 0);
};

// How well two label maps agree on what is not background: twice the overlap over the sum; 1 if both are empty.
lightm.dice = (a, b) => {
  let [both, sum] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    both += a[i] && a[i] === b[i] ? 1 : 0;
    sum += (a[i] ? 1 : 0) + (b[i] ? 1 : 0);
  }
  return sum ? (2 * both) / sum : 1;
};

// Logits (h, w, K) -> (h, w): by how much the largest of the other classes is above the background.
lightm.margins = ({ logits, classes: K }) => {
  const out = new Float32Array(logits.length / K);
  for (let i = 0; i < out.length; i++) {
    let best = -Infinity;
    for (let k = 1; k < K; k++) best = Math.max(best, logits[i * K + k]);
    out[i] = best - logits[i * K];
  }
  return out;
};

// A grid of count x count cells over (h, w): [top, left, height, width] each.
lightm.cells = (count, h, w) =>
  Array.from({ length: count ** 2 }, (_, cell) => {
    const [row, column] = [Math.floor(cell / count), cell % count];
    const edges = (k, size) => [Math.floor((k * size) / count), Math.floor(((k + 1) * size) / count)];
    const [[top, bottom], [left, right]] = [edges(row, h), edges(column, w)];
    return [top, left, bottom - top, right - left];
  });
