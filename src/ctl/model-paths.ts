import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { RawConfig } from "./config-input.ts";

/**
 * Paths of models, for a daemon on this machine: what is written relative to the client's folder is made absolute,
 * since the daemon would look in its own. A daemon elsewhere gets the paths as they are.
 */

/** Fields that hold the path of a file. */
export const isFileField = (name: string): boolean => /(^model$|_file$)/.test(name);

/** `hf:org/name` and the like name a model, and no file. */
const isReference = (value: string): boolean => /^[a-z][a-z0-9+.-]+:/i.test(value);

/** A model id is a name on the hub unless it is written as a path. */
const isWrittenAsPath = (value: string): boolean => /^\.{1,2}(\/|$)/.test(value);

export interface PathRoots {
  home: string;
  /** What relative paths begin at. */
  folder: string;
  /** Only where something is there: in a file, a path may as well be the daemon's. */
  onlyExisting: boolean;
}

const absolute = (name: string, value: string, { home, folder, onlyExisting }: PathRoots): string => {
  if (value === "~" || value.startsWith("~/")) return `${home}${value.slice(1)}`;
  const isPath = isFileField(name) ? !isReference(value) : name === "model_id" && isWrittenAsPath(value);
  if (!isPath || value === "" || value.startsWith("/")) return value;
  const path = resolve(folder, value);
  return onlyExisting && !existsSync(path) ? value : path;
};

const isPathField = (name: string): boolean => isFileField(name) || name === "model_id";

/** @param before values that stay as they are: those that the daemon has already */
export const withAbsolutePaths = (config: RawConfig, roots: PathRoots, before: RawConfig = {}): RawConfig =>
  Object.fromEntries(
    Object.entries(config).map(([name, value]) => [
      name,
      typeof value === "string" && isPathField(name) && value !== before[name] ? absolute(name, value, roots) : value,
    ]),
  );
