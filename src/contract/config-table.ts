import { z } from "zod";
import { isRecord } from "../common/record.ts";
import type { BackendDefinition, ConfigOf } from "./backends/definition.ts";
import type { FieldError } from "./errors.ts";
import { type Fields, isBlank } from "./fields.ts";

/** All that follows from a list of backends: names, schemas, and how a config of any age is read. */

export interface ConfigIssue {
  path: (string | number)[];
  /** zod's issue: its words become the API's in errors.ts. */
  issue: z.core.$ZodIssue;
  input: unknown;
}

export type ParsedConfig<C> =
  | { success: true; config: C; unknownKeys: string[] }
  | { success: false; issues: ConfigIssue[] };

type Definitions = readonly [BackendDefinition, ...BackendDefinition[]];

const pathOf = (issue: z.core.$ZodIssue): (string | number)[] =>
  issue.path.map((key) => (typeof key === "number" ? key : String(key)));

const valueAt = (value: unknown, path: (string | number)[]): unknown =>
  path.reduce<unknown>(
    (inner, key) =>
      typeof inner === "object" && inner !== null ? (inner as Record<string | number, unknown>)[key] : undefined,
    value,
  );

const noObject = (given: unknown): ConfigIssue => {
  const message = "Input should be an object";
  return {
    path: [],
    input: given,
    issue: { code: "invalid_type", expected: "object", path: [], message, input: given },
  };
};

/** "one with `a` is x; with `b` it is y, with `c` z". */
const impliedWords = (definitions: Definitions): string => {
  const [first, ...others] = definitions.flatMap(({ type, implied }) => (implied === null ? [] : [{ type, implied }]));
  if (first === undefined) return "none is taken";
  const rest = others.map(({ type, implied }, at) => `${implied.words}${at === 0 ? " it is" : ""} ${type}`);
  const words = [`one ${first.implied.words} is ${first.type}`, rest.join(", ")];
  return words.filter((part) => part !== "").join("; ");
};

/** @param definitions in the order in which they are named; the first is meant where nothing tells */
export const configTable = <const D extends Definitions>(definitions: D) => {
  type Type = D[number]["type"];
  type Config = ConfigOf<D[number]>;

  const backendTypes = definitions.map(({ type }) => type) as [Type, ...Type[]];
  const byType = new Map<unknown, BackendDefinition>(definitions.map((one) => [one.type, one]));
  const [standard] = definitions;

  /** The config as a request has it. Parsing goes by `parseConfig`, which knows old configs too. */
  const instanceConfigRequest = z.union(definitions.map(({ request }) => request) as D[number]["request"][]).meta({
    id: "InstanceConfigRequest",
    description: [
      `The config of one of the backends, told apart by \`backend_type\`. Without that, ${impliedWords(definitions)}.`,
      'A field with a default may be absent, null or `""`. Numbers and booleans may come as strings.',
    ].join(" "),
  });

  /** The config as the API answers with it. */
  const instanceConfig = z
    .discriminatedUnion(
      "backend_type",
      definitions.map(({ answer }) => answer) as [D[number]["answer"], ...D[number]["answer"][]],
    )
    .meta({ id: "InstanceConfig", description: "The config of one of the backends, told apart by backend_type" });

  /** What an absent `backend_type` means: configs from before there were several backends have none. */
  const inferBackendType = (config: Readonly<Record<string, unknown>>): Type =>
    (definitions.find(({ implied }) => implied?.by(config)) ?? standard).type;

  const fieldsByType: Record<string, Fields> = Object.fromEntries(
    definitions.map(({ type, fields }) => [type, fields]),
  );
  const configFields = fieldsByType as Record<Type, Fields>;

  const unknownType = (given: unknown): ConfigIssue => {
    const path = ["backend_type"];
    const message = `Input should be one of ${backendTypes.map((name) => `'${name}'`).join(", ")}`;
    return { path, input: given, issue: { code: "invalid_value", values: backendTypes, path, message, input: given } };
  };

  /** Of a backend that is not known, only what is given, or needed by every backend, can be said to be wrong. */
  const isOfAnyBackend = (name: string, raw: Readonly<Record<string, unknown>>): boolean =>
    Object.hasOwn(raw, name) || definitions.every(({ fields }) => Object.hasOwn(fields, name));

  /** Validates a config of any age: fills defaults, drops and names unknown keys, or names each field that is wrong. */
  const parseConfig = (raw: unknown): ParsedConfig<Config> => {
    if (!isRecord(raw)) return { success: false, issues: [noObject(raw)] };
    const given = raw.backend_type;
    const named = byType.get(given);
    const { type, fields, request } = named ?? byType.get(inferBackendType(raw)) ?? standard;
    const result = request.safeParse({ ...raw, backend_type: type });
    const wrong = (result.error?.issues ?? []).map((issue): ConfigIssue => {
      const path = pathOf(issue);
      return { path, issue, input: valueAt(raw, path) };
    });
    if (named === undefined && !isBlank(given)) {
      const others = wrong.filter(({ path }) => isOfAnyBackend(String(path[0]), raw));
      return { success: false, issues: [unknownType(given), ...others] };
    }
    if (!result.success) return { success: false, issues: wrong };
    const unknownKeys = Object.keys(raw).filter((key) => !Object.hasOwn(fields, key));
    return { success: true, config: result.data as Config, unknownKeys };
  };

  /** Each value of a request that a stored config may have and a request may not, of a config that is valid otherwise. */
  const refusedValues = (type: Type, given: Readonly<Record<string, unknown>>): FieldError[] =>
    Object.entries(configFields[type]).flatMap(([name, { refusal }]) => {
      const input = given[name];
      const msg = isBlank(input) ? null : (refusal?.(input) ?? null);
      return msg === null ? [] : [{ type: "value_error", loc: ["body", "config", name], msg, input }];
    });

  return {
    definitions,
    backendTypes,
    instanceConfigRequest,
    instanceConfig,
    inferBackendType,
    configFields,
    parseConfig,
    refusedValues,
  };
};
