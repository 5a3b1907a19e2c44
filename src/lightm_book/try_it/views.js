"use strict";
// What the page "Try it" draws of a network's answer. state, as page.js fills it: view {gray, H, W}, small (h, w), trained
// and labels (H, W), kept, scan, cells, pixel (row, column of the network's input).
var lightm = globalThis.lightm || (globalThis.lightm = {});

lightm.views = (state, description, $) => {
  const [h, w] = description.network.size;
  const { classes } = description.network;
  const stages = description.operations.map(({ stage }) => stage).filter(Boolean);
  const COLOURS = { trained: [230, 159, 0], switched: [86, 180, 233], memory: [255, 140, 0] };
  const FOR = [40, 110, 255];
  const AGAINST = [230, 40, 40];

  const outlined = document.createElement("canvas"); // the picture without the cross, which moves

  function drawOutlines() {
    const { gray, H, W } = state.view;
    const thick = Math.max(1, Math.round(Math.max(H, W) / 500));
    const layers = [{ mask: lightm.outline(state.trained, H, W, thick), colour: COLOURS.trained }];
    if (state.labels) layers.push({ mask: lightm.outline(state.labels, H, W, thick), colour: COLOURS.switched });
    lightm.drawLayers(outlined, gray, H, W, layers);
    drawPicture();
  }

  function drawPicture() {
    const { width, height } = outlined;
    Object.assign($("picture"), { width, height });
    $("picture").getContext("2d").drawImage(outlined, 0, 0);
    lightm.drawCross($("picture"), (state.pixel[1] / w) * width, (state.pixel[0] / h) * height);
  }

  const below = (stage) => stages[stages.indexOf(stage) - 1];

  function drawStage() {
    const stage = $("stage").value;
    const { shape } = state.kept[stage];
    const text = `${shape[2]} channels, ${shape[0]} x ${shape[1]}, each from its own lowest value to its own highest.`;
    const reads = description.operations.find(({ skip }) => skip === stage);
    $("stage-text").textContent = reads
      ? `${text} The skip connection carries them over to ${reads.stage}, which adds them to what comes from below.`
      : text;
    $("channels").setAttribute("aria-label", `${stage}: ${text}`);
    lightm.drawChannels($("channels"), state.kept[stage]);
    $("skip").hidden = !reads;
    if (!reads) return;
    lightm.drawChannels($("below"), state.kept[below(reads.stage)]);
    $("below").setAttribute("aria-label", `${below(reads.stage)}: what ${reads.stage} adds the skip connection to`);
  }

  function drawScan() {
    const { H, W, d, scan, states, y, scale, path, delta, layer } = state.scan;
    const i = Number($("place").value) - 1;
    const token = path[i];
    const { parts, halfLives } = lightm.lookBack(scan, d, path, i);
    const most = parts.reduce((top, part) => Math.max(top, Math.abs(part)), 1e-12);
    const memory = new Float32Array(H * W);
    parts.forEach((part, j) => (memory[path[j]] = Math.sqrt(Math.abs(part) / most))); // the root shows small ones, too
    const gray = state.scan.gray.slice();
    for (let j = i + 1; j < path.length; j++) gray[path[j]] *= 0.45; // not read yet
    lightm.drawLayers($("scan"), gray, H, W, [{ mask: memory, colour: COLOURS.memory }]);
    lightm.drawPlane($("delta"), delta, H, W, "warm");
    const [row, column] = [Math.floor(token / W), token % W];
    for (const id of ["scan", "delta"]) lightm.drawCross($(id), column, row);
    const [low, high] = lightm.range(delta);
    $("delta-text").textContent =
      `Δ of this channel at each pixel, from ${low.toPrecision(2)} (dark) to ${high.toPrecision(2)}; ` +
      `here ${delta[token].toPrecision(3)}.`;
    const numbers = Array.from(states.subarray(i * layer.states, (i + 1) * layer.states));
    lightm.drawBars($("state"), numbers, scale, getComputedStyle($("state")).color);
    const half = lightm.reach(parts, 0.5);
    const most90 = lightm.reach(parts, 0.9);
    const lives = halfLives.map((life) => (life === Infinity ? `more than ${i + 1}` : life));
    $("place-value").textContent = `${i + 1} of ${path.length}`;
    $("state-text").textContent =
      `The ${numbers.length} numbers of the state at row ${row + 1}, column ${column + 1}, each beside its own largest; ` +
      `y = ${y[i].toPrecision(3)}. Half of what is read here comes from the latest ${half} token${half > 1 ? "s" : ""}, ` +
      `nine tenths from the latest ${most90}. A state is halved after so many tokens: ${lives.join(", ")}.`;
    const spoken = numbers.map((number) => number.toPrecision(2)).join(", ");
    $("state").setAttribute("aria-label", `The state: ${spoken}`);
    $("scan").setAttribute("aria-label", `Place ${i + 1} of the path, row ${row + 1}, column ${column + 1}`);
    $("delta").setAttribute("aria-label", $("delta-text").textContent);
    window.lightmShown = { states: numbers, delta: delta[token], y: y[i], parts, token }; // for whoever checks it
  }

  function drawOcclusion() {
    if (!state.cells) {
      lightm.drawLayers($("occlusion"), state.small, h, w, []);
      return lightm.drawCross($("occlusion"), state.pixel[1], state.pixel[0]);
    }
    const { count, plain, covered } = state.cells;
    const at = state.pixel[0] * w + state.pixel[1];
    const change = covered.map((margins) => margins[at] - plain[at]);
    const most = change.reduce((top, one) => Math.max(top, Math.abs(one)), 1e-6);
    const [against, with_] = [new Float32Array(h * w), new Float32Array(h * w)];
    lightm.cells(count, h, w).forEach(([top, left, tall, wide], cell) => {
      if (cell >= change.length) return;
      const plane = change[cell] < 0 ? with_ : against;
      const cover = (0.85 * Math.abs(change[cell])) / most;
      for (let y = top; y < top + tall; y++) plane.fill(cover, y * w + left, y * w + left + wide);
    });
    const layers = [{ mask: with_, colour: FOR }, { mask: against, colour: AGAINST }];
    lightm.drawLayers($("occlusion"), state.small, h, w, layers);
    lightm.drawCross($("occlusion"), state.pixel[1], state.pixel[0]);
    const best = change.reduce((top, one, cell) => (Math.abs(one) > Math.abs(change[top]) ? cell : top), 0);
    const [row, column] = [Math.floor(best / count) + 1, (best % count) + 1];
    const said =
      `At row ${state.pixel[0] + 1}, column ${state.pixel[1] + 1} the margin of ${classes.slice(1).join(" or ")} over ` +
      `background is ${plain[at].toFixed(2)}; the cell that matters most, row ${row}, column ${column} of ${count}, ` +
      `moves it to ${(plain[at] + change[best]).toFixed(2)} when it is covered.`;
    $("occlusion-text").textContent = `${change.length} of ${count ** 2} cells covered. ${said}`;
    $("occlusion").setAttribute("aria-label", said);
  }

  return { drawOutlines, drawPicture, drawStage, drawScan, drawOcclusion };
};
