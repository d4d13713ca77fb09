// A GPU device that computes nothing and answers as a test wants: what the backend asks of it, and in which order, is what these tests see.

export interface FakeDevice {
  readonly device: GPUDevice;
  /** Calls that matter, in order: "write 3", "submit a b", "destroy 3", with the labels and numbers of what they concern. */
  readonly log: string[];
  /** What the next error scope of this kind finds. */
  readonly errors: Record<GPUErrorFilter, string[]>;
  /** What the compiler finds in every shader. */
  readonly messages: { type: string; lineNum: number; linePos: number; message: string }[];
  lose(message: string): void;
}

interface FakeBuffer {
  readonly id: number;
  readonly size: number;
}

export function fakeDevice(): FakeDevice {
  const log: string[] = [];
  const errors: FakeDevice["errors"] = { validation: [], internal: [], "out-of-memory": [] };
  const messages = [{ type: "error", lineNum: 2, linePos: 7, message: "no such type" }];
  const scopes: GPUErrorFilter[] = [];
  let buffers = 0;
  let lose: (info: unknown) => void = () => undefined;
  const lost = new Promise((resolve) => (lose = resolve));
  const createBuffer = ({ size }: { size: number }): unknown => {
    const id = buffers++;
    return {
      id,
      size,
      destroy: () => log.push(`destroy ${id}`),
      mapAsync: () => Promise.resolve(),
      getMappedRange: () => new ArrayBuffer(size),
    };
  };
  const encoder = () => {
    const ran: string[] = [];
    return {
      beginComputePass: () => ({
        setPipeline: ({ label }: { label: string }) => ran.push(label),
        setBindGroup: () => undefined,
        dispatchWorkgroups: () => undefined,
        end: () => undefined,
      }),
      copyBufferToBuffer: (from: FakeBuffer) => ran.push(`copy ${from.id}`),
      finish: () => ran.join(" "),
    };
  };
  const device = {
    lost,
    destroy: () => log.push("destroy device"),
    features: new Set<string>(),
    limits: { maxBufferSize: 1 << 20, maxStorageBufferBindingSize: 1 << 20, maxComputeWorkgroupsPerDimension: 65535 },
    createBuffer,
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createBindGroup: () => ({}),
    createShaderModule: () => ({
      getCompilationInfo: async () => ({ messages }),
    }),
    createComputePipeline: ({ label }: { label: string }) => ({ label }),
    createCommandEncoder: encoder,
    pushErrorScope: (kind: GPUErrorFilter) => scopes.push(kind),
    popErrorScope: async () => {
      const message = errors[scopes.pop() ?? "validation"].shift();
      return message === undefined ? null : { message };
    },
    queue: {
      writeBuffer: (buffer: FakeBuffer) => log.push(`write ${buffer.id}`),
      submit: ([commands]: string[]) => log.push(`submit ${commands}`),
      onSubmittedWorkDone: async () => undefined,
    },
  };
  return {
    device: device as unknown as GPUDevice,
    log,
    errors,
    messages,
    lose: (message) => lose({ reason: "unknown", message }),
  };
}
