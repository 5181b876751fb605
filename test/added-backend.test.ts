import { describe, expect, test } from "bun:test";
import { Command } from "commander";
import { z } from "zod";
import { backendTable } from "../src/backends/backend-table.ts";
import { backends } from "../src/backends/index.ts";
import { configTable } from "../src/contract/config-table.ts";
import { definitions } from "../src/contract/index.ts";
import { Cli } from "../src/ctl/cli.ts";
import { define } from "../src/ctl/commands/create.ts";
import { fakeIo } from "./ctl/fake-io.ts";
import { echoDefinition } from "./fixtures/backend-echo/definition.ts";
import { echo } from "./fixtures/backend-echo/index.ts";

/** What follows from a backend that is added to the lists. test/e2e/added-backend.test.ts runs one. */

const { backendTypes, instanceConfig, instanceConfigRequest, parseConfig, refusedValues } = configTable([
  ...definitions,
  echoDefinition,
]);
const table = backendTable([...Object.values(backends), echo]);

const minimal = { script: "/s.ts", alias: "e", api_key: "k" };

const parsed = (config: Record<string, unknown>) => {
  const result = parseConfig(config);
  if (!result.success) throw new Error(JSON.stringify(result.issues));
  return result;
};

describe("a config of it", () => {
  test("is valid with what is required, and has its defaults", () => {
    const { config, unknownKeys } = parsed({ ...minimal, backend_type: "echo", model: "/m.gguf" });
    const defaults = { greeting: "hello", host: "0.0.0.0", port: null, priority: 0 };
    expect<unknown>(config).toEqual({ backend_type: "echo", ...minimal, ...defaults });
    expect(unknownKeys).toEqual(["model"]);
  });

  test("is its own without backend_type where it says so, and the others' stay theirs", () => {
    expect(parsed(minimal).config.backend_type).toBe("echo");
    for (const { type, example } of definitions) {
      const { backend_type: _, ...config } = example;
      expect(parsed({ ...config }).config.backend_type).toBe(type);
    }
  });

  test("names each field that is wrong, and may refuse what is stored", () => {
    const wrong = parseConfig({ ...minimal, backend_type: "echo", script: "", greeting: 5 });
    expect(wrong.success ? [] : wrong.issues.map(({ path }) => path.join("."))).toEqual(["script", "greeting"]);
    expect(refusedValues("echo", { script: "/s.ts ", greeting: "nothing" })).toMatchObject([
      { loc: ["body", "config", "script"] },
      { loc: ["body", "config", "greeting"], msg: "Input should say something" },
    ]);
  });

  test("is named to those who name a backend that there is not", () => {
    expect<string[]>(backendTypes).toEqual([...definitions.map(({ type }) => type), "echo"]);
    const wrong = parseConfig({ ...minimal, backend_type: "ecco" });
    expect(wrong.success ? "" : wrong.issues[0]?.issue.message).toContain("'echo'");
  });
});

test("its schemas are in the description of the API, and in both unions", () => {
  const { $defs = {} } = z.toJSONSchema(z.object({ instanceConfigRequest, instanceConfig }));
  const { InstanceConfigRequest: request, InstanceConfig: answer } = $defs;
  expect(request?.anyOf).toContainEqual({ $ref: "#/$defs/EchoConfigRequest" });
  expect(request?.description).toContain("and `labels` huggingface_classification, with `script` echo.");
  expect(answer?.oneOf).toContainEqual({ $ref: "#/$defs/EchoConfig" });
  expect($defs.EchoConfig?.required).toEqual(Object.keys(echoDefinition.fields));
});

test("its example is a config of it", () => {
  expect(parsed(echoDefinition.example)).toEqual({ success: true, config: echoDefinition.example, unknownKeys: [] });
});

test("it is launched, and told of, by its own description", async () => {
  const { example: config } = echoDefinition;
  const context = { port: 3500, program: "", env: {}, stopTimeout: 1000 };
  const services = { pyserverDir: () => Promise.reject(new Error("no Python is needed")) };
  const prepared = await table.echo.prepare(services);
  expect(table.echo.launch(config, context, prepared).argv).toEqual([
    ...["bun", "/scripts/echo.ts", "0.0.0.0", "3500", "good morning"],
  ]);
  expect(table.echo.needs(config).files).toEqual([{ field: "script", path: "/scripts/echo.ts" }]);
  expect(table.echo.capabilities(config)).toEqual({ can: ["chat"], endpoints: ["/v1/chat/completions", "/echo"] });
  expect(table.llamacpp).toBe(backends.llamacpp);
});

test("ctl create has a command of it, with a flag for each field", () => {
  const create = new Command("create");
  define(create, new Cli(fakeIo()), [...definitions, echoDefinition]);
  const command = create.commands.find((one) => one.name() === "echo");
  const flags = command?.options.filter(({ hidden }) => !hidden).map(({ flags }) => flags);
  expect(flags).toEqual(
    expect.arrayContaining(["--script <file>", "--alias <text>", "--greeting <text>", "--host <text>"]),
  );
  let help = "";
  command?.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
  expect(help).toContain("ctl create echo --script /scripts/echo.ts --alias");
});
