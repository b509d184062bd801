// The EXIF orientation of WebP files, which browsers ignore, unlike that of JPEG, PNG and AVIF.
// Container: https://developers.google.com/speed/webp/docs/riff_container, EXIF: TIFF 6.0, section 2.

const ORIENTATION = 0x0112;

/**
 * @param {Blob} file any file.
 * @returns {Promise<number>} 1 to 8 as in EXIF; 1 where it is no WebP file or does not say.
 */
export async function readWebpOrientation(file) {
  const head = await view(file, 0, 12);
  if (head.byteLength < 12 || text(head, 0) !== "RIFF" || text(head, 8) !== "WEBP") return 1;
  for (let at = 12; at + 8 <= file.size; ) {
    const chunk = await view(file, at, 8);
    const length = chunk.getUint32(4, true);
    if (text(chunk, 0) === "EXIF") return orientation(await view(file, at + 8, length));
    at += 8 + length + (length % 2);
  }
  return 1;
}

/**
 * @param {ImageBitmap} bitmap the pixels as stored.
 * @param {number} orientation 2 to 8.
 * @returns {HTMLCanvasElement} the picture upright, on white.
 */
export function upright(bitmap, orientation) {
  const { width, height } = bitmap;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = orientation > 4 ? [height, width] : [width, height];
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const transforms = {
    2: [-1, 0, 0, 1, width, 0],
    3: [-1, 0, 0, -1, width, height],
    4: [1, 0, 0, -1, 0, height],
    5: [0, 1, 1, 0, 0, 0],
    6: [0, 1, -1, 0, height, 0],
    7: [0, -1, -1, 0, height, width],
    8: [0, -1, 1, 0, 0, width],
  };
  context.setTransform(...transforms[orientation]);
  context.drawImage(bitmap, 0, 0);
  return canvas;
}

function orientation(exif) {
  try {
    // Some writers put JPEG's mark before the TIFF header.
    const start = text(exif, 0) === "Exif" ? 6 : 0;
    const little = exif.getUint16(start) === 0x4949;
    const directory = start + exif.getUint32(start + 4, little);
    const count = exif.getUint16(directory, little);
    for (let entry = 0; entry < count; entry++) {
      const at = directory + 2 + entry * 12;
      if (exif.getUint16(at, little) !== ORIENTATION) continue;
      const value = exif.getUint16(at + 8, little);
      return value >= 1 && value <= 8 ? value : 1;
    }
  } catch (error) {
    // Damaged EXIF is ignored, since the pixels are whole.
    if (!(error instanceof RangeError)) throw error;
  }
  return 1;
}

async function view(file, start, length) {
  return new DataView(await file.slice(start, start + length).arrayBuffer());
}

function text(bytes, at) {
  if (at + 4 > bytes.byteLength) return "";
  return String.fromCharCode(...new Uint8Array(bytes.buffer, at, 4));
}
