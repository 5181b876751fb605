import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon } from "../support/daemon.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";
import { requireBinary } from "../support/paths.ts";

setDefaultTimeout(60_000);
removeFoldersAfterEach();

/** `serve` where it should not be: in the folder of another program. */

const web = "DATABASE_URL=postgres://x\nPORT=0\n";
const ENV = { PATH: process.env.PATH ?? "", HOST: "127.0.0.1" };

/** A start that is refused, and what the folder is afterwards: each name with its mode and text. */
const refused = (dir: string, env: Record<string, string> = {}, args: string[] = []) => {
  const { exitCode, stderr } = Bun.spawnSync([requireBinary(), "serve", ...args], {
    cwd: dir,
    env: { ...ENV, HOME: dir, ...env },
    timeout: 20_000,
  });
  return { code: exitCode, said: stderr.toString() };
};

const contents = (dir: string): [string, string, string][] =>
  readdirSync(dir)
    .sort()
    .map((name) => {
      const path = join(dir, name);
      const stat = statSync(path);
      return [name, (stat.mode & 0o777).toString(8), stat.isFile() ? readFileSync(path, "utf8") : "a folder"];
    });

const folderWith = (files: Record<string, string>): string => {
  const dir = temporaryFolder();
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(dir, name), text);
    chmodSync(join(dir, name), 0o644);
  }
  return dir;
};

describe("a start that is refused changes nothing in the folder", () => {
  const cases: [string, Record<string, string>, Record<string, string>][] = [
    ["for a config.json of another program", { ".env": `${web}API_KEY=theirs\n`, "config.json": '{"port": 1}' }, {}],
    ["for a broken config.json", { ".env": "API_KEY=ours\n", "config.json": "{" }, {}],
    ["for a .env of another program without a key", { ".env": web }, {}],
    ["for a key that is none", { ".env": "API_KEY=\n" }, { HOST: "0.0.0.0" }],
    ["for a setting that is wrong", { ".env": "API_KEY=ours\nPORT=many\n" }, {}],
  ];
  for (const [name, files, env] of cases) {
    test(name, () => {
      const dir = folderWith(files);
      const before = contents(dir);
      const { code, said } = refused(dir, env);
      expect([[1, 2].includes(code), said.trim().split("\n").length]).toEqual([true, 1]);
      expect(contents(dir)).toEqual(before);
    });
  }

  test("and of a foreign .env it says whose it seems to be and where to go", () => {
    const { code, said } = refused(folderWith({ ".env": web }));
    expect([code, said]).toEqual([2, expect.stringContaining("it names DATABASE_URL")]);
    expect(said).toContain("--dir");
  });
});

test("a foreign .env is not made ours by what a daemon of another folder left beside CONFIG_FILE", async () => {
  const parent = temporaryFolder();
  mkdirSync(join(parent, "other"));
  await using other = await TestDaemon.start({ dir: join(parent, "other") });
  await other.end();
  mkdirSync(join(parent, "web"));
  writeFileSync(join(parent, "web/.env"), web);
  const { code, said } = refused(join(parent, "web"), {}, ["--config-file", "../other/config.json"]);
  expect([code, said]).toEqual([2, expect.stringContaining("it names DATABASE_URL")]);
  expect(readdirSync(join(parent, "web"))).toEqual([".env"]);
});

test("nor by the lock of a file that a daemon of another folder writes by a link", async () => {
  const parent = temporaryFolder();
  for (const name of ["web", "linked"]) mkdirSync(join(parent, name));
  writeFileSync(join(parent, "web/.env"), web);
  symlinkSync("../web/instances.json", join(parent, "linked/config.json"));
  await using linked = await TestDaemon.start({ dir: join(parent, "linked") });
  expect(readdirSync(join(parent, "web"))).toContain(".solar-host");
  expect(refused(join(parent, "web"))).toEqual({ code: 2, said: expect.stringContaining("it names DATABASE_URL") });
  expect(readFileSync(join(parent, "web/.env"), "utf8")).toBe(web);
  expect(linked.stderr).toContain("listens on");
});

test("a .env that was served with CONFIG_FILE elsewhere is ours the next time too", async () => {
  const parent = temporaryFolder();
  for (const name of ["served", "data"]) mkdirSync(join(parent, name));
  const text = `CONFIG_FILE=${join(parent, "data/config.json")}\nHF_TOKEN=x\nPORT=0\n`;
  writeFileSync(join(parent, "served/.env"), text);
  await using first = await TestDaemon.start({ dir: join(parent, "served") });
  await first.end();
  await using next = await TestDaemon.start({ dir: join(parent, "served"), under: ["env", "-u", "API_KEY"] });
  expect(next.stderr).toContain("so one was made and written to");
});

test("what cannot be read at the boot is said in words", () => {
  for (const [name, args] of [
    [".env", []],
    ["config.json", []],
    ["key", ["--api-key-file", "key"]],
  ] as const) {
    const dir = temporaryFolder();
    mkdirSync(join(dir, name));
    const { code, said } = refused(dir, {}, [...args]);
    expect([code > 0, said]).toEqual([
      true,
      expect.stringMatching(new RegExp(`cannot read .*${name}' is a folder and no file`)),
    ]);
  }
});

describe("a .env that holds the key", () => {
  const env = { API_KEY: "", PORT: "0" };
  const start = (dir: string) => {
    const { API_KEY: _, ...others } = env;
    return TestDaemon.start({ dir, env: others, under: ["env", "-u", "API_KEY"] });
  };

  test("is made its owner's alone, and that is said", async () => {
    const dir = folderWith({ ".env": "API_KEY=test-key\n" });
    await using daemon = await start(dir);
    expect(daemon.stderr).toContain("others could read it (mode 644): its mode is 600 now");
    expect(statSync(join(dir, ".env")).mode & 0o777).toBe(0o600);
    expect(daemon.stderr).not.toContain("test-key");
  });

  test("and is another program's stays as it is, and what is taken from it is said", async () => {
    const dir = folderWith({ ".env": `${web}API_KEY=test-key\n` });
    const before = contents(dir);
    await using daemon = await start(dir);
    expect(daemon.stderr).toContain(".env is read for PORT, API_KEY, though it seems to be another program's");
    expect(daemon.stderr).toContain("is left as it is");
    expect(contents(dir).find(([name]) => name === ".env") as unknown).toEqual(before[0]);
  });
});

describe("serve --dir", () => {
  test("serves that folder, with its .env, and relative flags begin there", async () => {
    const dir = temporaryFolder();
    mkdirSync(join(dir, "served"));
    writeFileSync(join(dir, "served/.env"), "LOG_FORMAT=json\n");
    await using daemon = await TestDaemon.start({ dir, args: ["--dir", "served", "--log-dir", "its-logs"] });
    expect(daemon.stderr).toStartWith('{"time"');
    expect(readdirSync(join(dir, "served"))).toEqual(expect.arrayContaining(["its-logs", ".solar-host"]));
    expect(readdirSync(dir)).not.toContain("its-logs");
  });

  test("is a path as a shell reads it, as that of the key file is", async () => {
    const dir = temporaryFolder();
    mkdirSync(join(dir, "served"));
    writeFileSync(join(dir, "key"), "key-of-the-tests-3f9a");
    await using daemon = await TestDaemon.start({
      dir,
      args: ["--dir=~/served", "--api-key-file=~/key"],
      under: ["env", "-u", "API_KEY"],
    });
    expect(readdirSync(join(dir, "served"))).toContain(".solar-host");
    expect((await daemon.request("GET", "/instances")).status).toBe(200);
  });

  test("says which folder it cannot serve", () => {
    const dir = folderWith({ file: "" });
    for (const [given, why] of [
      ["gone", "no such directory"],
      ["file", "not a directory"],
    ]) {
      const { code, said } = refused(dir, {}, ["--dir", given ?? ""]);
      expect([code, said]).toEqual([2, `solar-host: --dir: ${why}: '${given}'\n`]);
    }
  });
});
