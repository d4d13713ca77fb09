// The headers by which a page is cross-origin isolated, which browsers want before threads may share memory.
export const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
} as const;
