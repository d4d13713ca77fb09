"""Writes blocks.json: blocks of GGUF's types as the gguf package (or, where that cannot quantize, ggml itself) makes and reads them, and FP8
codes as torch makes and reads them. usage: python test/golden/blocks.py path/to/libggml-base.so (of any llama.cpp)"""

import base64, ctypes, json, os, sys
import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

rng = np.random.default_rng(8)
ggml = ctypes.CDLL(sys.argv[1])
ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
ggml.ggml_quantize_init.argtypes = [ctypes.c_int]


def base(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def by_ggml(x, kind):
    block, size = GGML_QUANT_SIZES[kind]
    out = np.zeros(x.size // block * size, dtype=np.uint8)
    ggml.ggml_quantize_init(int(kind))
    floats, pointer = ctypes.POINTER(ctypes.c_float), ctypes.c_void_p
    ggml.ggml_quantize_chunk(
        ctypes.c_int(int(kind)), x.ctypes.data_as(floats), out.ctypes.data_as(pointer), ctypes.c_int64(0),
        ctypes.c_int64(x.shape[0]), ctypes.c_int64(x.shape[1]), None,
    )  # fmt: skip
    return out.reshape(x.shape[0], -1)


def read(stored, kind):
    with np.errstate(all="ignore"):
        return dequantize(stored, kind).astype(np.float32)


# Two rows of weights as models have them, one of them with heavy tails and a block of zeros.
given = np.stack([rng.normal(size=256), 0.02 * rng.standard_t(4, size=256)]).astype(np.float32)
given[1, 64:96] = 0
# Blocks of 32: zeros, one outlier, ties, all equal, one sign, numbers whose f16 scale is 0, just below a power of two, wide.
edges = np.zeros((8, 32), dtype=np.float32)
edges[1, 7] = -1000
edges[2] = (np.arange(32) * 37 % 64 - 32) / 4
edges[3] = 0.3
edges[4] = rng.uniform(2, 3, size=32)
edges[5] = rng.normal(size=32) * 2.0**-118
edges[6] = rng.uniform(-1, 1, size=32)
edges[6, 3] = np.nextafter(np.float32(8), np.float32(0))
edges[7] = rng.normal(size=32) * 2.0 ** rng.integers(-12, 12, size=32)

# Where in a block its f16 numbers begin, so that random bytes get finite ones; the byte of e8m0.
halves = {"Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "MXFP4": [], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0]}
types = {}
for name, places in halves.items():
    kind = T[name]
    block, size = GGML_QUANT_SIZES[kind]
    exact = name in ("Q4_1", "Q5_0", "Q5_1", "MXFP4")
    stored = quantize(given, kind) if exact else by_ggml(given, kind)
    drawn = rng.integers(0, 256, size=(256 // block, size), dtype=np.uint8)
    for at in places:
        drawn[:, at : at + 2] = rng.normal(size=256 // block).astype(np.float16).view(np.uint8).reshape(-1, 2)
    if name == "MXFP4":
        drawn[:, 0] = [0, 1, 2, 3, 100, 127, 252, 254]
    types[name] = {
        "bytes": base(stored),
        "read": base(read(stored, kind)),
        "drawn": base(drawn),
        "drawnRead": base(read(drawn.reshape(1, -1), kind)),
    }
    if exact:
        with np.errstate(all="ignore"):
            types[name]["edges"] = base(quantize(edges, kind))

fp8 = {}
for name, kind in {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}.items():
    codes = torch.arange(256, dtype=torch.uint8)
    numbers = codes.view(kind).float()
    finite = numbers[torch.isfinite(numbers)].sort().values.unique()
    middles = (finite[1:] + finite[:-1]) / 2
    inf = torch.tensor(float("inf"))
    largest = finite[-1]
    step = largest - finite[-2]
    near = [largest + step / 2, largest + step, 2 * largest, 2.0**-149, 2.0**-20, -0.0]
    x = torch.cat([finite, middles, torch.nextafter(middles, inf), torch.nextafter(middles, -inf), torch.tensor(near)])
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(1))[:256]]
    x = torch.cat([x, torch.tensor(near + [float("nan"), float("inf"), -float("inf")])])
    fp8[name] = {"read": base(numbers.numpy()), "given": base(x.numpy()), "codes": base(x.to(kind).view(torch.uint8).numpy())}

golden = {"given": base(given), "edges": base(edges), "types": types, "fp8": fp8}
with open(os.path.join(os.path.dirname(__file__), "blocks.json"), "w") as out:
    json.dump(golden, out, indent=2)
    out.write("\n")
