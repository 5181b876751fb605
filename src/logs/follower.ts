import { closeSync, type FSWatcher, fstatSync, openSync, readSync, watch } from "node:fs";

/**
 * Follows a file that another process appends to. While it is quiet a watch tells of new bytes. What
 * comes within a millisecond of an event may have no event of its own (Bun takes it for the same one),
 * so after each the file is read every few milliseconds until nothing has come for a while. In a
 * burst the watch would slow the writer too (the kernel queues an event for each write): it is
 * dropped until the burst is over.
 */

const CHUNK_BYTES = 256 * 1024;
/** Bytes read in one turn before other work gets its turn. */
const TURN_BYTES = 1024 * 1024;
const POLL_MS = 2;
/** Polls in a row that find nothing, after which the watch alone is trusted. */
const EMPTY_POLLS = 10;
/** Now and then a watch's last event does not come. Outside Linux, watches are coarse. */
const SLOW_CHECK_MS = process.platform === "linux" ? 500 : 50;
const WINDOW_MS = 50;
/** A window with so many reads, or so many bytes, is a burst; one with fewer ends it. */
const BURST = { reads: 40, bytes: 64 * 1024 };
const CALM = { reads: 10, bytes: 16 * 1024 };

/** One buffer for all: what is read is taken in before the next read. */
const buffer = Buffer.allocUnsafe(CHUNK_BYTES);

/** One timer for all, so that many quiet logs wake the daemon no more often than one does. */
const slowlyChecked = new Set<() => void>();
let slowCheck: Timer | null = null;

const checkSlowly = (check: () => void): void => {
  slowlyChecked.add(check);
  slowCheck ??= setInterval(() => {
    for (const each of [...slowlyChecked]) each();
  }, SLOW_CHECK_MS);
};

const checkNoMore = (check: () => void): void => {
  slowlyChecked.delete(check);
  if (slowlyChecked.size > 0 || slowCheck === null) return;
  clearInterval(slowCheck);
  slowCheck = null;
};

export interface FollowerOptions {
  /** Called where the file was made shorter than it had been read; it is read from its beginning then. */
  onTruncated?: () => void;
  /** Told once of a file that cannot be read now; it is tried again, and told of again after it could be. */
  onUnreadable?: (error: unknown) => void;
  /** Whether the file is also looked at every now and then, whatever the watch says; true by default. */
  slowCheck?: boolean;
}

export class FileFollower {
  private readonly fd: number;
  private watcher: FSWatcher | null = null;
  private poll: Timer | null = null;
  private emptyPolls = 0;
  private started = false;
  private inBurst = false;
  private readonly check = (): void => this.tryTurn();
  private unreadable = false;
  private turn: NodeJS.Immediate | null = null;
  private windowStart = 0;
  private readsInWindow = 0;
  private bytesInWindow = 0;
  private closed = false;

  /**
   * @param position byte to begin at
   * @param onChunk takes the bytes in order; the chunk is reused after it returns
   */
  constructor(
    private readonly path: string,
    private position: number,
    private readonly onChunk: (chunk: Buffer) => void,
    private readonly options: FollowerOptions = {},
  ) {
    this.fd = openSync(path, "r");
  }

  /** The open file, for readers of its past: it stays readable when its name is gone. */
  get descriptor(): number {
    return this.fd;
  }

  /** Size of the file in bytes. */
  get size(): number {
    return fstatSync(this.fd).size;
  }

  get modified(): Date {
    return fstatSync(this.fd).mtime;
  }

  /** Nothing has come for a while: it waits for the watch alone. */
  get resting(): boolean {
    return this.poll === null;
  }

  /** Begins to follow; bytes already there come first. Safe to call again. */
  start(): void {
    if (this.started || this.closed) return;
    this.started = true;
    if (this.options.slowCheck !== false) checkSlowly(this.check);
    this.armWatch();
    this.startPolling();
    this.tryTurn();
  }

  /**
   * Reads what is there now, giving others their turn in between. What comes meanwhile is not waited for:
   * a process that writes faster than lines are read (one that a dead server left behind, say) would never end it.
   */
  async drain(): Promise<void> {
    if (this.closed) return;
    this.beginAgainWhereTruncated();
    const end = this.size;
    while (!this.closed && this.position < end && this.readSome(Math.min(TURN_BYTES, end - this.position))) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.dropWatch();
    this.stopPolling();
    checkNoMore(this.check);
    if (this.turn !== null) clearImmediate(this.turn);
    closeSync(this.fd);
  }

  private armWatch(): void {
    try {
      this.watcher = watch(this.path, { persistent: false }, () => {
        // Even where another read has taken its bytes: the next write may be the one without an event.
        this.startPolling();
        this.tryTurn();
      });
      // A watch that breaks (file gone, too many watches) leaves the slow check.
      this.watcher.on("error", () => this.dropWatch());
    } catch {
      // Too many watches on the system, say: the slow check has to do.
      this.watcher = null;
    }
  }

  private dropWatch(): void {
    this.watcher?.close();
    this.watcher = null;
  }

  private startPolling(): void {
    this.emptyPolls = 0;
    this.poll ??= setInterval(() => this.pollOnce(), POLL_MS);
  }

  private stopPolling(): void {
    if (this.poll !== null) clearInterval(this.poll);
    this.poll = null;
  }

  private pollOnce(): void {
    this.emptyPolls += 1;
    this.tryTurn();
    if (this.emptyPolls > EMPTY_POLLS && !this.inBurst) this.stopPolling();
  }

  /** Nothing that the system refuses may be thrown where only a timer could catch it. */
  private tryTurn(): void {
    try {
      this.readTurn();
      this.unreadable = false;
    } catch (error) {
      // What cannot be read now is tried again at the next event or slow check, not every few milliseconds.
      this.inBurst = false;
      this.stopPolling();
      if (!this.unreadable) this.options.onUnreadable?.(error);
      this.unreadable = true;
    }
  }

  private readTurn(): void {
    if (this.closed || this.turn !== null) return;
    const before = this.position;
    const more = this.readSome(TURN_BYTES);
    if (this.closed) return;
    if (more) {
      this.turn = setImmediate(() => {
        this.turn = null;
        this.tryTurn();
      });
    }
    this.adapt(Math.max(0, this.position - before));
  }

  /** Chooses between watch and poll by how much there was to read. */
  private adapt(bytes: number): void {
    if (bytes > 0) {
      this.readsInWindow += 1;
      this.startPolling();
    }
    this.bytesInWindow += bytes;
    if (!this.inBurst && (this.readsInWindow >= BURST.reads || this.bytesInWindow >= BURST.bytes)) {
      this.inBurst = true;
      this.dropWatch();
      this.startPolling();
    }
    const now = performance.now();
    if (now - this.windowStart < WINDOW_MS) return;
    const calm = this.readsInWindow <= CALM.reads && this.bytesInWindow <= CALM.bytes;
    this.windowStart = now;
    this.readsInWindow = 0;
    this.bytesInWindow = 0;
    if (!this.inBurst || !calm) return;
    this.inBurst = false;
    this.armWatch();
    // What came between the last read and the watch has no event of its own.
    this.startPolling();
  }

  /** Reads at most about `limit` bytes; true when there may be more. */
  private readSome(limit: number): boolean {
    for (let taken = 0; taken < limit && !this.closed; ) {
      const read = readSync(this.fd, buffer, 0, CHUNK_BYTES, this.position);
      if (read === 0) return this.beginAgainWhereTruncated();
      this.position += read;
      taken += read;
      this.onChunk(buffer.subarray(0, read));
      if (read < CHUNK_BYTES) return false;
    }
    return true;
  }

  /** True where there may be something to read again. */
  private beginAgainWhereTruncated(): boolean {
    if (this.size >= this.position) return false;
    this.position = 0;
    this.options.onTruncated?.();
    return true;
  }
}
