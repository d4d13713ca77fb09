"""Writes gguf-golden.json: a small GGUF file by the gguf package, and what that package reads out of it.
usage: pip install gguf==0.19.0 && python test/io/gguf-golden.py"""

import base64, json, os, tempfile
import numpy as np
from gguf import GGUFWriter, GGMLQuantizationType as T, GGUFValueType as V
from gguf.quants import dequantize, quantize

rng = np.random.default_rng(5)


def rows(height, width):
    x = rng.normal(size=(height, width)).astype(np.float32)
    x[0, :32] = 0  # a block of zeros
    x[1, 1], x[1, 2] = 7.5, -7.5  # the extreme twice, with both signs
    return x


tensors = {
    "plain": (T.F32, rows(2, 32)),
    "half": (T.F16, rows(2, 33)),
    "brain": (T.BF16, rows(2, 32)),
    "eight": (T.Q8_0, rows(3, 96)),
    "four": (T.Q4_0, rows(3, 96)),
}
path = os.path.join(tempfile.mkdtemp(), "golden.gguf")
writer = GGUFWriter(path, "qwen3")
writer.add_uint8("test.u8", 255)
writer.add_int8("test.i8", -128)
writer.add_uint16("test.u16", 65535)
writer.add_int16("test.i16", -32768)
writer.add_uint32("test.u32", 4294967295)
writer.add_int32("test.i32", -2147483648)
writer.add_float32("test.f32", 0.1)
writer.add_bool("test.bool", True)
writer.add_string("test.string", "Größe")
writer.add_uint64("test.u64", 2**53 - 1)
writer.add_int64("test.i64", -(2**53 - 1))
writer.add_float64("test.f64", 0.1)
writer.add_array("tokenizer.ggml.tokens", ["<a>", "", "é"])
writer.add_array("test.ints", [1, -2, 3])
writer.add_array("test.floats", [0.5, -0.25])
writer.add_array("test.bools", [True, False])
expected = {}
for name, (kind, x) in tensors.items():
    stored = quantize(x, kind)
    writer.add_tensor(name, stored, raw_dtype=kind)
    values = dequantize(stored, kind).astype(np.float32)
    expected[name] = {
        "type": kind.name,
        "shape": list(x.shape),
        "given": base64.b64encode(x.tobytes()).decode(),
        "read": base64.b64encode(values.tobytes()).decode(),
    }
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
with open(path, "rb") as file:
    golden = {"file": base64.b64encode(file.read()).decode(), "tensors": expected}
with open(os.path.join(os.path.dirname(__file__), "gguf-golden.json"), "w") as out:
    json.dump(golden, out, indent=2)
    out.write("\n")
