import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chownSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon } from "../support/daemon.ts";
import { isRoot, removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";
import { asNobody, NOBODY } from "../support/other-user.ts";
import { requireBinary, root } from "../support/paths.ts";

/** The built daemon where it, or one of its instances, cannot listen: each reason in words. */

setDefaultTimeout(60_000);
removeFoldersAfterEach();

const PRIVILEGED_PORT = 81;

/** Containers often allow every port to every user. */
const isPrivileged = (): boolean => {
  if (process.platform !== "linux") return false;
  return Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8")) > PRIVILEGED_PORT;
};

const under = isRoot ? asNobody : [];
const folder = (): string => {
  const dir = temporaryFolder();
  if (isRoot) chownSync(dir, NOBODY, NOBODY);
  return dir;
};

/** Runs until it says that it listens, or why it does not. */
const boot = async (env: Record<string, string>, before: string[] = []): Promise<{ code: number; text: string }> => {
  const dir = folder();
  const child = Bun.spawn([...before, requireBinary(), "serve"], {
    cwd: dir,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    env: {
      PATH: process.env.PATH ?? "",
      HOME: dir,
      API_KEY: crypto.randomUUID(),
      HOST: "127.0.0.1",
      PORT: "0",
      ...env,
    },
  });
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of child.stderr) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes(" listens on ")) child.kill();
  }
  return { code: await child.exited, text };
};

describe("a daemon that cannot listen says why, and what to change", () => {
  const refused: Record<string, [HOST: string, PORT: string, told: string]> = {
    "at an address of another machine": [
      "192.0.2.1",
      "8001",
      "cannot listen on 192.0.2.1:8001: this machine does not have that address. Change HOST; 0.0.0.0 is all",
    ],
    "at an IPv6 address of another machine": [
      "2001:db8::1",
      "8001",
      "cannot listen on [2001:db8::1]:8001: this machine does not have that address. Change HOST;",
    ],
    "at an address of many machines": [
      "ff02::1",
      "8001",
      "cannot listen on [ff02::1]:8001: no program can listen on such an address. Change HOST;",
    ],
    "at an address with a zone": ["::1%lo", "0", "an address with a zone ('%…') cannot be listened on. Change HOST;"],
    "at an address with a zone that there is not": ["fe80::1%nope", "8001", "an address with a zone ('%…') cannot"],
    "at a name that there is not": ["no-such-host.invalid", "8001", ":8001: no such host. Change HOST."],
  };
  for (const [name, [HOST, PORT, told]] of Object.entries(refused)) {
    test(name, async () => {
      const { code, text } = await boot({ HOST, PORT });
      expect([code, text]).toEqual([1, expect.stringContaining(told)]);
      expect(text.trimEnd().split("\n")).toHaveLength(1);
    });
  }

  test.skipIf(!isPrivileged())("at a port that is root's, and so does an instance, once", async () => {
    const { code, text } = await boot({ PORT: String(PRIVILEGED_PORT) }, under);
    expect([code, text]).toEqual([
      1,
      expect.stringContaining(
        `cannot listen on 127.0.0.1:${PRIVILEGED_PORT}: not permitted: ports below 1024 are for root. Change PORT, or`,
      ),
    ]);
    await using daemon = await TestDaemon.start({ dir: folder(), under });
    const config = { model: "/dev/null", alias: "a", api_key: "k", port: PRIVILEGED_PORT };
    const { id } = await daemon.create(config);
    const { status, body } = await daemon.start(id);
    expect([status, body.detail]).toEqual([
      500,
      expect.stringContaining(
        `cannot listen on port ${PRIVILEGED_PORT}: not permitted: ports below 1024 are for root.`,
      ),
    ]);
    expect(daemon.stderr).not.toContain("taken by another program");
    expect(await daemon.get(id)).toMatchObject({ status: "failed", retry_count: 1 });
  });
});

test("a boot with too few descriptors says which limit to raise, at each file that it may be about to open", async () => {
  const texts: string[] = [];
  // From the fewest with which the runtime comes up at all.
  for (let files = 6; files < 64; files++) {
    const { text } = await boot({}, ["bash", "-c", `ulimit -n ${files}; exec "$0" "$@"`]);
    if (text.includes(" listens on ")) break;
    texts.push(text);
  }
  const ofLimit = texts.filter((text) => /EMFILE|too many files/.test(text));
  expect(ofLimit.length).toBeGreaterThan(0);
  for (const text of ofLimit) expect(text).toContain("raise the limit of open files (ulimit -n");
});

test("an instance that is given the daemon's own port is told whose that is", async () => {
  await using daemon = await TestDaemon.start();
  const { id } = await daemon.createFake({}, { port: daemon.port });
  const { status, body } = await daemon.start(id);
  expect([status, body.detail]).toEqual([
    500,
    `Failed to start instance: address in use: port ${daemon.port} is taken by this daemon itself: it is the PORT of its own API`,
  ]);
});

test("without a descriptor left neither daemon nor instance takes the port for another program's", async () => {
  const script = join(root, "test/fixtures/listen-without-descriptors.ts");
  const { stdout } = Bun.spawnSync(["bash", "-c", 'ulimit -n 100; exec "$0" "$1"', process.execPath, script]);
  const told = expect.stringContaining("too many files are open: raise the limit of open files");
  expect(JSON.parse(stdout.toString())).toEqual({
    full: { daemon: [told, told], instance: [told, told] },
    again: { daemon: ["listens", "listens"], instance: ["has a port", "has a port"] },
  });
});
