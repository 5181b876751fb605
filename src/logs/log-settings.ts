import type { LogPlaces, StoredSegment } from "./file-place.ts";

/** How the log of an instance is kept: settings of the daemon, and where its files are recorded. */

export interface LogSettings extends LogPlaces {
  indexDir: string;
  /** Lines in memory, and lines of a replay. */
  bufferSize: number;
  maxBytes: number;
  keepFiles: number;
  /** Frees the first bytes of an open file; false where the system cannot. */
  freeHead(fd: number, bytes: number): boolean;
}

export interface LogRecords {
  /** Makes the record of the files durable. Throws where it cannot. */
  saveSegments(segments: readonly StoredSegment[]): void;
  /** Tells a person what could not be done. */
  warn(message: string): void;
}
