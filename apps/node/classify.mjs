// Says what is on pictures, with an ONNX file and onnxruntime alone: node classify.mjs MODEL PICTURE…
// Exit codes: 0 done, 2 usage, 3 a model or picture that cannot be used.

import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import * as ort from "onnxruntime-node";
import { readMetadata } from "./onnx-metadata.mjs";
import { readPicture } from "./pictures.mjs";
import { toInput } from "./preprocess.mjs";

/** Opens a model; the answer is a function from a picture to its classes, the most probable first. */
export async function openClassifier(path) {
  const metadata = readMetadata(await readFile(path));
  if (!metadata.has("vitsd_export")) throw new Error("It was not written by vitsd-export: it carries no labels.");
  const { input, output, labels } = JSON.parse(metadata.get("vitsd_export"));
  const session = await ort.InferenceSession.create(path);
  const [, size] = input.shape;
  // A file with a fixed batch wants that many pictures.
  const batch = input.shape[0] ?? 1;
  const classify = async (picture) => {
    const pixels = toInput(picture, size);
    const values = new (input.dtype === "float32" ? Float32Array : Uint8Array)(batch * pixels.length);
    values.set(pixels);
    const image = new ort.Tensor(input.dtype, values, [batch, size, size, 3]);
    const { [output.name]: answer } = await session.run({ [input.name]: image });
    const numbers = Array.from(answer.data.subarray(0, labels.length));
    const probabilities = output.meaning === "logits" ? softmax(numbers) : numbers;
    return labels
      .map((label, index) => ({ label, probability: probabilities[index] }))
      .sort((one, other) => other.probability - one.probability);
  };
  // The runtime's threads end with its session, not with the process.
  classify.close = () => session.release();
  return classify;
}

function softmax(logits) {
  const powers = logits.map((logit) => Math.exp(logit - Math.max(...logits)));
  const sum = powers.reduce((total, power) => total + power);
  return powers.map((power) => power / sum);
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: { type: "boolean" }, top: { type: "string", default: "5" } },
  });
  const [model, ...pictures] = positionals;
  const top = Number(values.top);
  if (pictures.length === 0 || !(Number.isInteger(top) && top >= 1)) {
    throw new TypeError("Name a model and pictures, and --top from 1.");
  }
  const classify = await openClassifier(model).catch((error) => fail(model, error));
  for (const path of classify ? pictures : []) {
    try {
      show(path, await classify(await readPicture(path)), top, values.json);
    } catch (error) {
      fail(path, error);
    }
  }
  await classify?.close();
}

function show(image, classes, top, json) {
  if (json) {
    const named = Object.fromEntries(classes.map(({ label, probability }) => [label, probability]));
    console.log(JSON.stringify({ image, classes: named }));
    return;
  }
  console.log(image);
  for (const { label, probability } of classes.slice(0, top)) {
    console.log(`  ${(probability * 100).toFixed(2).padStart(6)}%  ${label}`);
  }
}

function fail(path, error) {
  const reason = error.code === "ENOENT" ? "There is no such file." : String(error.message).split("\n")[0];
  console.error(`error: ${path}: ${reason}`);
  process.exitCode = 3;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main().catch((error) => {
    if (!(error instanceof TypeError)) throw error;
    console.error(`error: ${error.message}\nusage: node classify.mjs MODEL PICTURE… [--top 5] [--json]`);
    process.exitCode = 2;
  });
}
