// Keeps the page for use without a network. Each export is a version of its own: site.js carries the digest of
// all of its files, so a new export makes a new cache and drops the old.

importScripts("site.js");

const { version, model, page, large } = self.SITE;
const PREFIX = `vitsd-export ${self.registration.scope} `;
const CACHE = PREFIX + version;

self.addEventListener("install", (event) => {
  event.waitUntil(install().then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(dropOld().then(() => self.clients.claim()));
});

self.addEventListener("message", (event) => {
  event.waitUntil(
    keep(event.data.keep).then(
      () => event.source.postMessage("kept"),
      () => event.source.postMessage("not kept"),
    ),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(self.registration.scope)) {
    event.respondWith(answer(event));
  }
});

async function install() {
  const cache = await caches.open(CACHE);
  const names = [...page];
  // An update replaces the large files as well, before the old ones go. The first time the page is loading them,
  // and asks for them to be kept when it has them.
  const old = await oldCaches();
  for (const name of large) {
    const kept = await Promise.all(old.map(async (cacheName) => (await caches.open(cacheName)).match(name)));
    if (kept.some(Boolean)) names.push(name);
  }
  await cache.addAll(names.map((name) => new Request(name, { cache: "no-cache" })));
}

async function keep(names) {
  const cache = await caches.open(CACHE);
  for (const name of names) {
    // The browser has just downloaded it.
    if (!(await cache.match(name))) await cache.add(new Request(name, { cache: "force-cache" }));
  }
}

async function answer(event) {
  const { request } = event;
  const cache = await caches.open(CACHE);
  const name = request.mode === "navigate" ? self.registration.scope : request.url;
  const cached = await cache.match(name, { ignoreSearch: true });
  if (cached === undefined) return isolated(request, await fetch(request));
  if (request.url === new URL(model, self.registration.scope).href) {
    event.waitUntil(refresh(cache, request.url, cached.clone()));
  }
  return isolated(request, cached);
}

/** Notices a model that was put into the folder by hand. */
async function refresh(cache, url, cached) {
  // Else the browser would download the whole model to find out.
  if (!["etag", "last-modified"].some((header) => cached.headers.has(header))) return;
  const fresh = await fetch(url, { cache: "no-cache" }).catch(() => undefined);
  if (!fresh?.ok) return;
  const isSame = (header) => fresh.headers.get(header) === cached.headers.get(header);
  if (["etag", "last-modified", "content-length"].every(isSame)) return;
  await cache.put(url, fresh);
  for (const client of await self.clients.matchAll()) client.postMessage("changed");
}

/** Gives the page threads where the host cannot send these headers: from its second load on. */
function isolated(request, response) {
  const isCode = ["document", "script", "worker"].includes(request.destination);
  if (!isCode || response.type !== "basic" || response.headers.has("Cross-Origin-Embedder-Policy")) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

async function oldCaches() {
  return (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
}

async function dropOld() {
  for (const name of await oldCaches()) await caches.delete(name);
}
