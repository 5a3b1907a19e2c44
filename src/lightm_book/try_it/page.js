"use strict";
// The page "Try it": what the reader does, and what the network is asked for it; views.js draws the answers.
(() => {
  const $ = (id) => document.getElementById(`ti-${id}`);
  const show = (id, yes = true) => ($(id).hidden = !yes);
  const description = lightm.description;
  const [h, w] = description.network.size;
  const { classes } = description.network;
  const layers = description.operations.filter(({ op }) => op === "rvm");
  const stages = description.operations.map(({ stage }) => stage).filter(Boolean);
  const client = new lightm.Client();
  const state = { pixel: [0.4 * h, 0.3 * w].map(Math.floor), phantom: -1, asked: 0, playing: false, weights: null };
  const { drawOutlines, drawPicture, drawStage, drawScan, drawOcclusion } = lightm.views(state, description, $);

  function problem(error) {
    $("problem").textContent = error ? error.message : "";
    show("problem", Boolean(error));
    show("progress", false);
    if (error) $("status").textContent = "";
  }

  // ---- loading, and pictures --------------------------------------------------------------------------------------

  function fetchWeights() {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      const gone = "The network's weights can't be loaded: weights.js is missing or damaged; get this book again.";
      script.onload = () => (lightm.weights ? resolve(lightm.weights) : reject(new Error(gone)));
      script.onerror = () => reject(new Error(gone));
      script.src = $("load").closest(".try-it").dataset.weights;
      document.body.append(script);
    });
  }

  async function load() {
    $("load").disabled = true;
    $("status").textContent = "Loading the network.";
    problem();
    try {
      const text = await fetchWeights();
      let bytes;
      try {
        bytes = lightm.fromBase64(text);
      } catch {
        throw new Error("The network's weights are damaged (they are no base64): get this book again.");
      }
      state.weights = new lightm.Weights(description, bytes);
      await client.open(lightm.fromBase64(lightm.module), description, bytes);
      await nextPhantom();
      for (const id of ["load", "still"]) show(id, false);
      show("app");
      $("picture").focus({ preventScroll: true });
    } catch (error) {
      problem(error);
      $("load").disabled = false;
    }
  }

  function nextPhantom() {
    state.phantom = (state.phantom + 1) % lightm.phantoms.length;
    const bytes = lightm.fromBase64(lightm.phantoms[state.phantom]);
    return give(new File([bytes], `Phantom ${state.phantom + 1} (synthetic, of nobody)`, { type: "image/png" }));
  }

  const working = ({ share }) => {
    show("progress");
    $("progress").value = share;
  };

  async function give(file, shrink = false) {
    if (!file) return;
    problem();
    state.asked += 1; // what was asked about the picture before is of no interest any more
    show("shrink", false);
    $("status").textContent = "Working.";
    let seen;
    const each = (answer) => (answer.type === "picture" ? (seen = answer) : working(answer));
    try {
      const result = await client.ask({ type: "picture", file, shrink, options: { keep: stages } }, each);
      show("progress", false);
      if (result.type === "too large") {
        state.file = file;
        show("shrink");
        $("status").textContent = `${result.message} It can be reduced first.`;
        return;
      }
      const [H, W] = seen.view;
      Object.assign(state, { view: { gray: seen.gray, H, W }, trained: result.labels, labels: null, cells: null });
      state.small = lightm.resize(seen.gray, H, W, h, w);
      const share = (name, k) => `${name} ${(100 * result.shares[k + 1]).toFixed(1)} %`;
      const found = classes.slice(1).map(share).join(", ");
      $("caption").textContent = [`${file.name}, ${seen.width} x ${seen.height} pixels.`, ...seen.notes].join(" ");
      $("status").textContent = `Done in ${result.seconds.toFixed(1)} s. Share of the picture: ${found}.`;
      $("picture").setAttribute("aria-label", `${file.name}, with the network's outline; ${found} of it`);
      $("occlusion-text").textContent = "";
      await look();
    } catch (error) {
      problem(error);
    }
  }

  // ---- the network once more, as the switches have it, with what is inside ----------------------------------------

  function switches() {
    const first = Number($("direction").value);
    return {
      directions: [first, 1, 2, 3],
      deltaScale: 2 ** Number($("scale").value),
      residual: $("residual").checked,
      adjustment: $("adjustment").checked,
    };
  }

  const asTrained = ({ directions, deltaScale, residual, adjustment }) =>
    directions[0] === 0 && deltaScale === 1 && residual && adjustment;

  async function look() {
    const asked = ++state.asked;
    const layer = layers[$("layer").selectedIndex];
    const suffix = layer.directions > 1 ? " 0" : "";
    const names = { u: `${layer.name}: u` };
    for (const what of ["delta", "B", "C"]) names[what] = `${layer.name}: ${what}${suffix}`;
    const options = { ...switches(), keep: [...stages, ...Object.values(names)] };
    $("scale-value").textContent = `${options.deltaScale.toPrecision(3)}`;
    try {
      const result = await client.ask({ type: "again", options }, (answer) => asked === state.asked && working(answer));
      if (asked !== state.asked) return;
      show("progress", false);
      const { H, W } = state.view;
      const { labels } = lightm.labels(result, H, W);
      state.labels = asTrained(options) ? null : labels;
      state.kept = result.kept;
      state.margins = lightm.margins(result);
      const agreement = `Overlap with the network as trained, DSC: ${lightm.dice(labels, state.trained).toFixed(3)}`;
      $("switched").textContent = state.labels
        ? `${agreement}. Orange: as trained. Blue: as switched.`
        : "This is the network as trained.";
      drawOutlines();
      open(layer, names, options.directions[0]);
      drawStage();
    } catch (error) {
      problem(error);
    }
  }

  // The scan of a layer, ready to be shown at any place of its path.
  function open(layer, names, direction) {
    const [H, W] = state.kept[names.u].shape;
    const values = Object.fromEntries(Object.entries(names).map(([what, name]) => [what, state.kept[name].values]));
    const path = lightm.path(direction, H, W);
    const placeOf = new Uint32Array(path.length);
    path.forEach((token, i) => (placeOf[token] = i));
    const first = !state.scan;
    state.scan = { layer, H, W, values, path, placeOf, gray: lightm.resize(state.small, h, w, H, W) };
    $("channel").max = layer.inner;
    if (first) $("channel").value = 1 + lightm.liveliest(values.delta, layer.inner); // the others are there to be chosen
    $("place").max = path.length;
    chooseChannel();
  }

  function chooseChannel() {
    const { layer, values, path, H, W } = state.scan;
    const d = Number($("channel").value) - 1;
    const ssm = `${layer.at}.mixer.ssms.0`;
    const logs = state.weights.get(`${ssm}.A_log`).slice(d * layer.states, (d + 1) * layer.states);
    const A = Float32Array.from(logs, (log) => -Math.exp(log));
    const scan = { ...values, A, skip: state.weights.get(`${ssm}.D`)[d] };
    const { states, y } = lightm.trace(scan, d, path);
    const scale = new Float32Array(layer.states);
    states.forEach((value, i) => (scale[i % layer.states] = Math.max(scale[i % layer.states], Math.abs(value))));
    const delta = Float32Array.from({ length: H * W }, (_, token) => values.delta[token * layer.inner + d]);
    Object.assign(state.scan, { d, scan, states, y, scale, delta });
    $("channel-value").textContent = `${d + 1} of ${layer.inner}`;
    followPixel();
  }

  // ---- which part of the image decides -----------------------------------------------------------------------------

  async function occlude() {
    if (state.covering) return (state.covering = false); // a second click stops it
    const count = Number($("cells").value);
    const asked = state.asked;
    state.covering = true;
    state.cells = { count, plain: state.margins, covered: [] };
    $("occlude").textContent = "Stop";
    try {
      for (const cover of lightm.cells(count, h, w)) {
        const result = await client.ask({ type: "again", cover, options: switches() });
        if (!state.covering || asked !== state.asked) break;
        state.cells.covered.push(lightm.margins(result));
        drawOcclusion();
      }
    } catch (error) {
      problem(error);
    }
    state.covering = false;
    if (asked !== state.asked) state.cells = null;
    $("occlude").textContent = "Cover the cells";
  }

  // ---- the chosen pixel -------------------------------------------------------------------------------------------

  function followPixel() {
    const { H, W, placeOf } = state.scan;
    const [row, column] = [Math.floor((state.pixel[0] * H) / h), Math.floor((state.pixel[1] * W) / w)];
    $("place").value = placeOf[row * W + column] + 1;
    drawScan();
    drawOcclusion();
  }

  function choose(row, column) {
    const within = (value, size) => Math.min(Math.max(Math.floor(value), 0), size - 1);
    state.pixel = [within(row, h), within(column, w)];
    if (!state.scan) return;
    drawPicture();
    followPixel();
  }

  function place() {
    const { path, H, W } = state.scan;
    const token = path[Number($("place").value) - 1];
    state.pixel = [Math.floor(((Math.floor(token / W) + 0.5) * h) / H), Math.floor((((token % W) + 0.5) * w) / W)];
    drawPicture();
    drawScan();
    drawOcclusion();
  }

  function play() {
    state.playing = !state.playing;
    $("play").setAttribute("aria-pressed", String(state.playing));
    $("play").textContent = state.playing ? "Stop" : "Read the image";
    if (Number($("place").value) >= Number($("place").max)) $("place").value = 1;
    const step = () => {
      if (!state.playing) return;
      const [at, most] = [Number($("place").value), Number($("place").max)];
      $("place").value = Math.min(most, at + Math.max(1, Math.round(most / 400)));
      place();
      if (at >= most) return play();
      requestAnimationFrame(step);
    };
    step();
  }

  for (const id of ["picture", "scan", "delta", "occlusion"]) {
    $(id).addEventListener("pointerdown", (event) => {
      const box = event.target.getBoundingClientRect();
      choose(((event.clientY - box.top) / box.height) * h, ((event.clientX - box.left) / box.width) * w);
    });
    $(id).addEventListener("keydown", (event) => {
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!move) return;
      event.preventDefault();
      const far = event.shiftKey ? 16 : 1;
      choose(state.pixel[0] + far * move[0], state.pixel[1] + far * move[1]);
    });
  }
  for (const id of ["direction", "scale", "residual", "adjustment", "layer"]) $(id).addEventListener("change", look);
  $("reset").addEventListener("click", () => {
    Object.assign($("direction"), { value: "0" });
    Object.assign($("scale"), { value: "0" });
    for (const id of ["residual", "adjustment"]) $(id).checked = true;
    look();
  });
  $("stage").addEventListener("change", drawStage);
  $("channel").addEventListener("input", chooseChannel);
  $("place").addEventListener("input", place);
  $("play").addEventListener("click", play);
  $("occlude").addEventListener("click", occlude);
  $("phantom").addEventListener("click", nextPhantom);
  $("shrink").addEventListener("click", () => give(state.file, true));
  $("file").addEventListener("change", (event) => {
    give(event.target.files[0]);
    event.target.value = "";
  });
  const zone = document.getElementById("try-it");
  zone.addEventListener("dragover", (event) => event.preventDefault());
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    if (state.weights) give(event.dataTransfer.files[0]);
  });

  for (const stage of stages) $("stage").append(new Option(stage, stage));
  for (const layer of layers) $("layer").append(new Option(layer.name, layer.name));
  const able = globalThis.WebAssembly && WebAssembly.validate(lightm.fromBase64(lightm.module));
  if (able && globalThis.DecompressionStream) show("load");
  else {
    const remedy = "use Chrome or Edge 91, Firefox 113, Safari 16.4 or newer";
    problem(new Error(`This browser is too old to run the network, which needs WebAssembly with SIMD: ${remedy}.`));
  }
  $("load").addEventListener("click", load);
})();
