// Configs that no model has, which must be refused by name before they cost memory or the stack.
import { describe, expect, it } from "vitest";
import { ConfigError, FormatError } from "../../src/core/errors.js";
import { configFromJson, configToJson } from "../../src/models/config-json.js";
import { presets } from "../../src/models/presets.js";

describe("hostile config.json", () => {
  const dense = { ...configToJson({ ...presets["qwen3-0.6b"] }), use_sliding_window: true, sliding_window: 8 };

  it("refuses nesting that no config has, and a key given twice", () => {
    const nested = `{"model_type": ${"[".repeat(20_000)}${"]".repeat(20_000)}}`;
    expect(() => configFromJson(nested)).toThrow(FormatError);
    expect(() => configFromJson('{"model_type": "qwen3", "model_type": "qwen3_moe"}')).toThrow(FormatError);
  });

  it.each([1e10, -1, 2.5, "x", []])("refuses %j layers before it makes a list of them", (num_hidden_layers) => {
    expect(() => configFromJson({ ...dense, max_window_layers: 1, num_hidden_layers })).toThrow(ConfigError);
    expect(() => configFromJson({ ...dense, max_window_layers: num_hidden_layers })).toThrow(ConfigError);
  });
});
