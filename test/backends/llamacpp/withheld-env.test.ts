import { describe, expect, test } from "bun:test";
import { backends } from "../../../src/backends/index.ts";
import { realServer } from "../../support/paths.ts";

const isWithheld = backends.llamacpp.isWithheld;

/** Every variable that the llama-server of the tests takes a flag from. */
const known = (): string[] => {
  const { stdout } = Bun.spawnSync([realServer(), "--help"], { stderr: "ignore" });
  return [...new Set(stdout.toString().match(/\bLLAMA_[A-Z_]+\b/g))];
};

describe("of the daemon's environment, llama-server does not inherit", () => {
  test("what changes the form of its log, how much is in it, and where it goes", () => {
    for (const name of ["JSONL", "COLORS", "FILE", "PREFIX", "TIMESTAMPS", "VERBOSITY"]) {
      expect([name, isWithheld(`LLAMA_ARG_LOG_${name}`), isWithheld(`LLAMA_LOG_${name}`)]).toEqual([name, true, true]);
      expect([name, isWithheld(`LLAMA_ARG_NO_LOG_${name}`)]).toEqual([name, true]);
    }
  });

  test("what switches /slots off", () => {
    expect(["LLAMA_ARG_ENDPOINT_SLOTS", "LLAMA_ARG_NO_ENDPOINT_SLOTS"].map(isWithheld)).toEqual([true, true]);
  });

  test("what makes it a router, or a router's child", () => {
    const names = ["LLAMA_ARG_MODELS_DIR", "LLAMA_ARG_NO_MODELS_AUTOLOAD", "LLAMA_SERVER_ROUTER_PORT"];
    expect(names.map(isWithheld)).toEqual([true, true, true]);
  });

  test("any variable of this build that touches address, port, path, TLS, keys, log, slots, model or purpose", () => {
    const touching = /PORT|HOST|PREFIX|SSL|API_KEY|LOG|SLOTS|MODEL|_HF_|REPO|EMBED|RERANK|POOL/;
    // NO_HOST is about buffers, the draft model is the user's choice, the two others do not touch the endpoint /slots.
    const harmless = ["LLAMA_ARG_NO_HOST", "LLAMA_ARG_CACHE_IDLE_SLOTS", "LLAMA_API_KEY"];
    const unsorted = known()
      .filter((name) => touching.test(name) && !isWithheld(name))
      .filter((name) => !harmless.includes(name) && !name.startsWith("LLAMA_ARG_SPEC_DRAFT_"));
    expect(unsorted).toEqual([]);
  });

  test("but all that is the user's to set", () => {
    const users = [
      "THREADS",
      "BATCH",
      "UBATCH",
      "CACHE_TYPE_K",
      "N_PARALLEL",
      "FLASH_ATTN",
      "ENDPOINT_METRICS",
      "NO_HOST",
    ];
    expect(users.filter((name) => isWithheld(`LLAMA_ARG_${name}`))).toEqual([]);
    expect(["LLAMA_CACHE", "PATH", "GGML_BACKEND_PATH", "CUDA_VISIBLE_DEVICES", "HF_TOKEN"].filter(isWithheld)).toEqual(
      [],
    );
  });
});
