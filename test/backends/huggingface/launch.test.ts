import { describe, expect, test } from "bun:test";
import { huggingfaceCausal, huggingfaceClassification } from "../../../src/backends/huggingface/index.ts";
import { choosePython } from "../../../src/backends/huggingface/python.ts";
import { backends, type LaunchContext } from "../../../src/backends/index.ts";
import { huggingfaceCausalDefinition, huggingfaceClassificationDefinition } from "../../../src/contract/index.ts";

const context = (fields: Partial<LaunchContext> = {}): LaunchContext => ({
  port: 3500,
  program: "",
  env: {},
  stopTimeout: 10_000,
  ...fields,
});

const FOLDER = "/cache/pyserver-abc";

const causal = (fields: Record<string, unknown> = {}) =>
  huggingfaceCausalDefinition.request.parse({
    backend_type: "huggingface_causal",
    model_id: "org/model",
    alias: "m:1b",
    api_key: "s3cret",
    ...fields,
  });

const classification = (fields: Record<string, unknown> = {}) =>
  huggingfaceClassificationDefinition.request.parse({
    backend_type: "huggingface_classification",
    model_id: "org/model",
    alias: "m:clf",
    api_key: "s3cret",
    ...fields,
  });

describe("starting the Python server", () => {
  test("for text generation passes every field", () => {
    expect(huggingfaceCausal.launch(causal(), context(), FOLDER).argv).toEqual([
      ...["python3", "/cache/pyserver-abc", "causal", "--model", "org/model", "--alias=m:1b", "--host=0.0.0.0"],
      ...["--port=3500", "--device=auto", "--dtype=auto", "--max-length=4096", "--shutdown-timeout=8"],
    ]);
  });

  test("trusts a model's code and leaves Flash Attention alone only when told to", () => {
    const { argv } = huggingfaceCausal.launch(
      causal({ trust_remote_code: true, use_flash_attention: false }),
      context(),
      FOLDER,
    );
    expect(argv.slice(-2)).toEqual(["--trust-remote-code", "--no-flash-attention"]);
  });

  test("for classification passes labels of any text as one argument", () => {
    const labels = ["a b", 'quote "', "--port=1", "ä"];
    const { argv } = huggingfaceClassification.launch(classification({ labels }), context(), FOLDER);
    expect(argv[2]).toBe("classification");
    expect(argv).toContain("--max-length=512");
    const given = argv.find((word) => word.startsWith("--labels="));
    expect(JSON.parse(given?.slice("--labels=".length) ?? "")).toEqual(labels);
    expect(huggingfaceClassification.launch(classification(), context(), FOLDER).argv.join(" ")).not.toContain(
      "--labels",
    );
  });

  test.each([
    [60_000, "58"],
    [10_000, "8"],
    [3000, "1.5"],
    [0, "0"],
  ])("with %d ms until SIGKILL leaves requests %s s to finish", (stopTimeout, seconds) => {
    const { argv } = huggingfaceClassification.launch(classification(), context({ stopTimeout }), FOLDER);
    expect(argv).toContain(`--shutdown-timeout=${seconds}`);
  });

  test("hands over the key by the environment, never by argv", () => {
    const { argv, env } = huggingfaceCausal.launch(causal(), context(), FOLDER);
    expect(env.SOLAR_PYSERVER_API_KEY).toBe("s3cret");
    expect(argv.join(" ")).not.toContain("s3cret");
  });

  test("lets Python write each line at once", () => {
    expect(huggingfaceCausal.launch(causal(), context(), FOLDER).env.PYTHONUNBUFFERED).toBe("1");
  });

  test("leaves the user's PYTHONPATH, without the empty entries that mean the daemon's folder", () => {
    const pathOf = (env: Record<string, string>) =>
      huggingfaceCausal.launch(causal(), context({ env }), FOLDER).env.PYTHONPATH;
    expect(pathOf({})).toBeUndefined();
    expect([":/mine", "/mine::/more:", "", ":"].map((PYTHONPATH) => pathOf({ PYTHONPATH }))).toEqual([
      ...["/mine", "/mine:/more", "", ""],
    ]);
  });

  test("does not let Python inherit an encoding in which its log could not be read", () => {
    expect(["PYTHONIOENCODING", "PYTHONPATH", "HF_TOKEN"].map(huggingfaceCausal.isWithheld)).toEqual([
      true,
      false,
      false,
    ]);
  });

  test("runs the package that the daemon unpacks for it", async () => {
    expect(await huggingfaceCausal.prepare({ pyserverDir: async () => FOLDER })).toBe(FOLDER);
    expect(await huggingfaceClassification.prepare({ pyserverDir: async () => FOLDER })).toBe(FOLDER);
  });

  test("says where another Python is named", () => {
    const place = "(in .env or the environment, or with serve --python)";
    const given = huggingfaceCausal.launch(causal(), context({ program: "/opt/py" }), FOLDER);
    expect([given.programName, given.remedy]).toEqual(["python", `PYTHON names it ${place}`]);
    expect(huggingfaceCausal.launch(causal(), context(), FOLDER).remedy).toBe(
      `set PYTHON to the Python to use ${place}; without it the active environment's is taken, else python3 on PATH`,
    );
  });

  test("names the endpoints of the contract for each backend, and what each can do", () => {
    expect(huggingfaceCausal.capabilities(causal())).toEqual({
      can: ["chat", "completion"],
      endpoints: ["/v1/chat/completions", "/v1/completions", "/v1/models", "/health"],
    });
    expect(huggingfaceClassification.capabilities(classification())).toEqual({
      can: ["classify"],
      endpoints: ["/v1/classify", "/v1/models", "/health"],
    });
  });
});

describe("the Python that runs it", () => {
  const choose = (program: string, env: Record<string, string | undefined>) => choosePython({ program, env });
  const both = { VIRTUAL_ENV: "/venv", CONDA_PREFIX: "/conda" };

  test("is the one of the settings before any other", () => {
    expect(choose("/opt/python3.12", { ...both, PATH: "/venv/bin" })).toBe("/opt/python3.12");
  });

  test("is that of the active environment, else python3 on PATH", () => {
    expect(choose("", { VIRTUAL_ENV: "/venv/" })).toBe("/venv/bin/python");
    expect(choose("", { CONDA_PREFIX: "/conda" })).toBe("/conda/bin/python");
    expect(choose("", { VIRTUAL_ENV: "", CONDA_PREFIX: undefined })).toBe("python3");
  });

  test("is that of the environment which was activated last, where there are two", () => {
    expect(choose("", { ...both, PATH: "/venv/bin:/conda/bin:/usr/bin" })).toBe("/venv/bin/python");
    expect(choose("", { ...both, PATH: "/conda/bin/:/venv/bin:/usr/bin" })).toBe("/conda/bin/python");
    expect(choose("", { ...both, PATH: "/usr/bin:/conda/bin" })).toBe("/conda/bin/python");
  });

  test("is the virtual environment's where PATH does not tell", () => {
    expect(choose("", both)).toBe("/venv/bin/python");
  });
});

test("a missing module and a missing folder are not tried again, a model that could not be fetched is", () => {
  expect(backends.huggingface_causal.isFinalExit(3)).toBe(true);
  expect(backends.huggingface_classification.isFinalExit(6)).toBe(true);
  expect(backends.huggingface_causal.isFinalExit(7)).toBe(true);
  expect(backends.huggingface_causal.isFinalExit(4)).toBe(false);
  expect(backends.llamacpp.isFinalExit(1)).toBe(false);
});
