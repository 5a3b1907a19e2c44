"use strict";
// Runs the page's scripts in node for the tests: node driver.js job.json, the answer goes to stdout as JSON.
const fs = require("fs");
const vm = require("vm");
const job = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
for (const path of job.scripts) vm.runInThisContext(fs.readFileSync(path, "utf8"), path);

const floats = (path) => {
  const bytes = fs.readFileSync(path);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
};
const write = (path, arrays) => fs.writeFileSync(path, Buffer.concat(arrays.map((a) => Buffer.from(a.buffer, a.byteOffset, a.byteLength))));

const tasks = {
  // every image through the network: its logits and what was asked to be kept, one after the other in one file
  async run({ module, description, weights, images, shape: [B, C, H, W], options, out }) {
    const engine = await lightm.Engine.open(fs.readFileSync(module), description, new Uint8Array(fs.readFileSync(weights)));
    const values = floats(images);
    const arrays = [];
    const parts = [];
    const used = engine.memory.sizes.size;
    for (let b = 0; b < B; b++) {
      const planes = Array.from({ length: C }, (_, c) => values.slice((b * C + c) * H * W, (b * C + c + 1) * H * W));
      const result = lightm.finish(engine.run(planes, H, W, options));
      const all = { logits: { shape: [H, W, result.classes], values: result.logits }, ...result.kept };
      for (const [name, { shape, values: kept }] of Object.entries(all)) {
        arrays.push([name, shape]);
        parts.push(kept);
      }
      if (engine.memory.sizes.size !== used) throw new Error("a run has kept memory");
    }
    write(out, parts);
    return { arrays };
  },

  // PNG files as lightm.decodePng reads them
  async decode({ paths, out }) {
    const parts = [];
    const answers = [];
    for (const path of paths) {
      try {
        const { width, height, planes, top } = await lightm.decodePng(new Uint8Array(fs.readFileSync(path)));
        answers.push({ width, height, channels: planes.length, top });
        parts.push(...planes.map((plane) => Float32Array.from(plane)));
      } catch (error) {
        answers.push({ error: error.message });
      }
    }
    write(out, parts);
    return { answers };
  },

  // a picture (C, H, W) as the network gets it: one channel of the size `to`
  prepare({ values, shape: [C, H, W], to, normalise, window, out }) {
    const all = floats(values);
    const planes = Array.from({ length: C }, (_, c) => all.slice(c * H * W, (c + 1) * H * W));
    const { planes: [gray], colour } = lightm.toChannels(planes, 1);
    write(out, [lightm.NORMALISE[normalise](lightm.resize(gray, H, W, ...to), window)]);
    return { colour };
  },

  // logits (h, w, K) as labels and probabilities at the size `to`
  answer({ values, shape: [h, w, K], to, out }) {
    const result = { logits: floats(values), H: h, W: w, classes: K };
    write(out, [lightm.labels(result, ...to).labels, ...lightm.probabilities(result, ...to)]);
    return lightm.labels(result, ...to).counts;
  },

  async encode({ values, shape: [H, W], out }) {
    const png = await lightm.encodePng(new Uint8Array(fs.readFileSync(values)), W, H);
    fs.writeFileSync(out, Buffer.from(await png.arrayBuffer()));
    return {};
  },
};

Promise.resolve(tasks[job.task](job)).then((answer) => console.log(JSON.stringify(answer)));
