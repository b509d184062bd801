// Decodes an image file as vitsd-export does: upright, transparency over white, colour profiles ignored,
// the first frame of an animation.

import { readWebpOrientation, upright } from "./webp-orientation.mjs";

// As pillow: a larger picture is taken for an attack.
const MAX_PIXELS = 178_956_970;
// Rows read at once: browsers refuse canvases of the size of a large photograph.
const STRIP_ROWS = 256;

/**
 * Returns the largest square in the middle of an image, all that the model looks at.
 *
 * @param {Blob} file an image file.
 * @returns {Promise<{data: Uint8ClampedArray, width: number, height: number, channels: 4}>} RGBA pixels; alpha is
 *   255 throughout.
 * @throws {Error} with a message for the user.
 */
export async function readPixels(file) {
  if (file.size === 0) throw new Error("The file is empty.");
  const { bitmap, orientation } = await decode(file);
  try {
    if (bitmap.width * bitmap.height > MAX_PIXELS) {
      throw new Error("The picture is too large to be decoded safely. Scale it down.");
    }
    return readSquare(orientation === 1 ? bitmap : upright(bitmap, orientation));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Error("The picture is too large for this device's memory. Scale it down.", { cause: error });
  } finally {
    bitmap.close();
  }
}

async function decode(file) {
  try {
    const orientation = await readWebpOrientation(file);
    const bitmap = await createImageBitmap(file, {
      imageOrientation: orientation === 1 ? "from-image" : "none",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
    return { bitmap, orientation };
  } catch (error) {
    throw new Error(
      "This is not a picture that the browser can read: it is damaged, too large, or of another format than " +
        "JPEG, PNG, GIF, WebP, AVIF or BMP.",
      { cause: error },
    );
  }
}

function readSquare(bitmap) {
  const side = Math.min(bitmap.width, bitmap.height);
  const left = Math.floor((bitmap.width - side) / 2);
  const top = Math.floor((bitmap.height - side) / 2);
  const data = new Uint8ClampedArray(side * side * 4);
  const canvas = document.createElement("canvas");
  canvas.width = side;
  canvas.height = Math.min(side, STRIP_ROWS);
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true, colorSpace: "srgb" });
  context.fillStyle = "#fff";
  for (let row = 0; row < side; row += STRIP_ROWS) {
    const rows = Math.min(STRIP_ROWS, side - row);
    context.fillRect(0, 0, side, rows);
    context.drawImage(bitmap, left, top + row, side, rows, 0, 0, side, rows);
    data.set(context.getImageData(0, 0, side, rows).data, row * side * 4);
  }
  return { data, width: side, height: side, channels: 4 };
}
