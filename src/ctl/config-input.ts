import { readFileSync } from "node:fs";
import { isRecord } from "../contract/record.ts";
import { decodeUtf8, EncodingError } from "../contract/utf8.ts";
import type { Cli } from "./cli.ts";
import { CtlError, exitCodes, usageError } from "./errors.ts";

/** A config from a file or stdin: JSON or YAML, the bare config or `{config}` as the API takes it. */

export type RawConfig = Record<string, unknown>;

/** YAML holds all of JSON. @throws usage error with the place of what is wrong */
export const parseConfigText = async (text: string, name: string): Promise<RawConfig> => {
  const { parseDocument } = await import("yaml");
  const document = parseDocument(text, { prettyErrors: true });
  const problem = document.errors[0];
  if (problem !== undefined) {
    const [first = "", ...excerpt] = problem.message.trimEnd().split("\n");
    throw usageError(`${name}: ${first.replace(/:$/, "")}`, ...excerpt.filter((line) => line !== ""));
  }
  const value: unknown = document.toJS();
  const config = isRecord(value) && isRecord(value.config) ? value.config : value;
  if (isRecord(config)) return config;
  throw usageError(`${name} holds no config`, "a config is an object: {alias: …, model: …}");
};

export const readConfigFile = async (cli: Cli, path: string): Promise<RawConfig> => {
  if (path === "-") return await parseConfigText(await cli.readStdin("-f -"), "stdin");
  let text: string;
  try {
    text = decodeUtf8(readFileSync(path));
  } catch (error) {
    if (error instanceof EncodingError) throw usageError(`${path}:${error.line}:${error.column}: ${error.message}`);
    throw new CtlError(exitCodes.failure, `-f: ${(error as Error).message}`);
  }
  return await parseConfigText(text, path);
};
