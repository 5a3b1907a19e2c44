"use strict";
// Planes of numbers as pictures on canvases.
var lightm = globalThis.lightm || (globalThis.lightm = {});

lightm.range = (values) => {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
};

// Shares 0 to 1 -> red, green, blue. warm: black over orange to pale; signed: blue below 0.5, white, red above.
lightm.RAMPS = {
  gray: (t) => [255 * t, 255 * t, 255 * t],
  warm: (t) => [255 * Math.min(1, 2 * t), 230 * t, 60 + 140 * Math.max(0, 2 * t - 1) - 60 * (1 - t)],
  signed: (t) => (t < 0.5 ? [510 * t, 510 * t, 255] : [255, 510 * (1 - t), 510 * (1 - t)]),
};

// values (H, W) on a canvas of that size; the lowest and the highest are the ends of the ramp.
lightm.drawPlane = (canvas, values, H, W, ramp = "gray", [low, high] = lightm.range(values)) => {
  if (canvas.width !== W || canvas.height !== H) Object.assign(canvas, { width: W, height: H });
  const image = new ImageData(W, H);
  for (let i = 0; i < W * H; i++) {
    const share = high > low ? Math.min(1, Math.max(0, (values[i] - low) / (high - low))) : 0;
    image.data.set(lightm.RAMPS[ramp](share), 4 * i);
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
};

// A picture (H, W), 0 to 255, with colours over it. layers: [{mask (H, W), 0 to 1 or labels, colour [r, g, b]}].
lightm.drawLayers = (canvas, gray, H, W, layers) => {
  if (canvas.width !== W || canvas.height !== H) Object.assign(canvas, { width: W, height: H });
  const image = new ImageData(W, H);
  for (let i = 0; i < W * H; i++) {
    let pixel = [gray[i], gray[i], gray[i]];
    for (const { mask, colour } of layers) {
      const cover = Math.min(1, mask[i]);
      if (cover) pixel = pixel.map((value, c) => value * (1 - cover) + colour[c] * cover);
    }
    image.data.set(pixel, 4 * i);
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
};

// All channels of a volume (H, W, C) side by side, each from its own lowest value to its own highest.
lightm.drawChannels = (canvas, { shape: [H, W, C], values }) => {
  const columns = C > 64 ? 16 : 8;
  const tile = 512 / columns;
  Object.assign(canvas, { width: 512, height: tile * Math.ceil(C / columns) });
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = H > tile;
  const one = document.createElement("canvas");
  for (let c = 0; c < C; c++) {
    const plane = Float32Array.from({ length: H * W }, (_, i) => values[i * C + c]);
    lightm.drawPlane(one, plane, H, W);
    context.drawImage(one, (c % columns) * tile, Math.floor(c / columns) * tile, tile - 1, tile - 1);
  }
};

// Bars up and down from the middle, one for each number; scale: what fills half of the height.
lightm.drawBars = (canvas, numbers, scale, colour) => {
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  context.fillStyle = colour;
  context.fillRect(0, height / 2, width, 1);
  numbers.forEach((number, n) => {
    const tall = (Math.max(-1, Math.min(1, number / (scale[n] || 1))) * height) / 2;
    context.fillRect((n + 0.15) * (width / numbers.length), height / 2, (0.7 * width) / numbers.length, -tall);
  });
};

// A cross at a place of a picture, black and white so that it shows on both.
lightm.drawCross = (canvas, x, y) => {
  const context = canvas.getContext("2d");
  const arm = Math.max(3, canvas.width / 40);
  for (const [thick, colour] of [[3, "#000"], [1, "#fff"]]) {
    context.fillStyle = colour;
    context.fillRect(x + 0.5 - arm, y + 0.5 - thick / 2, 2 * arm, thick);
    context.fillRect(x + 0.5 - thick / 2, y + 0.5 - arm, thick, 2 * arm);
  }
};
