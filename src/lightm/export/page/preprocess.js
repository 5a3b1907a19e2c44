"use strict";
// From a picture to the network's input and from its logits to labels: what lightm.data.transforms and
// lightm.inference do, number for number.
var lightm = globalThis.lightm || (globalThis.lightm = {});

// Planes as the network takes them: {planes, colour}. Three equal planes are gray saved as colour; others become gray
// by Pillow's formula, if the network takes one channel. Gray fills all channels of a network that takes more.
lightm.toChannels = (planes, channels) => {
  const same = planes.every((plane) => plane.every((value, i) => value === planes[0][i]));
  if (planes.length === channels && channels > 1) return { planes, colour: !same };
  if (same) return { planes: Array(channels).fill(planes[0]), colour: false };
  const [r, g, b] = planes;
  const gray = r.map((_, i) => (r[i] * 19595 + g[i] * 38470 + b[i] * 7471 + 0x8000) >> 16);
  return { planes: Array(channels).fill(gray), colour: true };
};

// For each place of the output: where its window in the input starts, and its weights. PyTorch's anti-aliased linear
// interpolation: a triangle as wide as two pixels, of the coarser of the two grids.
lightm.windows = (from, to) => {
  const scale = from / to;
  const support = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const center = scale * (i + 0.5);
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const last = Math.min(Math.trunc(center + support + 0.5), from);
    const weights = [];
    for (let j = first; j < last; j++) weights.push(Math.max(0, 1 - Math.abs((j - center + 0.5) / support)));
    const total = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => weight / total) };
  });
};

// (H, W) -> (h, w), as F.interpolate(mode="bilinear", antialias=True): along the rows first.
lightm.resize = (plane, H, W, h, w) => {
  if (H === h && W === w) return Float32Array.from(plane);
  const narrow = new Float32Array(H * w);
  lightm.windows(W, w).forEach(({ first, weights }, x) => {
    for (let y = 0; y < H; y++) {
      let sum = 0;
      for (let j = 0; j < weights.length; j++) sum += weights[j] * plane[y * W + first + j];
      narrow[y * w + x] = sum;
    }
  });
  const out = new Float32Array(h * w);
  lightm.windows(H, h).forEach(({ first, weights }, y) => {
    for (let x = 0; x < w; x++) {
      let sum = 0;
      for (let j = 0; j < weights.length; j++) sum += weights[j] * narrow[(first + j) * w + x];
      out[y * w + x] = sum;
    }
  });
  return out;
};

// How the values of one plane are brought to the scale that the network has learnt from.
lightm.NORMALISE = {
  zscore(plane) {
    let sum = 0;
    let squares = 0;
    for (const value of plane) sum += value;
    const mean = sum / plane.length;
    for (const value of plane) squares += (value - mean) ** 2;
    const std = Math.max(Math.sqrt(squares / plane.length), 1e-6);
    return plane.map((value) => (value - mean) / std);
  },
  // Cut at the 0.5th and 99.5th percentile, which lie between two values of the sorted plane, then as zscore.
  percentile(plane) {
    const sorted = plane.slice().sort(); // typed arrays sort as numbers
    const [low, high] = [0.005, 0.995].map((share) => {
      const place = share * (sorted.length - 1);
      const below = Math.floor(place);
      const above = Math.min(below + 1, sorted.length - 1);
      return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
    });
    return lightm.NORMALISE.zscore(plane.map((value) => Math.min(Math.max(value, low), high)));
  },
  window(plane, [low, high]) {
    return plane.map((value) => (Math.min(Math.max(value, low), high) - (low + high) / 2) / ((high - low) / 2));
  },
};

// For each place along an axis: the two neighbours and the weight of the second, as F.interpolate(mode="bilinear").
lightm.neighbours = (from, to) =>
  Array.from({ length: to }, (_, i) => {
    const place = Math.max((from / to) * (i + 0.5) - 0.5, 0);
    const low = Math.min(Math.floor(place), from - 1);
    return [low, Math.min(low + 1, from - 1), place - low];
  });

// Logits (h, w, K) at the size (H, W), a row at a time: each(y, row (W, K)).
lightm.enlarged = ({ logits, H: h, W: w, classes: K }, H, W, each) => {
  const columns = lightm.neighbours(w, W);
  const mixed = new Float32Array(w * K);
  const row = new Float32Array(W * K);
  lightm.neighbours(h, H).forEach(([top, bottom, share], y) => {
    for (let i = 0; i < w * K; i++) {
      mixed[i] = logits[top * w * K + i] * (1 - share) + logits[bottom * w * K + i] * share;
    }
    for (let x = 0; x < W; x++) {
      const [left, right, part] = columns[x];
      for (let k = 0; k < K; k++) row[x * K + k] = mixed[left * K + k] * (1 - part) + mixed[right * K + k] * part;
    }
    each(y, row);
  });
};

// -> {labels (H, W), counts (K)}: the class with the largest logit at every pixel.
lightm.labels = (result, H, W) => {
  const K = result.classes;
  const labels = new Uint8Array(H * W);
  const counts = new Array(K).fill(0);
  lightm.enlarged(result, H, W, (y, row) => {
    for (let x = 0; x < W; x++) {
      let best = 0;
      for (let k = 1; k < K; k++) if (row[x * K + k] > row[x * K + best]) best = k;
      labels[y * W + x] = best;
      counts[best]++;
    }
  });
  return { labels, counts };
};

// -> one Uint8Array (H, W) for each class: its softmax probability times 255.
lightm.probabilities = (result, H, W) => {
  const K = result.classes;
  const out = Array.from({ length: K }, () => new Uint8Array(H * W));
  const powers = new Float32Array(K);
  lightm.enlarged(result, H, W, (y, row) => {
    for (let x = 0; x < W; x++) {
      let top = -Infinity;
      let sum = 0;
      for (let k = 0; k < K; k++) top = Math.max(top, row[x * K + k]);
      for (let k = 0; k < K; k++) sum += powers[k] = Math.exp(row[x * K + k] - top);
      for (let k = 0; k < K; k++) out[k][y * W + x] = Math.round((255 * powers[k]) / sum);
    }
  });
  return out;
};

// Labels (H, W) -> the same with all but the borders between two of them left out, `thick` pixels to either side.
lightm.outline = (labels, H, W, thick) => {
  const edge = new Uint8Array(W * H);
  const mark = (x, y, k) => {
    for (let v = Math.max(0, y - thick); v <= Math.min(H - 1, y + thick - 1); v++) {
      edge.fill(k, v * W + Math.max(0, x - thick), v * W + Math.min(W, x + thick));
    }
  };
  for (let y = 0; y < H; y++) {
    for (let x = 0; x < W; x++) {
      const i = y * W + x;
      for (const j of [x ? i - 1 : i, y ? i - W : i]) {
        if (labels[j] !== labels[i]) mark(x, y, labels[i] || labels[j]);
      }
    }
  }
  return edge;
};
