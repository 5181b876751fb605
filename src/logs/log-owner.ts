import type { LogPlaces, StoredSegment } from "./file-place.ts";
import type { LogBatch } from "./ring.ts";

/** What the log of an instance is told, and whom it tells. */

export interface LogSettings extends LogPlaces {
  indexDir: string;
  /** Lines in memory, and lines of a replay. */
  bufferSize: number;
  maxBytes: number;
  keepFiles: number;
  /** Frees the first bytes of an open file; false where the system cannot. */
  freeHead(fd: number, bytes: number): boolean;
}

export interface LogOwner {
  /** Makes the record of the files durable. Throws where it cannot. */
  saveSegments(segments: readonly StoredSegment[]): void;
  /** Lines as they are read, in order. */
  onBatch(batch: LogBatch): void;
  warn(message: string): void;
}
