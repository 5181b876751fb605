import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import Ajv from "ajv/dist/2020";
import addFormats from "ajv-formats";
import { file, openapiText } from "../scripts/openapi.ts";
import { backendTypes, definitions, parseConfig } from "../src/contract/index.ts";
import { OPEN_PATHS } from "../src/server/who-asks.ts";
import { root } from "./support/paths.ts";

/** The description of the API: in the project as it is served, valid, complete, and true to its own examples. */

type Json = Record<string, unknown>;

interface Media {
  schema: Json;
  example?: unknown;
  examples?: Record<string, { summary?: string; value: unknown }>;
}

interface Answer {
  description: string;
  content?: Record<string, Media>;
}

interface Operation {
  operationId?: string;
  summary?: string;
  tags?: string[];
  security?: Json[];
  parameters?: { name: string; in: string; required?: boolean; schema: Json & { description?: string } }[];
  requestBody?: { required?: boolean; content: Record<string, Media> };
  responses: Record<string, Answer>;
}

const document = JSON.parse(readFileSync(join(root, file), "utf8")) as {
  paths: Record<string, Record<string, Operation>>;
  tags: { name: string; description?: string }[];
  components: { schemas: Record<string, Json>; securitySchemes: Json };
};

const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]): [string, Operation, string, string] => [
    `${method.toUpperCase()} ${path}`,
    operation,
    method,
    path,
  ]),
);

const ajv = addFormats(new Ajv({ strict: false, allErrors: true }));
ajv.addSchema({ $id: "api", components: document.components });

/** What is wrong with a value, by a schema of the document. */
const problems = (schema: Json, value: unknown): string[] => {
  const absolute = JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"api#/components')) as Json;
  const validate = ajv.compile(absolute);
  validate(value);
  return (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message}`);
};

const examplesOf = (media: Media): unknown[] => [
  ...("example" in media ? [media.example] : []),
  ...Object.values(media.examples ?? {}).map(({ value }) => value),
];

const mediaOf = ({ content = {} }: { content?: Record<string, Media> }): Media => {
  const media = content["application/json"];
  if (media === undefined) throw new Error("not application/json");
  return media;
};

test(`${file} is what the daemon serves; where it is not: ./scripts/openapi`, () => {
  expect(readFileSync(join(root, file), "utf8")).toBe(openapiText());
});

test("it is a valid OpenAPI 3.1 document", async () => {
  const validator = new Validator();
  const result = await validator.validate(structuredClone(document));
  expect(result.errors).toBeUndefined();
  expect({ valid: result.valid, version: validator.version }).toEqual({ valid: true, version: "3.1" });
});

test("every route of the wire contract is described", () => {
  expect(operations.map(([name]) => name).sort()).toEqual([
    "DELETE /instances/{id}",
    "DELETE /keys/{id}",
    "GET /",
    "GET /events",
    "GET /health",
    "GET /instances",
    "GET /instances/{id}",
    "GET /instances/{id}/generations",
    "GET /instances/{id}/last-generation",
    "GET /instances/{id}/logs",
    "GET /instances/{id}/logs/starts",
    "GET /instances/{id}/state",
    "GET /keys",
    "GET /memory",
    "PATCH /instances/{id}",
    "POST /instances",
    "POST /instances/{id}/restart",
    "POST /instances/{id}/start",
    "POST /instances/{id}/stop",
    "POST /keys",
    "POST /logs/prune",
    "PUT /instances/{id}",
  ]);
});

describe.each(operations)("%s", (_, operation, method, path) => {
  test("has a name of its own, a summary and a described tag", () => {
    const same = operations.filter(([, { operationId }]) => operationId === operation.operationId);
    expect(same).toHaveLength(1);
    expect(operation.summary).toBeString();
    const tags = document.tags.filter(({ name }) => operation.tags?.includes(name));
    expect(tags.map(({ description }) => typeof description)).toEqual(["string"]);
  });

  test("each answer has examples that fit its schema", () => {
    for (const [status, answer] of Object.entries(operation.responses)) {
      const media = mediaOf(answer);
      const examples = examplesOf(media);
      expect({ status, examples: examples.length }).not.toEqual({ status, examples: 0 });
      for (const example of examples)
        expect({ status, problems: problems(media.schema, example) }).toEqual({ status, problems: [] });
    }
  });

  test("its scope and its errors are those that it has", () => {
    const open = OPEN_PATHS.includes(path);
    const statuses = Object.keys(operation.responses);
    const scope = method === "get" && path !== "/keys" ? "read" : "admin";
    expect(operation.security).toEqual(open ? undefined : [{ ApiKey: [scope] }, { Bearer: [scope] }]);
    expect([statuses.includes("401"), statuses.includes("403")]).toEqual([!open, !open]);
    expect(statuses.includes("404")).toBe(path.includes("{id}"));
    const validated = operation.requestBody !== undefined || operation.parameters?.some((one) => one.in === "query");
    expect(statuses.includes("422")).toBe(validated === true);
    expect(statuses.includes("413")).toBe(operation.requestBody !== undefined);
    expect(statuses.includes("500")).toBe(method !== "get");
  });

  test("each error is {detail}, in a sentence, or for 422 in a list of fields", () => {
    for (const [status, answer] of Object.entries(operation.responses)) {
      if (Number(status) < 400) continue;
      const { schema } = mediaOf(answer);
      expect(schema).toEqual({ $ref: `#/components/schemas/${status === "422" ? "ValidationError" : "Error"}` });
    }
  });

  test("a config is sent where one is needed, with an example of each backend", () => {
    const wanted = (method === "post" && path === "/instances") || method === "put" || method === "patch";
    if (path === "/keys") return;
    expect(operation.requestBody !== undefined).toBe(wanted);
    if (operation.requestBody === undefined) return;
    expect(operation.requestBody.required).toBe(true);
    const media = mediaOf(operation.requestBody);
    const configs = examplesOf(media).map((example) => (example as { config: Json }).config);
    // A change names some fields of any of them.
    if (method === "patch") return;
    expect(configs.map(({ backend_type }) => backend_type)).toEqual([...backendTypes]);
    for (const config of configs) {
      expect(problems(media.schema, { config })).toEqual([]);
      expect(parseConfig(config)).toEqual({ success: true, config: config as never, unknownKeys: [] });
    }
  });

  test("its parameters are described, and those of the path are required", () => {
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const parameters = operation.parameters ?? [];
    expect(parameters.filter((one) => one.in === "path" && one.required).map(({ name }) => name)).toEqual(
      inPath as string[],
    );
    for (const { schema } of parameters) expect(schema.description).toBeString();
  });
});

test("what a seq counts is said of both kinds: for the life of an instance, or of a daemon", () => {
  const described = (name: string) => {
    const { properties } = document.components.schemas[name] as { properties: Record<string, { description: string }> };
    return properties.seq?.description;
  };
  expect(described("LogLine")).toContain("for the life of the instance");
  expect(described("StateFrame")).toContain("again with each daemon");
});

test("both WebSockets describe their frames", () => {
  for (const path of ["/instances/{id}/logs", "/instances/{id}/state"]) {
    const frames = document.paths[path]?.get?.responses["101"];
    expect(frames?.description).toContain("WebSocket");
    expect(Object.keys(mediaOf(frames ?? {}).examples ?? {})).toContain("error");
  }
});

describe("a config", () => {
  test.each([...definitions])("$type is answered with each of its fields", ({ schemaName, fields }) => {
    const schema = document.components.schemas[`${schemaName}Config`] as { required: string[]; properties: Json };
    expect(schema.required).toEqual(Object.keys(fields));
    expect(Object.keys(schema.properties)).toEqual(Object.keys(fields));
  });

  test.each([...definitions])(
    "$type is taken with the required fields alone, and its defaults are told",
    ({ schemaName, fields }) => {
      const name = `${schemaName}ConfigRequest`;
      const schema = document.components.schemas[name] as { required: string[]; properties: Record<string, Json> };
      for (const [field, spec] of Object.entries(fields)) {
        const optional = "fallback" in spec || "optional" in spec;
        expect({ field, required: schema.required.includes(field) }).toEqual({ field, required: !optional });
        expect(schema.properties[field]?.description).toBeString();
        if (optional)
          expect(schema.properties[field]).toHaveProperty("default", "fallback" in spec ? spec.fallback : null);
      }
    },
  );

  test("is told apart by backend_type", () => {
    expect(document.components.schemas.InstanceConfig).toMatchObject({
      discriminator: { propertyName: "backend_type", mapping: { llamacpp: "#/components/schemas/LlamaCppConfig" } },
    });
  });
});

test("a document with a fault in it is not taken for valid", async () => {
  const broken = { ...structuredClone(document), paths: { "/x": { get: { responses: { 200: {} } } } } };
  expect((await new Validator().validate(broken)).valid).toBe(false);
  expect(problems({ $ref: "#/components/schemas/Health" }, { status: "unwell" })).not.toEqual([]);
});
