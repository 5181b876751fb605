import { describe, expect, test } from "bun:test";
import { Command } from "commander";
import { backendTypes, configFields } from "../../src/contract/index.ts";
import { Cli } from "../../src/ctl/cli.ts";
import { define } from "../../src/ctl/commands/create.ts";
import { addFieldOptions, configOf, fieldsOf, flagOf, propertyOf } from "../../src/ctl/config-flags.ts";
import { fakeIo } from "./fake-io.ts";

const parse = (backend: (typeof backendTypes)[number], argv: string[]): Record<string, unknown> => {
  const command = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
  addFieldOptions(command, fieldsOf(backend));
  command.parse(argv, { from: "user" });
  return configOf(fieldsOf(backend), command.opts());
};

describe.each(backendTypes)("%s", (backend) => {
  test("each field but the backend's name is a flag", () => {
    expect(fieldsOf(backend).map(({ name }) => name)).toEqual(
      Object.keys(configFields[backend]).filter((name) => name !== "backend_type"),
    );
  });

  test("no flag of a field is one that create has for itself, and what is read back is the field", () => {
    const create = new Command("create");
    define(create, new Cli(fakeIo()));
    const sub = create.commands.find((command) => command.name() === backend);
    const flags = (sub?.options ?? []).map(({ long }) => long);
    expect(new Set(flags).size).toBe(flags.length);
    for (const { name } of fieldsOf(backend)) {
      expect(flags).toContain(flagOf(name));
      expect(sub?.options.find(({ long }) => long === flagOf(name))?.attributeName()).toBe(propertyOf(name));
    }
  });
});

test("only what was given is sent, as text: the daemon reads and checks it", () => {
  expect(parse("llamacpp", ["--model", "/m", "--n-gpu-layers", "-1", "--temp", "x"])).toEqual({
    model: "/m",
    n_gpu_layers: "-1",
    temp: "x",
  });
});

test("a flag alone means yes, and takes true and false", () => {
  expect(parse("llamacpp", ["--special"])).toEqual({ special: "true" });
  expect(parse("huggingface_causal", ["--use-flash-attention", "false"])).toEqual({ use_flash_attention: "false" });
});

test("a list takes commas and JSON", () => {
  expect(parse("huggingface_classification", ["--labels", "a, b"])).toEqual({ labels: ["a", "b"] });
  expect(parse("huggingface_classification", ["--labels", '["a,b","c"]'])).toEqual({ labels: ["a,b", "c"] });
  expect(() => parse("huggingface_classification", ["--labels", '["a'])).toThrow("--labels");
});

test("a choice that there is not is wrong usage", () => {
  expect(() => parse("huggingface_causal", ["--device", "tpu"])).toThrow("auto, cuda, mps, cpu");
});

test("required fields and defaults are told", () => {
  const fields = Object.fromEntries(fieldsOf("llamacpp").map((field) => [field.name, field]));
  expect([fields.model?.required, fields.temp?.required, fields.port?.required]).toEqual([true, false, false]);
  expect([fields.temp?.fallback, fields.special?.kind, fields.threads?.kind]).toEqual([1, "flag", "number"]);
});
