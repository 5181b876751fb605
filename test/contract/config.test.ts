import { describe, expect, test } from "bun:test";
import { z } from "zod";
import { inferBackendType, parseConfig, toFieldError } from "../../src/contract/index.ts";

const minimal = { model: "/m.gguf", alias: "a", api_key: "k" };

const accepted = (config: Record<string, unknown>): Record<string, unknown> => {
  const parsed = parseConfig(config);
  if (!parsed.success) throw new Error(JSON.stringify(parsed.issues));
  return parsed.config;
};

/** Names of the fields that are refused. */
const refused = (config: unknown): string[] => {
  const parsed = parseConfig(config);
  return parsed.success ? [] : [...new Set(parsed.issues.map(({ path }) => path.join(".")))];
};

/** What the API answers to a config that is wrong. */
const errorsOf = (config: unknown) => {
  const parsed = parseConfig(config);
  if (parsed.success) return [];
  return parsed.issues.map(({ path, issue, input }) => toFieldError(["body", "config", ...path], issue, input));
};

const withField = (name: string, value: unknown) => ({ ...minimal, [name]: value });

describe("a config", () => {
  test("has every field of its backend, with the defaults of the contract", () => {
    expect(accepted(minimal)).toEqual({
      backend_type: "llamacpp",
      ...minimal,
      threads: 1,
      n_gpu_layers: 999,
      temp: 1,
      top_p: 1,
      top_k: 0,
      min_p: 0,
      ctx_size: 131_072,
      chat_template_file: null,
      special: false,
      host: "0.0.0.0",
      port: null,
      priority: 0,
    });
    const model = { model_id: "org/model", alias: "a", api_key: "k" };
    const shared = {
      device: "auto",
      dtype: "auto",
      trust_remote_code: false,
      host: "0.0.0.0",
      port: null,
      priority: 0,
    };
    expect(accepted({ backend_type: "huggingface_causal", ...model })).toEqual({
      backend_type: "huggingface_causal",
      ...model,
      ...shared,
      max_length: 4096,
      use_flash_attention: true,
    });
    expect(accepted({ backend_type: "huggingface_classification", ...model })).toEqual({
      backend_type: "huggingface_classification",
      ...model,
      ...shared,
      max_length: 512,
      labels: null,
    });
  });

  test("takes what the web UI sends for what is unset: an empty string, and null", () => {
    for (const blank of ["", null, undefined]) {
      const config = accepted({
        ...minimal,
        backend_type: blank,
        threads: blank,
        temp: blank,
        ctx_size: blank,
        chat_template_file: blank,
        special: blank,
        host: blank,
        port: blank,
      });
      expect(config).toEqual(accepted(minimal));
    }
  });

  test("takes a list without labels for no labels, as the Python program stores it", () => {
    const config = { backend_type: "huggingface_classification", model_id: "org/m", alias: "a", api_key: "k" };
    expect(accepted({ ...config, labels: [] })).toEqual({ ...accepted(config), labels: null });
    expect(accepted({ ...config, labels: ["x", "y"] }).labels).toEqual(["x", "y"]);
    expect(refused({ ...config, labels: [""] })).toEqual(["labels.0"]);
    expect(refused({ ...config, labels: "x" })).toEqual(["labels"]);
  });

  test("takes numbers and booleans that a form sent as strings", () => {
    expect(
      accepted({
        ...minimal,
        threads: "8",
        temp: "0.7",
        ctx_size: "8192",
        special: "true",
        port: "3600",
        min_p: "5e-2",
      }),
    ).toMatchObject({ threads: 8, temp: 0.7, ctx_size: 8192, special: true, port: 3600, min_p: 0.05 });
  });

  test("takes the words for yes and no that pydantic takes, and 1 and 0", () => {
    const specials = (values: unknown[]) => values.map((special) => accepted(withField("special", special)).special);
    const yes = [true, 1, "true", "True", "1", "yes", "on", "ON", "t", "y"];
    const no = [false, 0, "false", "FALSE", "0", "no", "off", " Off ", "f", "n"];
    expect(specials(yes)).toEqual(yes.map(() => true));
    expect(specials(no)).toEqual(no.map(() => false));
    for (const value of [2, -1, 0.5, "2", "maybe", "oui", [], {}, [true]]) {
      expect([value, refused(withField("special", value))]).toEqual([value, ["special"]]);
    }
  });

  test("refuses what is no number, also where it looks like one", () => {
    for (const value of ["many", " ", "1x", "NaN", "Infinity", "--1", [], {}, [1], true, false]) {
      expect([value, refused(withField("threads", value))]).toEqual([value, ["threads"]]);
    }
    expect(refused(withField("threads", 1.5))).toEqual(["threads"]);
    expect(refused(withField("threads", "1.5"))).toEqual(["threads"]);
  });

  test("refuses numbers out of their range, and takes the ends of it", () => {
    const ends: [string, unknown[], unknown[]][] = [
      ["temp", [0, 2], [-0.01, 2.01, 1e308]],
      ["top_p", [0, 1], [-0.01, 1.01]],
      ["min_p", [0, 1], [-0.01, 1.01]],
      ["top_k", [0, 100_000], [-1]],
      ["port", [1, 65_535], [0, 65_536, -1]],
      ["ctx_size", [0, 2_147_483_647], [-1, 2_147_483_648, 1e300]],
      ["threads", [-1, 4096], [-2, 4097]],
    ];
    for (const [name, good, bad] of ends) {
      for (const value of good) expect([name, value, refused(withField(name, value))]).toEqual([name, value, []]);
      for (const value of bad) expect([name, value, refused(withField(name, value))]).toEqual([name, value, [name]]);
    }
  });

  test("refuses what could do harm further on: control characters, flags in the place of names, odd hosts", () => {
    for (const value of ["a\nb", "a\0b", "\u001b[2J"]) {
      expect([value, refused(withField("alias", value))]).toEqual([value, ["alias"]]);
      expect([value, refused(withField("model", value))]).toEqual([value, ["model"]]);
    }
    expect(refused(withField("alias", "--verbose"))).toEqual(["alias"]);
    expect(refused({ model_id: "--help", alias: "a", api_key: "k" })).toEqual(["model_id"]);
    for (const host of ["-h", "a b", "x;y", "http://x", "a/b"]) {
      expect([host, refused(withField("host", host))]).toEqual([host, ["host"]]);
    }
    for (const host of ["::1", "::", "127.0.0.1", "my-host.lan", "my.sock.lan", "fe80::1"]) {
      expect([host, refused(withField("host", host))]).toEqual([host, []]);
    }
    expect(refused(withField("api_key", "naïve"))).toEqual(["api_key"]);
    expect(refused(withField("api_key", "two\nlines"))).toEqual(["api_key"]);
  });

  test("a host at which a server would listen and never be reached is refused: a zone, a Unix socket", () => {
    for (const host of ["fe80::1%eth0", "%", "127.0.0.1%lo", "x.sock", "model.SOCK"]) {
      expect([host, refused(withField("host", host))]).toEqual([host, ["host"]]);
      const huggingface = { backend_type: "huggingface_causal", model_id: "m", alias: "a", api_key: "k", host };
      expect([host, refused(huggingface)]).toEqual([host, ["host"]]);
    }
  });

  test("names every field that is wrong at once, and those that are missing", () => {
    expect(refused({ backend_type: "llamacpp" }).sort()).toEqual(["alias", "api_key", "model"]);
    expect(refused({ ...minimal, threads: "x", temp: 9, port: 0 }).sort()).toEqual(["port", "temp", "threads"]);
    expect(
      refused({ backend_type: "huggingface_causal", alias: "a", api_key: "k", dtype: "int4", device: "tpu" }),
    ).toEqual(expect.arrayContaining(["model_id", "dtype", "device"]));
  });

  test("has its unknown keys left out and named", () => {
    const parsed = parseConfig({ ...minimal, n_ctx: 5, __proto__x: 1, model_id: "other backend's" });
    expect(parsed).toMatchObject({ success: true, unknownKeys: ["n_ctx", "__proto__x", "model_id"] });
    expect(accepted({ ...minimal, n_ctx: 5 })).not.toHaveProperty("n_ctx");
  });

  test("with keys that JavaScript knows of is only a config with unknown keys", () => {
    const config = JSON.parse(
      '{"model":"/m.gguf","alias":"a","api_key":"k","__proto__":{"threads":9},"constructor":1}',
    );
    const parsed = parseConfig(config);
    expect(parsed).toMatchObject({ success: true, unknownKeys: ["__proto__", "constructor"] });
    expect(accepted(config).threads).toBe(1);
  });

  test("is an object", () => {
    for (const config of [null, undefined, "x", 5, [], [minimal], true])
      expect(parseConfig(config).success).toBe(false);
  });
});

describe("a config without backend_type", () => {
  const ways: [Record<string, unknown>, string][] = [
    [{ model: "/m.gguf" }, "llamacpp"],
    [{ model: "/m.gguf", model_id: "org/m", labels: ["x"] }, "llamacpp"],
    [{ model_id: "org/m" }, "huggingface_causal"],
    [{ model_id: "org/m", labels: ["x"] }, "huggingface_classification"],
    [{ model_id: "org/m", labels: null }, "huggingface_causal"],
    [{ model_id: "org/m", labels: "" }, "huggingface_causal"],
    [{ model_id: "org/m", labels: [] }, "huggingface_causal"],
    [{ model: "", model_id: "org/m" }, "huggingface_causal"],
    [{}, "llamacpp"],
    [{ labels: ["x"] }, "llamacpp"],
  ];

  test("is of the backend that its fields mean", () => {
    for (const [config, type] of ways) expect([config, inferBackendType(config)]).toEqual([config, type as never]);
  });

  test("is of that backend when it is parsed too, whatever blank stands for the type", () => {
    const model = { model_id: "org/m", alias: "a", api_key: "k" };
    expect(accepted({ ...model, backend_type: "" }).backend_type).toBe("huggingface_causal");
    expect(accepted({ ...model, backend_type: null, labels: ["x"] }).backend_type).toBe("huggingface_classification");
  });

  test("but with one that is not known is refused, by its name", () => {
    expect(errorsOf({ ...minimal, backend_type: "tensorrt" })).toEqual([
      {
        type: "literal_error",
        loc: ["body", "config", "backend_type"],
        msg: "Input should be one of 'llamacpp', 'huggingface_causal', 'huggingface_classification'",
        input: "tensorrt",
      },
    ]);
  });
});

describe("a config of a backend that is not known", () => {
  test("has its other fields named too, as far as they are wrong for whichever it is", () => {
    const config = { ...minimal, backend_type: "llama", alias: "", temp: 9, threads: "x", n_ctx: 1 };
    expect(refused(config)).toEqual(["backend_type", "alias", "threads", "temp"]);
    expect(refused({ backend_type: "tensorrt", engine: "/e" })).toEqual(["backend_type", "alias", "api_key"]);
    expect(refused({ backend_type: 5, model_id: "--x", alias: "a", api_key: "k" })).toEqual([
      "backend_type",
      "model_id",
    ]);
  });
});

describe("what is said of a wrong field", () => {
  test("is its place, the rule and the value", () => {
    expect(errorsOf({ ...minimal, temp: 3 })).toEqual([
      {
        type: "less_than_equal",
        loc: ["body", "config", "temp"],
        msg: "Input should be less than or equal to 2",
        input: 3,
      },
    ]);
    expect(errorsOf({ ...minimal, threads: "many" })).toMatchObject([{ input: "many" }]);
  });

  test("names a length for what it is, of a text or of a list", () => {
    const typeOf = (name: string, value: unknown) => errorsOf({ ...minimal, [name]: value }).map(({ type }) => type);
    expect(typeOf("alias", "")).toEqual(["string_too_short"]);
    expect(typeOf("alias", "x".repeat(257))).toEqual(["string_too_long"]);
    expect(typeOf("model", "x".repeat(4097))).toEqual(["string_too_long"]);
    expect(typeOf("threads", -2)).toEqual(["greater_than_equal"]);
    expect(typeOf("threads", 5000)).toEqual(["less_than_equal"]);
    const list = z.array(z.string()).min(1).max(2);
    const ofList = (value: string[]) =>
      list.safeParse(value).error?.issues.map((issue) => toFieldError([], issue, value));
    expect([ofList([]), ofList(["a", "b", "c"])]).toMatchObject([[{ type: "too_short" }], [{ type: "too_long" }]]);
  });

  test("is that it is required, where it is missing", () => {
    expect(errorsOf({ model: "/m.gguf", api_key: "k", alias: null })).toEqual([
      { type: "missing", loc: ["body", "config", "alias"], msg: "Field required", input: null },
    ]);
  });

  test("never shows a key, nor what lies around one", () => {
    const secret = "s3cr3t-naïve";
    const wrong: unknown[] = [
      { ...minimal, api_key: secret },
      { ...minimal, api_key: [secret] },
      { ...minimal, api_key: { inner: secret } },
      { ...minimal, api_key: `${secret}${"x".repeat(2000)}` },
      { api_key: secret },
      [{ api_key: secret }],
      // A client that encodes twice.
      JSON.stringify({ ...minimal, api_key: secret }),
      { ...minimal, api_key: "ok", alias: { api_key: secret } },
      { ...minimal, api_key: "ok", host: [secret] },
    ];
    for (const config of wrong) {
      const errors = errorsOf(config);
      expect(errors.length).toBeGreaterThan(0);
      expect(JSON.stringify(errors)).not.toContain("s3cr3t");
    }
  });
});
