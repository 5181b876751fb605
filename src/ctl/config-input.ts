import { readFileSync } from "node:fs";
import { isRecord } from "../common/record.ts";
import type { Cli } from "./cli.ts";
import { doing, usageError } from "./errors.ts";
import { textOf } from "./foreign-text.ts";

/** A config from a file or stdin: JSON or YAML, the bare config or `{config}` as the API takes it. */

export type RawConfig = Record<string, unknown>;

/** What the parser found, by its codes; its own sentences speak of its functions and of terms of its grammar. */
const whatIsWrong = (code: string): string => {
  switch (code) {
    case "MULTIPLE_DOCS":
      return "it holds several documents, and one config is one document";
    case "DUPLICATE_KEY":
      return "a key stands there twice";
    case "BAD_INDENT":
      return "the indentation is wrong, or a bracket is left open";
    case "TAB_AS_INDENT":
      return "a tab is no indentation: use blanks";
    case "MISSING_CHAR":
      return "a quote, a bracket, a comma or a colon is missing";
    case "BAD_ALIAS":
      return "it refers to something that is not there";
    default:
      return "it is neither JSON nor YAML";
  }
};

/** YAML holds all of JSON. @throws usage error with the place of what is wrong */
export const parseConfigText = async (text: string, name: string): Promise<RawConfig> => {
  const { parseDocument } = await import("yaml");
  const document = parseDocument(text, { prettyErrors: true });
  const problem = document.errors[0];
  if (problem !== undefined) {
    const [, ...excerpt] = problem.message.trimEnd().split("\n");
    const [start] = problem.linePos ?? [];
    const place = start === undefined ? "" : `, at line ${start.line}, column ${start.col}`;
    const lines = excerpt.filter((line) => line !== "");
    throw usageError(`${name}: ${whatIsWrong(problem.code)}${place}`, ...lines);
  }
  let value: unknown;
  try {
    value = document.toJS();
  } catch {
    // An alias without its anchor, or too many of them.
    throw usageError(`${name}: ${whatIsWrong("BAD_ALIAS")}`);
  }
  const config = isRecord(value) && isRecord(value.config) ? value.config : value;
  if (isRecord(config)) return config;
  throw usageError(`${name} holds no config`, "a config is an object: {alias: …, model: …}");
};

export const readConfigFile = async (cli: Cli, path: string): Promise<RawConfig> => {
  if (path === "-") return await parseConfigText(textOf(await cli.readStdin("-f -"), "stdin"), "stdin");
  const bytes = doing("-f: cannot read", path, () => readFileSync(path));
  return await parseConfigText(textOf(bytes, path), path);
};
