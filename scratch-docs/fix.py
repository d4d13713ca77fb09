import re
def edit(p, pairs):
    s=open(p).read()
    for a,b in pairs:
        if a not in s: print("MISSING in",p,":",a[:70]); continue
        s=s.replace(a,b,1)
    open(p,'w').write(s)
s=open('docs/backends.md').read()
m=re.search(r'`binary` by its `op`:\n\n(.*?)\n\nWhich kernel decides.*?somewhere\.\n\n', s, re.S)
lst=m.group(1)
s=s.replace(m.group(0),'')
s=s.replace("_a, b of one type Any, broadcast; `op`._\n\nBelow.","_a, b of one type Any, broadcast; y of that type, of `equal` and `less` u32; `op`._\n\n"+lst)
open('docs/backends.md','w').write(s)
edit('docs/backends.md',[
 ("- `name`, `info`: for people and messages: what it is","- `name`, `info` are for people and messages: what it is"),
 ("- `features.accuracy`: `\"ieee\"` or `\"wgsl\"`: which errors its arithmetic may make, below.","- `features.accuracy`, `\"ieee\"` or `\"wgsl\"`: which errors its arithmetic may make (below)."),
 ("- `memory`: below; two backends with the same `memory` object may share tensors.","- `memory` (below). Backends with the same `memory` object may share tensors."),
 ("- `compile(commands)`: optional: turns","- `compile(commands)`, optional, turns"),
 ("- `idle()`: resolves when all queued work is done: for timing, never needed for correct numbers.","- `idle()` resolves when all queued work is done. It is for timing, never needed for correct numbers."),
 ("_table Any [N, row...] or packed; rows i32, any shape; y rows.shape followed by row...._","_table Any [N, ...row] or packed; rows i32, any shape; y [...rows.shape, ...row]._"),
 ("_x Any, rows.shape followed by row...; rows i32; target [N, row...] of x's type; `mode`._","_x Any [...rows.shape, ...row]; rows i32; target [N, ...row] of x's type; `mode` \"set\" or \"add\"._"),
 ("y[j...] = table[rows[j...]]; zeros","y[j, ...] = table[rows[j], ...]; zeros"),
 ("axis; extents agree or are 1, and a missing axis counts as 1.","axis; extents agree or are 1, and a missing axis counts as 1. Scalar attributes are JavaScript numbers, integers where\nthey count or index.\n"),
 ("- `attention`: which key a query sees follows from the two tables alone (the comment in `src/ops/attention.ts` has the\n  rule). A query that sees none gives 0.","- `attention`: key row s of the batch row is visible to query t iff first ≤ s < last (its range), both positions are ≥ 0,\n  the segments agree (a negative one is the complement of its segment and marks a global token), the key's position is\n  not above the query's if `causal`, and one of: `window` is 0; qp - kp < window if causal, else |qp - kp| ≤ window; kp <\n  `sinks`; the key or the query is global. A query that sees none gives 0."),
])
edit('docs/memory.md',[
 ("- a block's constructor: weights, RoPE table: `disposeAll(model)`.","- The weights and RoPE table of a model: `disposeAll(model)` frees them."),
 ("- `model.makeCache`, `new DenseCache`: `cache.dispose()`.","- A cache of `model.makeCache` or `new DenseCache`: `cache.dispose()`."),
 ("- `new AdamW`: `optimizer.dispose()`.","- An optimizer's moments: `optimizer.dispose()`."),
 ("- `record`: `recording.dispose()` and the handles in `result`.","- A recording: `recording.dispose()`, and the handles in `result`, which are results like any other."),
 ("- `valueAndGrad`: its value and gradients belong to the scope around it.","- Value and gradients of `valueAndGrad`: the scope around the call, or you."),
 ("- `model.forward(ids, { routings })`: logits and routings belong to the scope around it.","- Logits of `model.forward`, and the routings it put into `routings`: the same."),
 ("- `generate`, `train`: themselves, however the loop is left.","- `generate` and `train` free what they hold, however the loop is left."),
 ("- the backend: `await backend[Symbol.asyncDispose]()`: all of its memory.","- The backend: `await backend[Symbol.asyncDispose]()` frees all of its memory."),
])
s=open('docs/numerics.md').read()
i=s.index("Each of these is intended."); j=s.index("Temperature, top-k, top-p and min-p apply")
s=s[:i]+"""All of this is intended. What concerns roundings only, and leaves every stage, loss and gradient equal up to what f32 arithmetic loses (the
golden fixtures check that):

- **RoPE tables** are made on the host. The angle is position · frequency rounded to f32, as there; its cosine and sine are taken in f64, times
  the attention factor, and rounded once. There all of it is f32, then cast to the model's type.
- **Norms, softmax and products** round once per output element on the CPU backend. There each step rounds, in the model's type where it casts.
- **The router** is f32 throughout. There its product has the model's type, the softmax is f32, and the weights are cast back.
- **A token's experts** are summed in slot order, the best one first. There the sum runs by expert number, or through a grouped product.
- **The balance loss** takes its softmax in f32. There it has the type of the logits.

What can change a result:

- **Ties** go to the lower index everywhere: equal router probabilities, equal logits in `topK` and in greedy decoding. torch does not specify
  the order.
- **A query that sees no key** gets 0 from attention, and a gradient of 0. There eager attention gives it the mean of all values.
- **Padding**: rows of padding visit no expert (the mixture gives 0 there) and count in no loss or statistic that was given the row mask; their
  logits are not defined. There they are computed like any row and masked out later.
- **Positions** under a mask count real tokens only, and padding has -1. There they are 0, 1, 2, ... over all places unless they are given.
- **Top-k sampling** keeps exactly k tokens, the lower ids of a tie. There all tokens that tie with the k-th stay.
- **Drawing** inverts the running sum of probabilities, best token first, at one `Random.uniform()`; equal seeds give other texts than there.
- **A batch without a target that counts** has a loss of 0 in `nextTokenLoss`. There it is NaN.
- **`maximum` and `minimum`** of equal operands pass the whole gradient to the first; torch gives half to each. (`max` and `min` over an axis
  share it among equal extremes, as torch's `amax`.)
- **AdamW** has beta2 0.95 and a decay of 0.1 on matrices unless told otherwise; torch 0.999, and 0.01 on everything.
- **`head_dim` and `norm_topk_prob`** must be in config.json. There a missing one gets a default that no released mixture model has.
- **RoPE** knows the types default, linear, yarn and llama3, and refuses others. There dynamic and longrope exist too.

"""+s[j:]
s=s.replace('import { arange, attention, fill, tensor, topK }','import { attention, fill, tensor, topK }')
s=s.replace("const queries = tensor(backend, Int32Array.of(0, 0, 0, 1), [1, 1, 4]); // position, segment, first key row, row after the last","// Position, segment, first key row, row after the last; and position, segment, slot.\nconst queries = tensor(backend, Int32Array.of(0, 0, 0, 1), [1, 1, 4]);")
s=s.replace("[1, 1, 3]); // position, segment, slot","[1, 1, 3]);")
open('docs/numerics.md','w').write(s)
s=open('docs/architecture.md').read()
i=s.index("- B: batch rows"); j=s.index("Layouts are chosen")
s=s[:i]+"""- Activations: B batch rows, T query tokens of a call, R rows (mostly B T), D width of the model, V vocabulary, L layers.
- Attention: H query heads, Hkv key/value heads (query head h reads floor(h Hkv / H)), d width of a head, r the turned part of a head (RoPE,
  even), S rows of the key table, N slots of a cache pool.
- Experts: E of a layer, k visited by a token, I hidden width of one.

"""+s[j:]
open('docs/architecture.md','w').write(s)
edit('docs/architecture.md',[
 ("- kernels for a backend: entries of `kernels`; pass it to `{ ...backend, kernels: { ...backend.kernels, mine } }`.","- kernels for a backend: spread it, `{ ...backend, kernels: { ...backend.kernels, softmax: mine } }`."),
 ("- a backend: `Backend` ([backends.md](backends.md)); pass it to whatever makes the first tensor.","- a backend: `Backend` ([backends.md](backends.md)); pass it to whatever makes the first tensors (`tensor`,\n  `randomWeights`, `loadModel`)."),
 ("- weights of your own: `Weights`; `weightsFrom` makes one from a function; pass","- weights of your own: `Weights`, which `weightsFrom` makes out of a function; pass"),
 ("- `src/models/`: the table of contents:","- `src/models/`, the table of contents:"),
 ("- `src/layers/`: blocks with weights:","- `src/layers/`, blocks with weights:"),
 ("- `src/routing/`: who gets the token:","- `src/routing/`, who gets the token:"),
 ("- `src/attention/`: how tokens see each other:","- `src/attention/`, how tokens see each other:"),
 ("- `src/ops/`: what each op means:","- `src/ops/`, what each op means:"),
 ("- `src/tensor/`: handles and who owns memory:","- `src/tensor/`, handles and who owns memory:"),
 ("- `src/backends/backend`: the contract:","- `src/backends/backend`, the contract:"),
 ("- `src/quant/schemes/`: how numbers are stored in few bits:","- `src/quant/schemes/`, how numbers are stored in few bits:"),
 ("- `src/core/`: plain data:","- `src/core/`, plain data:"),
 ("- `src/auto.ts`: `openBackend()`: the only","- `src/auto.ts`: `openBackend()`, the only"),
])
edit('docs/data-path.md',[
 ("- `qkvProj`: one product: ","- `qkvProj`, one product: "),
 ("- `qkNormRope`: split, norm of q and k, turn: → q","- `qkNormRope`, which splits, normalises q and k, and turns both: → q"),
 ("- `appendKV`: into the cache's pools: k, v","- `appendKV`, into the cache's pools: k, v"),
 ("- `attention`: softmax(q·k / √d) v: →","- `attention`, softmax(q·k / √d) v: →"),
])
edit('docs/checkpoints.md',[
 ("- an object of files by name: the same as a folder: what a page has from a file dialog.","- an object of files by name: the same as a folder; this is what a page has from a file dialog."),
 ("- the optimizer's tensors: `optimizer.NAME`: `mean.PATH`","- the optimizer's tensors: `optimizer.NAME`, for AdamW `mean.PATH`"),
 ("and `variance.PATH` of AdamW.","and `variance.PATH`."),
 ("- your state: step, generators, options: metadata `state`, JSON.","- your state (step, generators, options): metadata `state`, JSON."),
])
