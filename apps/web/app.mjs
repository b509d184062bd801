// The page: takes pictures, shows answers.

import { RUNTIME_FILES, openClassifier } from "./classifier.mjs";
import { readPixels } from "./pixels.mjs";

const MODEL = "model.onnx";
const TOP = 5;

const element = (id) => document.getElementById(id);
const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });

const wanted = new URLSearchParams(location.search).get("device") ?? "auto";
const opening = openClassifier(MODEL, wanted);
let latest;

/**
 * Classifies an image file and shows the answer; of several at once the last is shown.
 *
 * @param {Blob} file
 * @returns {Promise<Float32Array | undefined>} probabilities; undefined where there is a message instead.
 */
export async function classify(file) {
  latest = file;
  const isLatest = () => latest === file;
  try {
    const classifier = await opening;
    const { probabilities, milliseconds } = await classifier.classify(await readPixels(file));
    if (isLatest()) showAnswer(file, classifier.labels, probabilities, milliseconds);
    return probabilities;
  } catch (error) {
    if (isLatest()) showError(error.message);
    return undefined;
  }
}

function showAnswer(file, labels, probabilities, milliseconds) {
  const best = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, TOP);
  element("classes").replaceChildren(...best.map((index) => row(labels[index], probabilities[index])));
  element("classes").hidden = false;
  element("error").hidden = true;
  element("latency").textContent = `${milliseconds.toFixed(1)} ms`;
  const [first] = best;
  tell(`This is most likely: ${labels[first]}, ${percent.format(probabilities[first])}.`);
  showPreview(file);
}

function row(label, probability) {
  const make = (tag, className, text = "") => {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
  };
  const bar = make("span", "bar");
  const filled = document.createElement("i");
  // The number beside it says the same.
  bar.ariaHidden = "true";
  filled.style.width = `${probability * 100}%`;
  bar.append(filled);
  const item = document.createElement("li");
  item.append(make("span", "name", label), make("span", "percent", percent.format(probability)), bar);
  return item;
}

function showPreview(file) {
  const preview = element("preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.alt = file.name ? `Your picture, ${file.name}` : "Your picture";
  fill(true);
}

function fill(isFull) {
  element("drop").classList.toggle("full", isFull);
  element("preview").hidden = !isFull;
  element("again").hidden = !isFull;
  element("invitation").hidden = isFull;
}

function showError(message) {
  element("error").textContent = message;
  element("error").hidden = false;
  element("classes").hidden = true;
  fill(false);
  tell("");
}

function tell(message) {
  element("status").textContent = message;
}

function showFacts(classifier) {
  const { manifest, size, labels, bytes, threads, device, notice } = classifier;
  const runsOn = device === "webgpu" ? "WebGPU" : `WebAssembly, ${threads} thread${threads === 1 ? "" : "s"}`;
  const facts = {
    model: manifest.source.name,
    scheme: manifest.scheme,
    size: `${(bytes / 1e6).toFixed(2)} MB`,
    input: `${size} × ${size} pixels`,
    "load-time": `${(classifier.loadMilliseconds / 1000).toFixed(2)} s`,
    "runs-on": notice ? `${runsOn} (${notice})` : runsOn,
  };
  for (const [id, text] of Object.entries(facts)) element(id).textContent = text;
  element("labels").textContent = `It knows ${labels.length} classes: ${labels.join(", ")}.`;
}

function take(files) {
  const [file] = files;
  if (file === undefined) {
    showError("There is no picture in what you gave.");
    return;
  }
  tell("Looking…");
  classify(file);
}

function listen() {
  for (const id of ["file", "camera"]) {
    element(id).addEventListener("change", (event) => {
      if (event.target.files.length > 0) take([...event.target.files]);
      // So that the same file can be chosen again.
      event.target.value = "";
    });
  }
  const drop = element("drop");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
  // Only phones and tablets open their camera; elsewhere this would be a second "choose".
  element("take").hidden = navigator.maxTouchPoints === 0;
  element("device").value = wanted;
  element("device").addEventListener("change", (event) => {
    location.search = event.target.value === "auto" ? "" : `device=${event.target.value}`;
  });
  element("reload").addEventListener("click", () => location.reload());
}

async function showModel() {
  try {
    const classifier = await opening;
    showFacts(classifier);
    for (const id of ["file", "camera"]) element(id).disabled = false;
    if (latest === undefined) tell("Ready. Choose, drop or paste a picture.");
    await stayOffline([MODEL, ...RUNTIME_FILES[classifier.device].map((name) => `runtime/${name}`)]);
  } catch (error) {
    showError(error.message);
  }
}

/** Has the service worker keep what this page is made of. */
async function stayOffline(files) {
  const { serviceWorker } = navigator;
  if (serviceWorker === undefined) {
    element("offline").textContent = "not available: needs https";
    return;
  }
  try {
    await serviceWorker.register("service-worker.js", { updateViaCache: "none" });
    const registration = await serviceWorker.ready;
    registration.active.postMessage({ keep: files });
  } catch (error) {
    element("offline").textContent = `not available: ${error.message}`;
  }
}

/** Shows what the service worker tells, which it may do as soon as the page is there. */
function listenToServiceWorker(serviceWorker) {
  const hadController = serviceWorker.controller !== null;
  serviceWorker.addEventListener("controllerchange", () => {
    if (!hadController) return;
    // Nobody is disturbed while there is no picture yet.
    if (latest === undefined) location.reload();
    else element("notice").hidden = false;
  });
  serviceWorker.addEventListener("message", ({ data }) => {
    if (data === "kept") element("offline").textContent = "ready";
    if (data === "not kept") element("offline").textContent = "not available: no space";
    if (data === "changed") element("notice").hidden = false;
  });
}

if ("serviceWorker" in navigator) listenToServiceWorker(navigator.serviceWorker);
listen();
showModel();
