import { existsSync } from "node:fs";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import type { SegmentRecord } from "./segment.ts";

/**
 * How a log file is recorded, so that it is found again where the daemon's folder or LOG_DIR was moved, mounted
 * elsewhere or restored: by its name, and by the folder that it was made in.
 */

export interface LogPlaces {
  /** LOG_DIR, as an absolute path. */
  dir: string;
  /** The daemon's folder, as an absolute path. */
  home: string;
}

/** A segment as it stands in a record. */
export interface StoredSegment extends SegmentRecord {
  /** Name of the file. Records of older versions have its absolute path here, and no `dir`. */
  file: string;
  /** The folder it was made in: relative to the daemon's folder where it lies inside of that, else absolute. */
  dir?: string;
}

const isInside = (path: string, folder: string): boolean => {
  const way = relative(folder, path);
  return way !== ".." && !way.startsWith("../") && !isAbsolute(way);
};

/** Whether a log file may be deleted: one outside of both folders may belong to another daemon, of which this is a copy. */
export const isOurs = (file: string, { dir, home }: LogPlaces): boolean => isInside(file, dir) || isInside(file, home);

export const toStored = (segment: SegmentRecord, { home }: LogPlaces): StoredSegment => {
  const dir = dirname(segment.file);
  return { ...segment, file: basename(segment.file), dir: isInside(dir, home) ? relative(home, dir) : dir };
};

/** The file's absolute path: where it was made, else in LOG_DIR as it is now. */
export const fromStored = ({ dir, ...segment }: StoredSegment, places: LogPlaces): SegmentRecord => {
  const present = join(places.dir, basename(segment.file));
  const made = dir === undefined ? segment.file : resolve(places.home, dir, segment.file);
  // An absolute path of an older version may lead to the folder of which this one is a copy.
  const [first, second] = dir === undefined ? [present, made] : [made, present];
  return { ...segment, file: !existsSync(first) && existsSync(second) ? second : first };
};
