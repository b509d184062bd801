// Pixels of any picture as the input of a classifier: cut, scaled and rounded as Pillow does it.
// No dependencies; the same file serves Node and browsers.

/**
 * Cuts the largest square out of the centre and scales it, bilinearly with antialiasing.
 *
 * The answer equals that of Pillow's `Image.resize(…, BILINEAR)` on the same pixels, bit for bit.
 *
 * @param {{data: Uint8Array | Uint8ClampedArray, width: number, height: number, channels: number}}
 *   picture Rows of pixels from the top left; channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. What is transparent
 *   is laid over white.
 * @param {number} size Height and width of the result.
 * @returns {Uint8Array} [size, size, 3] RGB pixels.
 */
export function toInput({ data, width, height, channels }, size) {
  if (![width, height, size].every((length) => Number.isInteger(length) && length >= 1)) {
    throw new RangeError(`a picture of ${width} × ${height} pixels cannot become ${size} × ${size}`);
  }
  if (![1, 2, 3, 4].includes(channels) || data.length !== width * height * channels) {
    throw new RangeError(`${data.length} values are not ${width} × ${height} pixels of ${channels} channels`);
  }
  const side = Math.min(width, height);
  const left = Math.floor((width - side) / 2);
  const top = Math.floor((height - side) / 2);
  const row = new Uint8Array(side * 3);
  if (side === size) {
    const pixels = new Uint8Array(size * size * 3);
    for (let y = 0; y < size; y++) {
      readRow(data, ((top + y) * width + left) * channels, channels, row);
      pixels.set(row, y * size * 3);
    }
    return pixels;
  }
  const filters = triangleFilters(side, size);
  // Rows first, then columns, each rounded to 8 bits: the order and the rounding are part of the answer.
  const narrow = new Uint8Array(side * size * 3);
  for (let y = 0; y < side; y++) {
    readRow(data, ((top + y) * width + left) * channels, channels, row);
    scaleLine(row, 0, 3, filters, narrow, y * size * 3, 3);
  }
  const pixels = new Uint8Array(size * size * 3);
  for (let x = 0; x < size; x++) {
    scaleLine(narrow, x * 3, size * 3, filters, pixels, x * 3, size * 3);
  }
  return pixels;
}

// Fixed point of Pillow's 8-bit resampling: 32 bits less 8 of the pixel and 2 to spare.
const FRACTION_BITS = 22;

/** Weights of the pixels under each pixel of the result, in fixed point. */
function triangleFilters(from, to) {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  return Array.from({ length: to }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const end = Math.min(Math.trunc(centre + reach + 0.5), from);
    const heights = [];
    let sum = 0;
    for (let at = first; at < end; at++) {
      const height = Math.max(1 - Math.abs((at - centre + 0.5) * (1 / reach)), 0);
      heights.push(height);
      sum += height;
    }
    const weights = heights.map((height) => Math.trunc(0.5 + (height / sum) * 2 ** FRACTION_BITS));
    return { first, weights: Int32Array.from(weights) };
  });
}

function scaleLine(source, start, step, filters, target, targetStart, targetStep) {
  const half = 1 << (FRACTION_BITS - 1);
  let out = targetStart;
  for (const { first, weights } of filters) {
    let red = half;
    let green = half;
    let blue = half;
    let at = start + first * step;
    for (let tap = 0; tap < weights.length; tap++, at += step) {
      const weight = weights[tap];
      red += source[at] * weight;
      green += source[at + 1] * weight;
      blue += source[at + 2] * weight;
    }
    // The weights' own rounding can lift white past 255.
    target[out] = Math.min(red >> FRACTION_BITS, 255);
    target[out + 1] = Math.min(green >> FRACTION_BITS, 255);
    target[out + 2] = Math.min(blue >> FRACTION_BITS, 255);
    out += targetStep;
  }
}

/** Copies a row as RGB, over white. */
function readRow(data, start, channels, row) {
  const colours = channels < 3 ? 1 : 3;
  const hasAlpha = channels % 2 === 0;
  for (let out = 0, at = start; out < row.length; out += 3, at += channels) {
    const alpha = hasAlpha ? data[at + channels - 1] : 255;
    for (let colour = 0; colour < 3; colour++) {
      const value = data[at + (colours === 1 ? 0 : colour)];
      row[out + colour] = alpha === 255 ? value : overWhite(value, alpha);
    }
  }
}

/** Pillow's alpha_composite on opaque white: division by 255 by shifts, with 7 bits more than the result has. */
function overWhite(value, alpha) {
  const sum = (value * alpha + 255 * (255 - alpha) + 0x80) << 7;
  return (((sum >> 8) + sum) >> 8) >> 7;
}
