import { type Command, Option } from "commander";
import type { z } from "zod";
import { type BackendType, configFields } from "../contract/config.ts";
import type { Field, Fields } from "../contract/fields.ts";
import { usageError } from "./errors.ts";

/** The flags of `create` are the fields of a backend's config, read from the contract and not written again. */

export type FieldKind = "text" | "number" | "flag" | "choice" | "list";

export interface ConfigField {
  name: string;
  kind: FieldKind;
  choices: readonly string[];
  description: string;
  required: boolean;
  fallback: unknown;
  /** What its text names; null where that is neither a file nor a model. */
  names: NonNullable<Field["names"]> | null;
}

interface Definition {
  type: string;
  innerType?: z.ZodType;
  entries?: Record<string, string>;
}

const definitionOf = (schema: z.ZodType): Definition => {
  const definition = schema.def as unknown as Definition;
  return definition.innerType === undefined ? definition : definitionOf(definition.innerType);
};

const kinds: Readonly<Record<string, FieldKind>> = { number: "number", boolean: "flag", enum: "choice", array: "list" };

const describe = (name: string, field: Fields[string]): ConfigField => {
  const { type, entries } = definitionOf(field.schema);
  const fallback: unknown = "fallback" in field ? field.fallback : undefined;
  return {
    name,
    kind: kinds[type] ?? "text",
    choices: Object.values(entries ?? {}),
    description: field.schema.meta()?.description ?? "",
    required: !("fallback" in field || "optional" in field),
    fallback,
    names: field.names ?? null,
  };
};

/** The fields that people set; the backend's name is said otherwise. */
export const describeFields = (fields: Fields): ConfigField[] =>
  Object.entries(fields)
    .filter(([name]) => name !== "backend_type")
    .map(([name, field]) => describe(name, field));

export const fieldsOf = (backend: BackendType): ConfigField[] => describeFields(configFields[backend]);

/** `n_gpu_layers` as the flag it is: `--n-gpu-layers`. */
export const flagOf = (name: string): string => `--${name.replaceAll("_", "-")}`;

/** The name under which commander keeps a flag. */
export const propertyOf = (name: string): string => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

const placeholder = ({ kind, names }: ConfigField): string => {
  switch (kind) {
    case "number":
      return "<number>";
    case "flag":
      return "[true|false]";
    case "list":
      return "<a,b,…>";
    case "choice":
      return "<choice>";
    case "text":
      // Completion knows a path by these two.
      return names === null ? "<text>" : names === "file" ? "<file>" : "<id|folder>";
  }
};

const note = ({ name, required, fallback }: ConfigField): string => {
  if (name === "api_key") return " (made when not given)";
  if (required) return " (required)";
  return fallback === undefined ? "" : ` (default: ${String(fallback)})`;
};

export const addFieldOptions = (command: Command, fields: readonly ConfigField[]): void => {
  command.optionsGroup("Config:");
  for (const field of fields) {
    const option = new Option(`${flagOf(field.name)} ${placeholder(field)}`, `${field.description}${note(field)}`);
    if (field.kind === "choice") option.choices([...field.choices]);
    command.addOption(option);
    // Under the field's own name too, as it stands in a file.
    if (!field.name.includes("_")) continue;
    const same = new Option(`--${field.name} ${placeholder(field)}`).hideHelp();
    if (field.kind === "choice") same.choices([...field.choices]);
    command.addOption(same);
  }
};

/** A list as people write it: with commas, or as JSON where a value holds one. */
export const parseList = (text: string, where: string): unknown => {
  if (!text.trimStart().startsWith("[")) return text === "" ? [] : text.split(",").map((value) => value.trim());
  try {
    return JSON.parse(text);
  } catch {
    throw usageError(`${where} '${text}' is no list`, `write it as a,b or as ["a","b"]`);
  }
};

/** The values given by flags, by field. Numbers and booleans stay text: the daemon reads and checks them. */
export const configOf = (
  fields: readonly ConfigField[],
  options: Readonly<Record<string, unknown>>,
): Record<string, unknown> =>
  Object.fromEntries(
    fields.flatMap(({ name, kind }): [string, unknown][] => {
      const given = options[propertyOf(name)] ?? options[name];
      // A flag alone means yes.
      const value = given === true ? "true" : given;
      if (typeof value !== "string") return [];
      return [[name, kind === "list" ? parseList(value, flagOf(name)) : value]];
    }),
  );
