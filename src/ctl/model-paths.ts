import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { configFields } from "../contract/config.ts";
import { backendTypeOf } from "./config-edit.ts";
import type { RawConfig } from "./config-input.ts";

/**
 * Paths of models, for a daemon on this machine: what is written relative to the client's folder is made absolute,
 * since the daemon would look in its own. A daemon elsewhere gets the paths as they are.
 */

/** `hf:org/name` and the like name a model, and no file. */
const isReference = (value: string): boolean => /^[a-z][a-z0-9+.-]+:/i.test(value);

/** A model is named by its id on the hub unless it is written as a path. */
const isWrittenAsPath = (value: string): boolean => /^\.{1,2}(\/|$)/.test(value);

export interface PathRoots {
  home: string;
  /** What relative paths begin at. */
  folder: string;
  /** Only where something is there: in a file, a path may as well be the daemon's. */
  onlyExisting: boolean;
}

type Named = "file" | "model";

const absolute = (names: Named, value: string, { home, folder, onlyExisting }: PathRoots): string => {
  if (value === "~" || value.startsWith("~/")) return `${home}${value.slice(1)}`;
  const isPath = names === "file" ? !isReference(value) : isWrittenAsPath(value);
  if (!isPath || value === "" || value.startsWith("/")) return value;
  const path = resolve(folder, value);
  return onlyExisting && !existsSync(path) ? value : path;
};

/** @param before values that stay as they are: those that the daemon has already */
export const withAbsolutePaths = (config: RawConfig, roots: PathRoots, before: RawConfig = {}): RawConfig => {
  const fields = configFields[backendTypeOf(config)];
  return Object.fromEntries(
    Object.entries(config).map(([name, value]) => {
      const names = fields[name]?.names;
      const isOld = names === undefined || typeof value !== "string" || value === before[name];
      return [name, isOld ? value : absolute(names, value, roots)];
    }),
  );
};
