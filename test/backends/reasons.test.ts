import { describe, expect, test } from "bun:test";
import { pyserverDeathCause, pyserverReasonLines } from "../../src/backends/huggingface/reason.ts";
import { llamaDeathCause, llamaReasonLines } from "../../src/backends/llamacpp/reason.ts";
import { lines, recorded } from "./replay.ts";

describe("why a llama-server died (recorded)", () => {
  const cases: [file: string, reasons: string[]][] = [
    [
      "model-missing.log",
      [
        "failed to open GGUF file '/models/missing.gguf' (No such file or directory)",
        "failed to load model, '/models/missing.gguf'",
      ],
    ],
    [
      "model-unreadable.log",
      [
        "failed to open GGUF file '/models/unreadable.gguf' (Permission denied)",
        "failed to load model, '/models/unreadable.gguf'",
      ],
    ],
    [
      "model-corrupt.log",
      [
        "error loading model: tensor 'blk.0.ffn_gate.weight' data is not within the file bounds, model is corrupted or incomplete",
        "failed to load model, '/models/corrupt.gguf'",
      ],
    ],
    [
      "model-not-gguf.log",
      ["invalid magic characters: 'Pv??', expected 'GGUF'", "failed to load model, '/models/not-a-model.gguf'"],
    ],
    ["model-is-directory.log", ["failed to read magic", "failed to load model, '/models/folder.gguf'"]],
    ["port-in-use.log", ["couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 45521"]],
    ["unknown-flag.log", ["error: invalid argument: --no-such-flag"]],
    ["bad-value.log", ['error while handling argument "--threads": stoi']],
    [
      "template-missing.log",
      [
        "error while handling argument \"--chat-template-file\": error: failed to open file '/models/templates/missing.jinja'",
      ],
    ],
    [
      "template-bad.log",
      [
        "Parser Error: Expected }} (Got })",
        "error: the supplied chat template is not supported: {% for m in messages %}{{ m.content }",
      ],
    ],
    [
      "template-bad-filter.log",
      [
        "Unknown (built-in) filter 'nofilter' for type String",
        "error: the supplied chat template is not supported: {{ messages[0].content | nofilter }}",
      ],
    ],
    [
      "model-no-key.log",
      [
        "error loading model: error loading model hyperparameters: key not found in model: llama.block_count",
        "failed to load model, '/models/no-key.gguf'",
      ],
    ],
    [
      "lora-bad.log",
      [
        "invalid magic characters: '4??Q', expected 'GGUF'",
        "failed to load lora adapter from file",
        "failed to load lora adapter '/models/not-a-model.gguf'",
      ],
    ],
    [
      "draft-bad.log",
      [
        "failed to open GGUF file '/models/tiny-none.gguf' (No such file or directory)",
        "failed to load draft model, '/models/tiny-none.gguf'",
      ],
    ],
    [
      "cache-type-bad.log",
      ['error while handling environment variable "LLAMA_ARG_CACHE_TYPE_K": Unsupported cache type: zzz'],
    ],
    [
      "cache-needs-flash-attn.log",
      [
        "quantized V cache requires flash_attn to be enabled",
        "failed to create context with model '/models/tiny.gguf'",
      ],
    ],
    [
      "tools-bad.log",
      [
        'tools setup failed: unknown tool "zzz". available tools: read_file, file_glob_search, grep_search, exec_shell_command, write_file, edit_file, get_info',
      ],
    ],
    ["static-path-missing.log", ["static assets path not found: /models/none"]],
  ];

  for (const [file, reasons] of cases) {
    test(`${file} gives its cause first`, async () => {
      expect(llamaReasonLines(await recorded(file))).toEqual(reasons);
    });
  }
});

describe("why a llama-server died", () => {
  test("of a library that is not there", () => {
    const line = "llama-server: error while loading shared libraries: libggml.so: cannot open shared object file";
    expect(llamaReasonLines([line])).toEqual([line]);
  });

  test("of too little memory on the GPU, before the model that did not load by it", () => {
    expect(
      llamaReasonLines(
        lines(`
0.00.500.000 E ggml_backend_cuda_buffer_type_alloc_buffer: allocating 65536.00 MiB on device 0: cudaMalloc failed: out of memory
0.00.500.100 E alloc_tensor_range: failed to allocate CUDA0 buffer of size 68719476736
0.00.500.200 E llama_model_load: error loading model: unable to allocate CUDA0 buffer
0.00.500.300 E srv    load_model: failed to load model, '/models/big.gguf'`),
      )[0],
    ).toBe("allocating 65536.00 MiB on device 0: cudaMalloc failed: out of memory");
  });

  test("is told in three lines at most, however many there are", async () => {
    const all = (await Promise.all(["model-corrupt.log", "port-in-use.log", "template-bad.log"].map(recorded))).flat();
    expect(llamaReasonLines(all)).toHaveLength(3);
  });

  test("is told in its last words where none of them is known, in the order in which they came", () => {
    expect(llamaReasonLines(["0.00.010.000 I srv  a: one", "", "two", "three", "  ", "four", ""])).toEqual([
      "two",
      "three",
      "four",
    ]);
  });

  test("is not told by lines that any end has", async () => {
    expect(
      llamaReasonLines(["it went wrong", "0.00.011.409 I srv    operator(): operator(): cleaning up before exit..."]),
    ).toEqual(["it went wrong"]);
  });

  test("is not told at all where it said nothing", () => {
    expect(llamaReasonLines(["", "  "])).toEqual([]);
  });

  test("is told in lines that a person can read, however long they were", () => {
    const [reason] = llamaReasonLines([`error: the supplied chat template is not supported: ${"{".repeat(1_000_000)}`]);
    expect(reason?.length).toBeLessThan(500);
  });
});

describe("why a Python server died", () => {
  test("is told by itself where it could", () => {
    expect(
      pyserverReasonLines(
        lines(`
solar: loading stage=config progress=0.10
Traceback (most recent call last):
  File "loading.py", line 3, in load
OSError: /models/none is not a local folder
solar: error message=model /models/none: not a local folder and not an id on the Hub`),
      ),
    ).toEqual([
      "model /models/none: not a local folder and not an id on the Hub",
      "OSError: /models/none is not a local folder",
    ]);
  });

  test("is told by the last line of its traceback, not by the traceback", () => {
    expect(
      pyserverReasonLines(
        lines(`
Traceback (most recent call last):
  File "a.py", line 1, in <module>
KeyError: 'rope_scaling'
During handling of the above exception, another exception occurred:
Traceback (most recent call last):
  File "b.py", line 2, in <module>
ValueError: unknown model type`),
      ),
    ).toEqual(["ValueError: unknown model type"]);
  });

  test("is told where a package is missing", () => {
    expect(pyserverReasonLines(["/usr/bin/python3: No module named solar_pyserver"])).toEqual([
      "/usr/bin/python3: No module named solar_pyserver",
    ]);
  });

  test("is not an error of a single request, unless there is nothing else", () => {
    const request = "solar: error message=task 3: input too long";
    expect(pyserverReasonLines([request, "torch.OutOfMemoryError: CUDA out of memory."])).toEqual([
      "torch.OutOfMemoryError: CUDA out of memory.",
    ]);
    expect(pyserverReasonLines([request, "solar: stopping"])).toEqual(["task 3: input too long"]);
  });

  test("is told by lines of its own words before its events", () => {
    expect(pyserverReasonLines(["something odd", "solar: loading stage=weights progress=0.50"])).toEqual([
      "something odd",
    ]);
  });
});

describe("what the last lines say of another attempt", () => {
  test("a model file that is damaged, or no GGUF, stays so", () => {
    for (const line of [
      "0.00.020.740 E gguf_init_from_reader: failed to read magic",
      "0.00.013.545 E gguf_init_from_reader: invalid magic characters: 'this', expected 'GGUF'",
      "llama_model_load: error loading model: tensor 'x' data is not within the file bounds, model is corrupted or incomplete",
    ])
      expect(llamaDeathCause([line])).toEqual({ type: "lasting" });
  });

  test.each([
    ...["template-bad.log", "template-bad-filter.log", "template-missing.log", "unknown-flag.log", "bad-value.log"],
    ...["model-no-key.log", "model-unknown-tokenizer.log", "lora-bad.log", "mmproj-bad.log", "draft-bad.log"],
    ...["cache-type-bad.log", "cache-needs-flash-attn.log", "tools-bad.log", "static-path-missing.log"],
  ])("what the config or the environment asks for stays as it is (%s)", async (file) => {
    expect(llamaDeathCause(await recorded(file))).toEqual({ type: "lasting" });
  });

  test("a grammar that does not parse stays so, though the server aborts", () => {
    const said = ["0.00.014.064 E failed to parse grammar", "terminate called after throwing an instance of 'x'"];
    expect([llamaDeathCause(said), llamaReasonLines(said)]).toEqual([{ type: "lasting" }, ["failed to parse grammar"]]);
  });

  test("an adapter or a projector that found no memory is a matter of memory", () => {
    const lora = [
      "failed to apply lora adapter: failed to allocate buffer for lora adapter",
      "failed to load lora adapter 'a'",
    ];
    const mmproj = ["cudaMalloc failed: out of memory", "srv load_model: failed to load multimodal model, 'p.gguf'"];
    for (const said of [lora, mmproj]) expect(llamaDeathCause(said)).toMatchObject({ type: "memory" });
  });

  test("memory that was too little is told with what was asked for and the field to lower", () => {
    const kv = [
      "0.02.775.043 E ggml_aligned_malloc: insufficient memory (attempted to allocate 39062.50 MB)",
      "0.02.910.927 E llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache",
    ];
    expect(llamaDeathCause(kv)).toEqual({ type: "memory", advice: "it asked for 39062.50 MB; lower ctx_size" });
    const cuda = ["alloc_tensor_range: failed to allocate CUDA0 buffer of size 17179869184"];
    expect(llamaDeathCause(cuda)).toEqual({
      type: "memory",
      advice: "it asked for 16.00 GiB; lower n_gpu_layers, or take a smaller model",
    });
    const torch = [
      "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total of 8 GiB",
    ];
    expect(pyserverDeathCause(torch)).toMatchObject({ type: "memory", advice: expect.stringContaining("2.50 GiB") });
  });

  test("an address that could not be taken may be free later; other lines say nothing", () => {
    const line = "0.1 E srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 3900";
    expect(llamaDeathCause([line])).toEqual({ type: "bind" });
    expect([llamaDeathCause(["GGML_ASSERT(x) failed"]), pyserverDeathCause([])]).toEqual([null, null]);
  });
});
