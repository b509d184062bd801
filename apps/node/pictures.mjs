// Pictures of any usual format as 8-bit pixels, with sharp: the same that Pillow reads.

import { readFile } from "node:fs/promises";
import sharp from "sharp";

// Pillow's limit: more may be an attack on the memory.
const MOST_PIXELS = 178_956_970;

/**
 * Reads a picture upright; of an animation the first frame.
 *
 * @param {string} path
 * @returns {Promise<{data: Uint8Array, width: number, height: number, channels: number}>} as `toInput` takes it.
 * @throws {Error} if it is no picture, or is damaged or too large.
 */
export async function readPicture(path) {
  const bytes = await readFile(path);
  // Colour profiles are left alone, as they were when the model was trained.
  const options = { failOn: "error", ignoreIcc: true, limitInputPixels: MOST_PIXELS };
  try {
    const { space, depth, format } = await sharp(bytes, options).metadata();
    if (["svg", "pdf"].includes(format)) throw new Error("drawings are not supported");
    const deep = depth === "ushort";
    const upright = sharp(bytes, options).rotate();
    const raw = await (space === "cmyk" ? upright.pipelineColourspace("cmyk").toColourspace("cmyk") : upright)
      .toColourspace(deep ? (space === "grey16" ? "grey16" : "rgb16") : space === "cmyk" ? "cmyk" : "srgb")
      .raw({ depth: deep ? "ushort" : "uchar" })
      .toBuffer({ resolveWithObject: true });
    const { width, height, channels } = raw.info;
    if (space === "cmyk") return { data: cmykToRgb(raw.data), width, height, channels: 3 };
    return { data: deep ? to8Bits(raw.data, channels) : raw.data, width, height, channels };
  } catch (error) {
    const reason = String(error.message).split("\n")[0];
    throw new Error(`It is no picture that can be read here, truncated, damaged or too large (${reason}).`);
  }
}

/** Without a profile, as Pillow does it. */
function cmykToRgb(inks) {
  const pixels = new Uint8Array((inks.length / 4) * 3);
  for (let at = 0, out = 0; at < inks.length; at += 4) {
    const white = 255 - inks[at + 3];
    for (let ink = 0; ink < 3; ink++) {
      const product = inks[at + ink] * white + 128;
      pixels[out++] = Math.max(white - (((product >> 8) + product) >> 8), 0);
    }
  }
  return pixels;
}

/** Grey to the nearest of 256 levels, colours by their high byte: Pillow's two ways. */
function to8Bits(data, channels) {
  const values = new Uint16Array(data.buffer, data.byteOffset, data.length / 2);
  return Uint8Array.from(values, channels < 3 ? (value) => Math.floor((value + 128) / 257) : (value) => value >> 8);
}
