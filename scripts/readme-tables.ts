import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { backendOf } from "../src/backends/index.ts";
import type { Fields } from "../src/contract/fields.ts";
import { definitions } from "../src/contract/index.ts";
import { flagOf, settingSpecs } from "../src/store/settings.ts";

/** The parts of the README that say what the code says. */

const root = join(import.meta.dir, "..");

const row = (cells: string[]): string => `| ${cells.join(" | ")} |`;

const table = (head: string[], rows: string[][]): string =>
  [row(head), row(head.map(() => "---")), ...rows.map(row)].join("\n");

const code = (value: unknown): string => `\`${typeof value === "string" ? value : JSON.stringify(value)}\``;

/** Bounds that stand for "any" are not worth showing. */
const FAR = 2 ** 31 - 1;

const kind = (schema: z.ZodType): string => {
  const { type, minimum, maximum, enum: values } = z.toJSONSchema(schema);
  if (values !== undefined) return values.map(code).join(" ");
  if (type === "array") return "list of strings";
  if (minimum === undefined || maximum === undefined) return String(type);
  return maximum === FAR ? `${type}, from ${minimum}` : `${type}, ${minimum} to ${maximum}`;
};

/** The config of a backend: each field, what it takes, its default and what it means. */
const configTable = (fields: Fields): string =>
  table(
    ["Field", "Takes", "Default", "Meaning"],
    Object.entries(fields).map(([name, field]) => {
      const fallback = "fallback" in field ? code(field.fallback) : "optional" in field ? "unset" : "**required**";
      return [code(name), kind(field.schema), fallback, field.schema.meta()?.description ?? ""];
    }),
  );

/** The settings of the daemon and the flag of each. */
const settingsTable = (): string =>
  table(
    ["Setting", "Flag of `serve`", "Default", "Meaning"],
    Object.entries(settingSpecs).map(([name, { fallback, description }]) => [
      code(name),
      code(flagOf(name)),
      fallback === "" ? "unset" : code(fallback),
      description,
    ]),
  );

export interface Described {
  paths: Record<string, Record<string, { summary: string }>>;
  components: { schemas: { InstanceConfigRequest: { description: string } } };
}

/** The routes, as the description of the API has them. */
const routesTable = ({ paths }: Described): string => {
  const rows = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { summary }]) => [code(`${method.toUpperCase()} ${path}`), summary]),
  );
  return table(["Route", "What it does"], rows);
};

const endpointsTable = (): string =>
  table(
    ["Backend", "Endpoints"],
    definitions.map(({ type, example }) => [
      code(type),
      backendOf(example).capabilities(example).endpoints.map(code).join(" "),
    ]),
  );

const configSections = ({ components }: Described): string =>
  [
    components.schemas.InstanceConfigRequest.description,
    ...definitions.map(({ title, fields }) => `### ${title}\n\n${configTable(fields)}`),
  ].join("\n\n");

/** Behind the comment that names the part: up to the comment that ends it, else the lines of a table. */
const PART = /(<!-- ([\w ]+), by scripts\/openapi -->\n)(?:[\s\S]*?(?=<!-- end of \2 -->)|(?:\|.*\n)*)/g;

/** The README with its parts as they should be. */
export const withTables = (readme: string, api: Described): string => {
  const parts: Record<string, string> = {
    routes: routesTable(api),
    endpoints: endpointsTable(),
    settings: settingsTable(),
    configs: configSections(api),
  };
  const written = new Set<string>();
  const text = readme.replace(PART, (_, mark, name) => {
    written.add(name);
    return `${mark}${parts[name] ?? ""}\n`;
  });
  const missing = Object.keys(parts).filter((name) => !written.has(name));
  if (missing.length > 0) throw new Error(`README.md has no place for: ${missing.join(", ")}`);
  return text;
};

export const readReadme = (): string => readFileSync(join(root, "README.md"), "utf8");
