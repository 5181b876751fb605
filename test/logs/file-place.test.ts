import { describe, expect, test } from "bun:test";
import {
  appendFileSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { readPage } from "../../src/logs/cursor.ts";
import type { StoredSegment } from "../../src/logs/file-place.ts";
import { InstanceLog } from "../../src/logs/instance-log.ts";
import { punchHead } from "../../src/process/punch.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

/** Where the log files of an instance are found again, wherever its daemon's folder or LOG_DIR has gone. */

removeFoldersAfterEach();

interface Place {
  home: string;
  logDir?: string;
  keepFiles?: number;
}

/** A log as a daemon in that folder has it; its record is written as the daemon's records are. */
const logIn = ({ home, logDir = "logs", keepFiles = 10 }: Place): InstanceLog => {
  const record = join(home, "record.json");
  const stored = existsSync(record) ? (JSON.parse(readText(record)) as StoredSegment[]) : [];
  return new InstanceLog(
    stored,
    {
      dir: join(home, logDir),
      home,
      indexDir: join(home, "index"),
      bufferSize: 2,
      maxBytes: 1024 * 1024,
      keepFiles,
      freeHead: punchHead,
    },
    {
      saveSegments: (segments) => writeFileSync(record, JSON.stringify(segments)),
      warn: () => undefined,
    },
  );
};

const readText = (path: string): string => new TextDecoder().decode(Bun.mmap(path));

/** One start that writes these lines. */
const write = async (place: Place, ...lines: string[]): Promise<string> => {
  mkdirSync(place.home, { recursive: true });
  const log = logIn(place);
  const { path, fd } = await log.begin(`llama-${lines[0]}`);
  closeSync(fd);
  appendFileSync(path, lines.map((line) => `${line}\n`).join(""));
  await log.finish();
  log.close();
  return path;
};

const linesOf = async (place: Place): Promise<string[]> => {
  const log = logIn(place);
  await log.open();
  await log.finish();
  const lines = readPage(log, { after: -1, tail: null }, 100).map(({ seq, line }) => `${seq} ${line}`);
  log.close();
  return lines;
};

const ALL = ["0 one", "1 two", "2 three", "3 four"];

const written = async (home: string, logDir?: string): Promise<string[]> => {
  const place = { home, ...(logDir === undefined ? {} : { logDir }) };
  return [await write(place, "one", "two"), await write(place, "three", "four")];
};

describe("the lines of a log are all there", () => {
  test("after the daemon's folder was moved", async () => {
    const home = join(temporaryFolder(), "before");
    await written(home);
    renameSync(home, `${home}-moved`);
    expect(await linesOf({ home: `${home}-moved` })).toEqual(ALL);
  });

  test("after LOG_DIR was moved too, inside of the daemon's folder or out of it", async () => {
    const home = temporaryFolder();
    await written(home);
    renameSync(join(home, "logs"), join(home, "old-logs"));
    expect(await linesOf({ home, logDir: "old-logs" })).toEqual(ALL);
    const outside = join(temporaryFolder(), "elsewhere");
    cpSync(join(home, "old-logs"), outside, { recursive: true });
    renameSync(join(home, "old-logs"), join(home, "unused"));
    expect(await linesOf({ home, logDir: `../${basename(join(outside, ".."))}/elsewhere` })).toEqual(ALL);
  });

  test("where LOG_DIR is another one now, and the files stayed in the old one", async () => {
    const home = temporaryFolder();
    await written(home);
    expect(await linesOf({ home, logDir: "new-logs" })).toEqual(ALL);
    await write({ home, logDir: "new-logs" }, "five");
    renameSync(home, `${home}-moved`);
    expect(await linesOf({ home: `${home}-moved`, logDir: "new-logs" })).toEqual([...ALL, "4 five"]);
    renameSync(`${home}-moved`, home);
  });

  test("where an older version recorded absolute paths, and the folder was moved since", async () => {
    const home = join(temporaryFolder(), "before");
    const [first = "", second = ""] = await written(home);
    const record = join(home, "record.json");
    const old = (JSON.parse(readText(record)) as StoredSegment[]).map(({ dir: _, ...segment }, at) => ({
      ...segment,
      file: at === 0 ? first : second,
    }));
    writeFileSync(record, JSON.stringify(old));
    expect(await linesOf({ home })).toEqual(ALL);
    renameSync(home, `${home}-moved`);
    expect(await linesOf({ home: `${home}-moved` })).toEqual(ALL);
  });
});

test("a copy of the daemon's folder without its logs deletes none of the original's files", async () => {
  const parent = temporaryFolder();
  const home = join(parent, "original");
  const files = await written(home);
  const record = join(home, "record.json");
  const absolute = (JSON.parse(readText(record)) as StoredSegment[]).map(({ dir: _, ...segment }, at) => ({
    ...segment,
    file: files[at] ?? "",
  }));
  const copy = join(parent, "copy");
  mkdirSync(copy);
  writeFileSync(join(copy, "record.json"), JSON.stringify(absolute));
  for (let start = 0; start < 3; start++) await write({ home: copy, keepFiles: 1 }, "new");
  expect(readdirSync(join(copy, "logs"))).toHaveLength(1);
  expect(files.filter((file) => !existsSync(file))).toEqual([]);
  expect(await linesOf({ home })).toEqual(ALL);
});
