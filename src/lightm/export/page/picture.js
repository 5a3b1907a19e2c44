"use strict";
// A file that somebody gave: what it is, whether it can be used, and its values. Errors are sentences for the page.
var lightm = globalThis.lightm || (globalThis.lightm = {});

// A phone holds as many several times over. What the browser decodes goes through a canvas: 16 million on iOS.
lightm.mostPixels = (kind) => (kind === "PNG" ? 24e6 : 16e6);
lightm.SHRUNK_WIDTH = 3000;

lightm.kindOf = (bytes) => {
  const begins = (...start) => start.every((byte, i) => bytes[i] === byte);
  const text = (at, word) => [...word].every((letter, i) => bytes[at + i] === letter.charCodeAt(0));
  if (begins(...lightm.PNG_SIGNATURE)) return "PNG";
  if (begins(0xff, 0xd8, 0xff)) return "JPEG";
  if (text(128, "DICM")) return "DICOM";
  if (begins(0x1f, 0x8b) || text(344, "n+1")) return "NIfTI";
  return "";
};

// EXIF data (a TIFF header and its first list of tags) -> the orientation that it asks for, 1 to 8; 1 without one.
lightm.orientation = (exif) => {
  const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength);
  try {
    const little = view.getUint16(0) === 0x4949;
    const at = view.getUint32(4, little);
    for (let i = 0; i < view.getUint16(at, little); i++) {
      const entry = at + 2 + 12 * i;
      const value = view.getUint16(entry + 8, little);
      if (view.getUint16(entry, little) === 0x0112) return value >= 1 && value <= 8 ? value : 1;
    }
  } catch {
    // it ends too early: then it asks for nothing
  }
  return 1;
};

// The same of a JPEG file.
lightm.jpegOrientation = (bytes) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 2;
  while (at + 10 < bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda) {
    const end = at + 2 + view.getUint16(at + 2);
    const named = String.fromCharCode(...bytes.subarray(at + 4, at + 8)) === "Exif";
    if (bytes[at + 1] === 0xe1 && named) return lightm.orientation(bytes.subarray(at + 10, end));
    at = end;
  }
  return 1;
};

// A picture, turned and mirrored as an orientation asks: 5 to 8 exchange rows and columns.
lightm.turned = ({ width: w, height: h, planes }, orientation) => {
  if (orientation === 1) return { width: w, height: h, planes };
  const swapped = orientation >= 5;
  const [width, height] = swapped ? [h, w] : [w, h];
  const fromRight = [2, 3, 7, 8].includes(orientation);
  const fromBottom = [3, 4, 6, 7].includes(orientation);
  const turn = (plane) => {
    const out = new plane.constructor(plane.length);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const [u, v] = swapped ? [y, x] : [x, y]; // column and row of the file
        out[y * width + x] = plane[(fromBottom ? h - 1 - v : v) * w + (fromRight ? w - 1 - u : u)];
      }
    }
    return out;
  };
  return { width, height, planes: planes.map(turn) };
};

lightm.TURNED = "The picture was turned as its EXIF data asks.";

// Width and height as the header says them, before anything large is decoded; null if it does not say.
lightm.headerSize = (bytes, kind) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (kind === "PNG" && bytes.length > 24) return [view.getUint32(16), view.getUint32(20)];
  for (let at = 2; kind === "JPEG" && at + 9 < bytes.length && bytes[at] === 0xff; ) {
    const marker = bytes[at + 1];
    const frame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (frame) return [view.getUint16(at + 7), view.getUint16(at + 5)];
    at += 2 + view.getUint16(at + 2);
  }
  return null;
};

// A file -> {width, height, planes, top, notes}, or {tooLarge: sentence} unless `shrink` allows to make it smaller.
lightm.readPicture = async (file, shrink) => {
  const name = file.name || "The picture";
  if (!file.size) throw new Error(`${name} is empty: choose another file.`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  const kind = lightm.kindOf(bytes);
  if (kind === "DICOM" || kind === "NIfTI") {
    throw new Error(`${name} is a ${kind} file, which this page can't read: save the image as PNG and give that.`);
  }
  const size = lightm.headerSize(bytes, kind);
  if (size && size[0] * size[1] > lightm.mostPixels(kind) && !shrink) {
    const millions = (pixels) => `${(pixels / 1e6).toFixed(0)} million`;
    const limit = millions(lightm.mostPixels(kind));
    const [width, height] = size;
    return { tooLarge: `${name} has ${width} x ${height} pixels, ${millions(width * height)}; the limit is ${limit}.` };
  }
  try {
    if (kind === "PNG" && !shrink) {
      const picture = await lightm.decodePng(bytes);
      return { ...picture, notes: picture.orientation > 1 ? [lightm.TURNED] : [] };
    }
  } catch (error) {
    // what zlib or the memory complains of comes without a cause that helps
    const why = error instanceof RangeError || error instanceof TypeError ? "" : ` (${error.message})`;
    throw new Error(`${name} is damaged or incomplete${why}: choose another file, or save it again.`);
  }
  const notes = kind === "JPEG" && lightm.jpegOrientation(bytes) > 1 ? [lightm.TURNED] : [];
  return lightm.decodeByBrowser(file, name, shrink, notes);
};

// JPEG, and whatever else this browser knows. It turns the picture as its EXIF orientation says.
lightm.decodeByBrowser = async (file, name, shrink, notes) => {
  const resized = shrink ? { resizeWidth: lightm.SHRUNK_WIDTH, resizeQuality: "high" } : {};
  const exact = { imageOrientation: "from-image", premultiplyAlpha: "none", colorSpaceConversion: "none" };
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { ...exact, ...resized }).catch((error) => {
      if (error instanceof TypeError) return createImageBitmap(file, resized); // a browser without one of the options
      throw error;
    });
  } catch {
    throw new Error(`${name} is no picture that this browser can read, or it is damaged: give a PNG or JPEG file.`);
  }
  const { width, height } = bitmap;
  if (width * height > lightm.mostPixels()) throw new Error(`${name} is too large for this page: save a smaller one.`);
  if (shrink) notes.push(`The picture was reduced to ${width} x ${height} pixels, and so is its mask.`);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const planes = [0, 1, 2].map(() => new Uint8Array(width * height));
  const strip = 256; // rows at a time: the whole picture as RGBA would be four more bytes a pixel
  for (let y = 0; y < height; y += strip) {
    const { data } = context.getImageData(0, y, width, Math.min(strip, height - y));
    for (let i = 0, to = y * width; i < data.length; i += 4, to++) {
      for (let c = 0; c < 3; c++) planes[c][to] = data[i + c];
    }
  }
  return { width, height, planes, top: 255, notes };
};
