"use strict";
// PNG files in and out. A browser's own decoder would do for eyes, not for numbers: it reduces 16 bits to 8, applies
// gamma and colour profiles, and multiplies by alpha. Here the values are those that Pillow gives lightm.data.images.
var lightm = globalThis.lightm || (globalThis.lightm = {});

lightm.PNG_SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

// Samples a pixel and allowed depths, by colour type: gray, RGB, palette, gray + alpha, RGBA.
lightm.PNG_TYPES = {
  0: [1, [1, 2, 4, 8, 16]], 2: [3, [8, 16]], 3: [1, [1, 2, 4, 8]], 4: [2, [8, 16]], 6: [4, [8, 16]],
};

// Adam7: the first pixel of each pass and the steps to the next, [x, y, dx, dy].
lightm.PNG_PASSES = [
  [0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2],
];

lightm.through = async (stream, bytes) =>
  new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());

// The header and the chunks that matter, their checksums verified.
lightm.readPngChunks = (bytes) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const data = [];
  let header, palette, exif, ended = false;
  for (let at = 8; !ended; ) {
    if (at + 12 > bytes.length) throw new Error("it ends too early");
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (at + 12 + length > bytes.length) throw new Error("it ends too early");
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (["IHDR", "PLTE", "IDAT", "eXIf"].includes(type)) {
      const sum = lightm.crc32(bytes.subarray(at + 4, at + 8 + length));
      if (sum !== view.getUint32(at + 8 + length)) throw new Error(`the checksum of its ${type} differs`);
    }
    if (type === "IHDR") {
      const [width, height] = [view.getUint32(at + 8), view.getUint32(at + 12)];
      header = { width, height, depth: body[8], type: body[9], interlaced: body[12] };
    }
    if (type === "PLTE") palette = body;
    if (type === "IDAT") data.push(body);
    if (type === "eXIf") exif = body;
    ended = type === "IEND";
    at += 12 + length;
  }
  const known = header && lightm.PNG_TYPES[header.type];
  const right = known && known[1].includes(header.depth) && header.width && header.height;
  if (!right) throw new Error("its header is wrong");
  const partly = header.depth === 16 && header.type !== 0; // Pillow would keep 8 of the 16, so Python refuses them, too
  if (partly) throw new Error("it has 16 bits a colour, of which 8 would be read: save it as 16-bit gray");
  if (header.type === 3 && !palette) throw new Error("its palette is missing");
  return { ...header, palette, data, orientation: exif ? lightm.orientation(exif) : 1 };
};

// -> {width, height, planes: one or three arrays of whole numbers (height, width), top: the format's largest value,
// orientation: how its EXIF data had it turned, 1 if not at all}
lightm.decodePng = async (bytes) => {
  const { width, height, depth, type, interlaced, palette, data, orientation } = lightm.readPngChunks(bytes);
  const samples = lightm.PNG_TYPES[type][0];
  const raw = await lightm.through(new DecompressionStream("deflate"), new Blob(data));
  const passes = interlaced ? lightm.PNG_PASSES : [[0, 0, 1, 1]];
  const colour = type === 2 || type === 3 || type === 6;
  const wide = depth === 16;
  const Plane = wide ? Uint16Array : Uint8Array;
  const planes = Array.from({ length: colour ? 3 : 1 }, () => new Plane(width * height));
  const bytesPerPixel = Math.max(1, (samples * depth) >> 3);
  const scale = type === 3 ? 1 : { 1: 255, 2: 85, 4: 17 }[depth] || 1;
  let at = 0;
  for (const [x0, y0, dx, dy] of passes) {
    const [columns, rows] = [Math.ceil((width - x0) / dx), Math.ceil((height - y0) / dy)];
    if (columns <= 0 || rows <= 0) continue;
    const length = Math.ceil((columns * samples * depth) / 8);
    let before = new Uint8Array(length);
    for (let r = 0; r < rows; r++, at += length + 1) {
      if (at + 1 + length > raw.length) throw new Error("it ends too early");
      const line = raw.subarray(at + 1, at + 1 + length);
      lightm.unfilter(raw[at], line, before, bytesPerPixel);
      before = line;
      for (let c = 0; c < columns; c++) {
        const to = (y0 + r * dy) * width + x0 + c * dx;
        for (let s = 0; s < (colour && type !== 3 ? 3 : 1); s++) {
          const i = c * samples + s;
          let value;
          if (depth === 8) value = line[i];
          else if (wide) value = line[2 * i] * 256 + line[2 * i + 1];
          else value = ((line[(i * depth) >> 3] >> (8 - depth - ((i * depth) & 7))) & ((1 << depth) - 1)) * scale;
          if (type === 3) for (let p = 0; p < 3; p++) planes[p][to] = palette[3 * value + p] || 0;
          else planes[s][to] = value;
        }
      }
    }
  }
  return { ...lightm.turned({ width, height, planes }, orientation), top: wide ? 65535 : 255, orientation };
};

// Undoes a row's filter in place: each byte was stored as the difference from what its neighbours predict.
lightm.unfilter = (filter, line, up, step) => {
  if (filter > 4) throw new Error("a row of it has no such filter");
  for (let i = 0; filter && i < line.length; i++) {
    const a = i >= step ? line[i - step] : 0;
    const b = up[i];
    const c = i >= step ? up[i - step] : 0;
    let predicted = [0, a, b, (a + b) >> 1][filter];
    if (filter === 4) {
      const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
      predicted = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
    }
    line[i] += predicted; // modulo 256, as bytes are
  }
};

// Values 0 to 255 (height, width) -> an 8-bit gray PNG, as `lightm predict` writes label maps.
lightm.encodePng = async (values, width, height) => {
  const raw = new Uint8Array(height * (width + 1)); // each row begins with its filter: none
  for (let y = 0; y < height; y++) raw.set(values.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 0, 0, 0, 0], 8);
  const body = await lightm.through(new CompressionStream("deflate"), raw);
  const chunk = (type, data) => {
    const out = new Uint8Array(12 + data.length);
    const fields = new DataView(out.buffer);
    fields.setUint32(0, data.length);
    out.set([...type].map((letter) => letter.charCodeAt(0)), 4);
    out.set(data, 8);
    fields.setUint32(8 + data.length, lightm.crc32(out.subarray(4, 8 + data.length)));
    return out;
  };
  const parts = [chunk("IHDR", header), chunk("IDAT", body), chunk("IEND", new Uint8Array(0))];
  return new Blob([new Uint8Array(lightm.PNG_SIGNATURE), ...parts], { type: "image/png" });
};
