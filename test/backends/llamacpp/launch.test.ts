import { describe, expect, test } from "bun:test";
import type { LaunchContext } from "../../../src/backends/index.ts";
import { backendOf, backends } from "../../../src/backends/index.ts";
import { llamacpp } from "../../../src/backends/llamacpp/index.ts";
import { backendTypes, type LlamaCppConfig, llamacppDefinition } from "../../../src/contract/index.ts";

const config = (fields: Record<string, unknown> = {}): LlamaCppConfig =>
  llamacppDefinition.request.parse({ model: "/models/x.gguf", alias: "x:1b", api_key: "s3cret", ...fields });

const context = (fields: Partial<LaunchContext> = {}): LaunchContext => ({
  port: 3500,
  program: "",
  env: {},
  stopTimeout: 10_000,
  ...fields,
});

const flag = (argv: string[], name: string): string | undefined => argv[argv.indexOf(name) + 1];

describe("the registry", () => {
  test("has every backend of the contract, under its own name", () => {
    expect(Object.keys(backends).sort()).toEqual([...backendTypes].sort());
    for (const type of backendTypes) expect(backends[type].definition.type).toBe(type);
  });

  test("finds a config's backend by its type", () => {
    expect(backendOf(config())).toBe(backends.llamacpp);
  });
});

describe("starting llama-server", () => {
  test("passes every field of a config with nothing but defaults", () => {
    expect(llamacpp.launch(config(), context(), null).argv).toEqual([
      ...["llama-server", "--model", "/models/x.gguf", "--alias", "x:1b", "--threads", "1"],
      ...["--n-gpu-layers", "999", "--temp", "1", "--top-p", "1", "--top-k", "0", "--min-p", "0"],
      ...["--ctx-size", "131072", "--host", "0.0.0.0", "--port", "3500", "--no-warmup", "--jinja"],
    ]);
  });

  test("adds the template and the special tokens only when they are asked for", () => {
    const { argv } = llamacpp.launch(config({ chat_template_file: "/t.jinja", special: true }), context(), null);
    expect(flag(argv, "--chat-template-file")).toBe("/t.jinja");
    expect(argv).toContain("--special");
  });

  test("listens on the port that the daemon reserved, whatever the config wished for", () => {
    expect(flag(llamacpp.launch(config({ port: 4000 }), context({ port: 3507 }), null).argv, "--port")).toBe("3507");
  });

  test("hands over the key by the environment, never by argv", () => {
    const { argv, env } = llamacpp.launch(config(), context(), null);
    expect(env).toEqual({ LLAMA_API_KEY: "s3cret" });
    expect(argv.join(" ")).not.toContain("s3cret");
  });

  test("no alias, host or path that the contract lets through can become a flag", () => {
    for (const fields of [{ alias: "--api-key" }, { host: "-h" }]) {
      expect(() => config(fields)).toThrow();
    }
    const { argv } = llamacpp.launch(config({ model: "--log-disable" }), context(), null);
    expect(argv.indexOf("--log-disable")).toBe(argv.indexOf("--model") + 1);
  });

  test("says where another llama-server is named", () => {
    const place = "(in .env or the environment, or with serve --llama-server)";
    const { programName, remedy } = llamacpp.launch(config(), context(), null);
    expect([programName, remedy]).toEqual([
      "llama-server",
      `put llama-server on the daemon's PATH, or set LLAMA_SERVER to its full path ${place}`,
    ]);
    const given = llamacpp.launch(config(), context({ program: "/opt/llama/llama-server" }), null);
    expect([given.argv[0], given.remedy]).toEqual(["/opt/llama/llama-server", `LLAMA_SERVER names it ${place}`]);
  });

  test("asks the daemon for nothing", async () => {
    const pyserverDir = () => Promise.reject(new Error("no Python is needed"));
    expect(await llamacpp.prepare({ pyserverDir })).toBeNull();
  });

  test("names the endpoints of the contract, and what it can do", () => {
    expect(llamacpp.capabilities(config())).toEqual({
      can: ["chat", "completion"],
      endpoints: ["/v1/chat/completions", "/v1/completions", "/v1/models"],
    });
  });

  test("names the files that must be there, by their fields", () => {
    expect(llamacpp.needs(config()).files).toEqual([{ field: "model", path: "/models/x.gguf" }]);
    expect(llamacpp.needs(config({ chat_template_file: "/t.jinja" })).files).toContainEqual({
      field: "chat_template_file",
      path: "/t.jinja",
    });
  });
});

test("a key with a comma is an obstacle, since newer builds split it into several", () => {
  expect(llamacpp.obstacle(config({ api_key: "ab,cd" }))).toContain("api_key");
  expect(llamacpp.obstacle(config({ api_key: "ab-cd" }))).toBeNull();
});
