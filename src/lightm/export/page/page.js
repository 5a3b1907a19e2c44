"use strict";
// The page itself: gives pictures to the service (a worker), shows what it answers.
(() => {
  const $ = (id) => document.getElementById(id);
  const network = JSON.parse($("network").textContent);
  const { classes, lead } = network.network;
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const state = { id: 0, name: "", shown: null, result: null, file: null, ready: false };
  const COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7"]; // Okabe and Ito's
  const colourOf = (k) => COLOURS[(k - 1) % COLOURS.length];
  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const show = (id, yes = true) => ($(id).hidden = !yes);

  function problem(sentence) {
    $("problem").textContent = sentence || "";
    show("problem", Boolean(sentence));
    if (sentence) $("status").textContent = state.result ? "The result below is of the picture before." : "";
  }

  // ---- the service ------------------------------------------------------------------------------------------------

  function connect() {
    try {
      const source = new Blob([$("runtime").textContent], { type: "text/javascript" });
      const worker = new Worker(URL.createObjectURL(source));
      worker.onmessage = (event) => told(event.data);
      worker.onerror = connectHere; // a browser that allows no worker from a file, or one whose worker broke down
      // what is decoded for the worker is handed over, not copied
      ask = (message) => worker.postMessage(message, message.weights ? [message.weights.buffer] : []);
    } catch {
      return connectHere();
    }
    open();
  }

  // Without a worker the service runs here and rests now and then, so that the page stays alive.
  function connectHere() {
    const rest = () => new Promise((resolve) => setTimeout(resolve));
    ask = lightm.service((message) => setTimeout(() => told(message)), rest);
    state.ready = false;
    open();
  }

  let ask = () => {};
  function open() {
    try {
      const module = lightm.fromBase64($("module").textContent);
      if (!globalThis.WebAssembly || !WebAssembly.validate(module) || !globalThis.DecompressionStream) {
        const remedy = "use Chrome or Edge 91, Firefox 113, Safari 16.4 or newer";
        throw new Error(`This browser is too old for the page, which needs WebAssembly with SIMD: ${remedy}.`);
      }
      let weights;
      try {
        weights = lightm.fromBase64($("weights").textContent);
      } catch {
        throw new Error("The network's weights are damaged (they are no base64): get this page again from its source.");
      }
      ask({ type: "open", module, description: network, weights });
    } catch (error) {
      told({ type: "failed", message: error.message });
    }
  }

  const answers = {
    ready() {
      state.ready = true;
      document.body.classList.remove("busy");
      $("status").textContent = "Ready: choose a picture.";
      if (state.file) start(state.file);
    },

    picture({ gray, view: [H, W], width, height, notes }) {
      state.shown = { gray, H, W };
      state.result = null;
      state.size = `${width} x ${height} pixels`;
      $("caption").textContent = [`${state.name}, ${state.size}.`, ...notes].join(" ");
      show("figure");
      show("result", false);
      $("doing").textContent = "The network looks at the picture";
      draw();
    },

    progress({ share }) {
      $("progress").value = share;
    },

    result(message) {
      state.result = message;
      busy(false);
      const found = classes.slice(1).map((name, k) => `${name} ${percent(message.shares[k + 1])}`).join(", ");
      $("status").textContent = `Done in ${message.seconds.toFixed(1)} s. Share of the picture: ${found}.`;
      $("shares").replaceChildren(
        ...classes.map((name, k) => {
          const row = document.createElement("tr");
          const [head, cell] = [document.createElement("th"), document.createElement("td")];
          const swatch = document.createElement("span");
          swatch.className = "swatch";
          swatch.style.background = k ? colourOf(k) : "transparent";
          head.scope = "row";
          head.append(swatch, name);
          cell.textContent = percent(message.shares[k]);
          row.append(head, cell);
          return row;
        }),
      );
      show("result");
      draw();
    },

    "too large"({ message }) {
      busy(false);
      $("question-text").textContent = `${message} It can be reduced first; the mask then has the smaller size.`;
      show("question");
      $("shrink").focus();
    },

    failed({ message }) {
      busy(false);
      problem(message);
      if (!state.ready) {
        $("status").textContent = "The network could not be loaded.";
        for (const control of $("drop").querySelectorAll("input, button")) control.disabled = true;
        document.body.classList.add("busy");
      }
    },

    mask({ blob }) {
      save(blob, "mask.png");
    },
  };

  function told(message) {
    if (message.id === undefined || message.id === state.id) answers[message.type](message);
  }

  function busy(yes) {
    show("working", yes);
    for (const control of $("drop").querySelectorAll("input, button")) control.disabled = yes;
    document.body.classList.toggle("busy", yes);
  }

  function start(file, shrink = false) {
    if (!file || document.body.classList.contains("busy") && state.ready) return;
    Object.assign(state, { file, name: file.name || "Pasted picture" });
    if (!state.ready) return; // it starts as soon as the network is there
    state.id += 1;
    problem("");
    show("question", false);
    $("doing").textContent = "Reading the picture";
    $("status").textContent = "Working.";
    $("progress").value = 0;
    busy(true);
    ask({ type: "picture", id: state.id, file, shrink });
  }

  // ---- drawing ----------------------------------------------------------------------------------------------------

  const view = () => document.querySelector("input[name=view]:checked").value;

  // Each painter gives two arrays (H, W): the class whose colour a pixel gets, and how much of it, 0 to 255.
  const painters = {
    none: (_, W, H) => [new Uint8Array(W * H), new Uint8Array(W * H)],
    area: ({ labels }) => [labels, labels.map((k) => (k ? 150 : 0))],
    outline({ labels }, W, H) {
      const thick = Math.max(1, Math.round(Math.max(W, H) / 500)); // to either side of the border
      const edge = lightm.outline(labels, H, W, thick);
      return [edge, edge.map((k) => (k ? 255 : 0))];
    },
    probability({ probabilities }, W, H) {
      const k = Number($("class").value);
      return [new Uint8Array(W * H).fill(k), probabilities[k]];
    },
  };
  const rgbOf = [[0, 0, 0], ...classes.slice(1).map((_, k) => rgb(colourOf(k + 1)))];

  function draw() {
    const { gray, H, W } = state.shown;
    const canvas = $("canvas");
    if (canvas.width !== W || canvas.height !== H) Object.assign(canvas, { width: W, height: H });
    canvas.style.width = `min(100%, ${Math.max(W, 512)}px)`; // small pictures are shown larger
    const opacity = $("opacity").value / 100;
    const [painted, covers] = painters[state.result ? view() : "none"](state.result, W, H);
    const image = new ImageData(W, H);
    for (let i = 0; i < W * H; i++) {
      const cover = (opacity * covers[i]) / 255;
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = gray[i] * (1 - cover) + rgbOf[painted[i]][c] * cover;
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    const what = { none: "alone", area: "with areas", outline: "with outlines", probability: "with probabilities" };
    const shares = state.result && classes.slice(1).map((name, k) => `${name} ${percent(state.result.shares[k + 1])}`);
    canvas.setAttribute("aria-label", `${state.name} ${shares ? `${what[view()]}; ${shares.join(", ")} of it` : ""}`);
    show("choose", Boolean(shares) && view() === "probability" && classes.length > 2);
    $("opacity-value").textContent = `${$("opacity").value} %`;
  }

  // ---- what the reader does ---------------------------------------------------------------------------------------

  function save(blob, ending) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${state.name.replace(/\.[^.]*$/, "")}-${ending}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  for (const id of ["file", "camera"]) {
    $(id).addEventListener("change", (event) => {
      start(event.target.files[0]);
      event.target.value = ""; // so that the same file can be chosen again
    });
  }
  $("example").addEventListener("click", () => {
    const bytes = lightm.fromBase64($("example-data").textContent);
    start(new File([bytes], "synthetic-example.png", { type: "image/png" }));
  });
  $("shrink").addEventListener("click", () => start(state.file, true));
  $("cancel").addEventListener("click", () => {
    show("question", false);
    $("status").textContent = "Ready: choose a picture.";
    $("file").focus();
  });
  $("save-mask").addEventListener("click", () => ask({ type: "mask" }));
  $("save-view").addEventListener("click", () => $("canvas").toBlob((blob) => save(blob, `${view()}.png`)));
  $("views").addEventListener("change", draw);
  $("class").addEventListener("change", draw);
  $("opacity").addEventListener("input", draw);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || $("drop").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault(); // else the browser would leave the page for the picture
    $("drop").classList.remove("over");
    start(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => start(event.clipboardData.files[0]));

  show("app");
  show("example", Boolean($("example-data").textContent.trim()));
  $("class").replaceChildren(...classes.slice(1).map((name, k) => new Option(name, String(k + 1))));
  document.body.classList.add("busy"); // until the network is loaded
  connect();
})();
