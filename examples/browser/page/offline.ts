// Registers the service worker that the build made; a page under development has none.
import { fact, showError } from "./app.js";

export function mountOffline(): void {
  const link = document.querySelector<HTMLLinkElement>('link[rel="serviceworker"]');
  if (link === null) return fact("offline", "in a build");
  if (!("serviceWorker" in navigator)) return fact("offline", "needs https");
  navigator.serviceWorker.register(link.href).catch(showError);
  void navigator.serviceWorker.ready.then(() => fact("offline", "ready"));
}
