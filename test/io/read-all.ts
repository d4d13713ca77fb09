// All that stands in a safetensors file, as numbers: what the tests of right and of hostile files look at.
import { openSafetensors, readElements } from "../../src/io/safetensors.js";

export async function readAll(file: Uint8Array): Promise<Record<string, number[]>> {
  const { source, tensors } = await openSafetensors(file, "a.safetensors");
  const read: Record<string, number[]> = {};
  for (const entry of tensors.values()) read[entry.name] = [...(await readElements(source, entry))];
  return read;
}
