// Opens an exported ONNX file in onnxruntime-web, from its own metadata.

import { readMetadata } from "./onnx-metadata.mjs";
import { toInput } from "./preprocess.mjs";

const RUNTIME = new URL("runtime/", import.meta.url);
// The files that each device needs, entry first.
export const RUNTIME_FILES = {
  wasm: ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"],
  webgpu: ["ort.jspi.min.mjs", "ort-wasm-simd-threaded.jspi.mjs", "ort-wasm-simd-threaded.jspi.wasm"],
};

/**
 * Downloads a model and makes it ready.
 *
 * @param {string} url the ONNX file.
 * @param {"auto" | "webgpu" | "wasm"} wanted where to run it.
 * @returns {Promise<Classifier>}
 * @throws {Error} with a message for the user.
 */
export async function openClassifier(url, wanted) {
  const start = performance.now();
  const model = await download(url);
  const manifest = readManifest(model);
  let notice = "";
  if (wanted === "webgpu" || (wanted === "auto" && (await suitsWebGpu(manifest)))) {
    try {
      return await Classifier.open("webgpu", model, manifest, start);
    } catch (error) {
      notice = `WebGPU failed: ${firstLine(error)}`;
    }
  }
  try {
    const classifier = await Classifier.open("wasm", model, manifest, start);
    classifier.notice = notice;
    return classifier;
  } catch (error) {
    throw new Error(explain(error), { cause: error });
  }
}

export class Classifier {
  /** Makes a session and runs it once, so that a device that cannot run the model is found out now. */
  static async open(device, model, manifest, start) {
    const ort = await import(new URL(RUNTIME_FILES[device][0], RUNTIME).href);
    ort.env.wasm.wasmPaths = RUNTIME.href;
    // In a worker, so that the page answers meanwhile; WebGPU runs beside the page's thread anyway.
    ort.env.wasm.proxy = device === "wasm";
    // Messages come as exceptions; of operators that stay on the CPU nobody needs to hear.
    ort.env.logLevel = "error";
    // The worker takes the model away.
    const bytes = model.length;
    const session = await ort.InferenceSession.create(model, { executionProviders: [device] });
    const classifier = new Classifier();
    const size = manifest.input.shape[1];
    Object.assign(classifier, { ort, session, device, manifest, size, bytes, notice: "" });
    await classifier.run(new Uint8Array(size * size * 3).fill(128));
    Object.assign(classifier, { labels: manifest.labels, threads: ort.env.wasm.numThreads });
    classifier.loadMilliseconds = performance.now() - start;
    return classifier;
  }

  /**
   * @param {{data: Uint8ClampedArray, width: number, height: number, channels: number}} pixels
   * @returns {Promise<{probabilities: Float32Array, milliseconds: number}>}
   */
  async classify(pixels) {
    const input = toInput(pixels, this.size);
    const start = performance.now();
    const answer = await this.run(input);
    const milliseconds = performance.now() - start;
    if (!answer.every(Number.isFinite)) {
      throw new Error("The model answers with numbers that are none: its weights are damaged. Export it again.");
    }
    const isLogits = this.manifest.output.meaning === "logits";
    return { probabilities: isLogits ? softmax(answer) : answer, milliseconds };
  }

  async run(image) {
    const { input, output } = this.manifest;
    // A file of a fixed batch gets black images for the rest.
    const batch = input.shape[0] ?? 1;
    const Values = input.dtype === "float32" ? Float32Array : Uint8Array;
    const values = new Values(batch * image.length);
    values.set(image);
    const tensor = new this.ort.Tensor(input.dtype, values, [batch, this.size, this.size, 3]);
    const outputs = await this.session.run({ [input.name]: tensor });
    return outputs[output.name].data.slice(0, this.manifest.labels.length);
  }
}

async function download(url) {
  let response;
  try {
    response = await fetch(url);
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    if (error instanceof RangeError) throw new Error(explain(error), { cause: error });
    throw new Error("The model could not be downloaded. Check the connection and load the page again.", {
      cause: error,
    });
  }
  throw new Error(`There is no model at ${url} (HTTP ${response.status}).`);
}

function readManifest(model) {
  const text = readMetadata(model).get("vitsd_export");
  if (text === undefined) {
    throw new Error("The model file has no manifest: it is cut short, or vitsd-export did not write it.");
  }
  const manifest = JSON.parse(text);
  const { shape, dtype } = manifest.input;
  if (!["uint8", "float32"].includes(dtype) || shape.length !== 4 || shape[1] !== shape[2] || shape[3] !== 3) {
    throw new Error(`This page cannot feed the model's input, ${dtype} [${shape.map((n) => n ?? "N")}].`);
  }
  return manifest;
}

/** Tells whether the model has anything that WebGPU computes, and the browser all that it takes. */
async function suitsWebGpu(manifest) {
  // Integer products run on the CPU; each would travel there and back.
  if (!["float32", "float16"].includes(manifest.scheme)) return false;
  if (!("gpu" in navigator && "Suspending" in WebAssembly)) return false;
  return (await navigator.gpu.requestAdapter()) !== null;
}

function explain(error) {
  const reason = firstLine(error);
  if (error instanceof RangeError || /bad_alloc|out of memory|allocation failed|Aborted\(OOM/i.test(reason)) {
    return "There is not enough memory on this device for the model. Close other pages, or use a smaller one.";
  }
  return `The model cannot be run: ${reason}`;
}

function firstLine(error) {
  return String(error?.message ?? error).split("\n", 1)[0];
}

function softmax(logits) {
  const highest = Math.max(...logits);
  const powers = Float64Array.from(logits, (value) => Math.exp(value - highest));
  const sum = powers.reduce((total, value) => total + value, 0);
  return Float32Array.from(powers, (value) => value / sum);
}
