// Keeps the whole page, so that it works offline after the first load. The build puts the version and the list of files in.
const { version, files } = __PAGE__;
const kept = `qwen-blocks-page-${version}`;

self.addEventListener("install", (event) => {
  // Past the HTTP cache: a version is made of its own files only.
  const requests = files.map((file) => new Request(file, { cache: "reload" }));
  event.waitUntil(caches.open(kept).then((cache) => cache.addAll(requests)));
});

// A new version waits until no page of the old one is open: those still load parts by their old names, which a server may have no more.
self.addEventListener("activate", (event) => {
  const others = (names) => names.filter((name) => name.startsWith("qwen-blocks-page-") && name !== kept);
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(others(names).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

// What is kept comes with the headers that it was served with, so a page that was isolated stays so.
self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") return;
  const find = caches.open(kept).then((cache) => cache.match(event.request, { ignoreSearch: true }));
  event.respondWith(find.then((found) => found ?? fetch(event.request)));
});
