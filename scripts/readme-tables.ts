import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { type BackendType, backendTypes, configFields } from "../src/contract/index.ts";
import { flagOf, settingSpecs } from "../src/store/settings.ts";

/** The tables of the README that say what the code says. */

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
const configTable = (type: BackendType): string =>
  table(
    ["Field", "Takes", "Default", "Meaning"],
    Object.entries(configFields[type]).map(([name, field]) => {
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
}

/** The routes, as the description of the API has them. */
const routesTable = ({ paths }: Described): string => {
  const rows = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { summary }]) => [code(`${method.toUpperCase()} ${path}`), summary]),
  );
  return table(["Route", "What it does"], rows);
};

/** The README with its tables as they should be; each stands behind a comment that names it. */
export const withTables = (readme: string, api: Described): string => {
  const tables: Record<string, string> = {
    routes: routesTable(api),
    settings: settingsTable(),
    ...Object.fromEntries(backendTypes.map((type) => [type, configTable(type)])),
  };
  const written = new Set<string>();
  const text = readme.replace(/(<!-- ([\w ]+), by scripts\/openapi -->\n)(?:\|.*\n)*/g, (_, mark, name) => {
    written.add(name);
    return `${mark}${tables[name] ?? ""}\n`;
  });
  const missing = Object.keys(tables).filter((name) => !written.has(name));
  if (missing.length > 0) throw new Error(`README.md has no place for: ${missing.join(", ")}`);
  return text;
};

export const readReadme = (): string => readFileSync(join(root, "README.md"), "utf8");
