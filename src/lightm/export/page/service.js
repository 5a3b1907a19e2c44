"use strict";
// What the page asks for and what it is told. The same functions serve inside a worker and, where a browser allows
// none, on the page itself.
//
//   asked: open {module, description, weights}   told: ready {}
//          picture {id, file, shrink, options}         picture {id, gray, ...}, progress {id, share}, result {id, ...},
//                                                      or "too large" {id, message}
//          mask {}                                     mask {blob}
//          again {id, options, cover}                  progress {id, share}, again {id, logits, kept, ...}
//   options are those of lightm.Engine.run; what it was told to keep comes as `kept`. `again` runs the latest picture
//   once more; cover: [top, left, height, width], a part of the network's input that it does not get to see.
//   Whatever goes wrong is told as failed {id, message}.
var lightm = globalThis.lightm || (globalThis.lightm = {});

lightm.VIEW = 1024; // the longer side of what the page shows, in pixels

lightm.service = (tell, rest) => {
  let engine = null;
  let mask = null; // of the latest picture, at its own size
  let input = null; // of the latest picture: planes as the network takes them

  const compute = async (id, planes, options) => {
    const started = performance.now();
    const steps = engine.run(planes, ...engine.description.network.size, options);
    let step = steps.next();
    for (let told = 0; !step.done; step = steps.next()) {
      if (step.value - told < 0.01) continue;
      told = step.value;
      tell({ type: "progress", id, share: told });
      if (rest) await rest();
    }
    return { ...step.value, seconds: (performance.now() - started) / 1000 };
  };

  const answers = {
    async open({ module, description, weights }) {
      engine = await lightm.Engine.open(module, description, weights);
      tell({ type: "ready" });
    },

    async picture({ id, file, shrink, options }) {
      const picture = await lightm.readPicture(file, shrink);
      if (picture.tooLarge) return tell({ type: "too large", id, message: picture.tooLarge });
      const { width, height, top, notes } = picture;
      const { network, in_channels: channels } = engine.description;
      const { planes, colour } = lightm.toChannels(picture.planes, channels);
      if (colour && channels === 1) notes.push("The picture has colours: the network was given its shades of gray.");
      const factor = Math.min(1, lightm.VIEW / Math.max(width, height));
      const view = [height, width].map((side) => Math.max(1, Math.round(side * factor))); // H, W
      const gray = lightm.visible(planes[0], height, width, view, top);
      tell({ type: "picture", id, notes, width, height, view, gray });

      const [h, w] = network.size;
      input = planes.map((plane) => {
        const small = lightm.resize(plane, height, width, h, w);
        return lightm.NORMALISE[network.normalise](small, network.window);
      });
      const result = await compute(id, input, options);
      if (!result.logits.every(Number.isFinite)) {
        throw new Error("The network's answer is not a number: give another picture, or get this page again.");
      }
      const { labels, counts } = lightm.labels(result, height, width);
      mask = { labels, width, height };
      tell({
        type: "result",
        id,
        seconds: result.seconds,
        kept: result.kept,
        shares: counts.map((count) => count / (width * height)),
        labels: lightm.labels(result, ...view).labels,
        probabilities: lightm.probabilities(result, ...view),
      });
    },

    async again({ id, options, cover }) {
      const size = engine.description.network.size;
      const planes = cover ? input.map((plane) => lightm.covered(plane, size, cover)) : input;
      tell({ type: "again", id, ...(await compute(id, planes, options)) });
    },

    async mask() {
      tell({ type: "mask", blob: await lightm.encodePng(mask.labels, mask.width, mask.height) });
    },
  };

  return async (message) => {
    try {
      await answers[message.type](message);
    } catch (error) {
      const memory = "This device has too little memory for that: close other pages, or give a smaller picture.";
      tell({ type: "failed", id: message.id, message: error instanceof RangeError ? memory : error.message });
    }
  };
};

// A plane (h, w) with its mean in a rectangle.
lightm.covered = (plane, [, w], [top, left, height, width]) => {
  const out = plane.slice();
  const mean = plane.reduce((a, b) => a + b, 0) / plane.length;
  for (let y = top; y < top + height; y++) out.fill(mean, y * w + left, y * w + left + width);
  return out;
};

// A plane as 8 bits of gray at the size of the view. 8-bit pictures keep their shades; of 16 bits the used part shows.
lightm.visible = (plane, H, W, [h, w], top) => {
  let [low, high] = [0, 255];
  if (top > 255) {
    [low, high] = [Infinity, -Infinity];
    for (const value of plane) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  const span = Math.max(high - low, 1);
  return Uint8Array.from(lightm.resize(plane, H, W, h, w), (value) => Math.round(((value - low) / span) * 255));
};

// In a worker there is no document: then this script was started as one.
if (typeof WorkerGlobalScope !== "undefined" && globalThis instanceof WorkerGlobalScope) {
  const answer = lightm.service((message) => globalThis.postMessage(message));
  globalThis.onmessage = (event) => answer(event.data);
}
