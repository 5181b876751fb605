import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { llamacppDefinition } from "../../src/contract/index.ts";
import { ConfigFile } from "../../src/store/config-file.ts";
import { without } from "../../src/store/kept-keys.ts";
import { ConfigFileError, loadConfig } from "../../src/store/load-config.ts";
import { asUtc, type StoredInstance } from "../../src/store/stored-instance.ts";
import { removeFoldersAfterEach, temporaryFolder } from "../support/folder.ts";

removeFoldersAfterEach();

const fileWith = (content: unknown): string => {
  const path = join(temporaryFolder(), "config.json");
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content, null, 2));
  return path;
};

const problemOf = (content: string): string => {
  try {
    loadConfig(fileWith(content));
  } catch (error) {
    if (error instanceof ConfigFileError) return error.message.replaceAll(/\/\S*\/config/g, "config");
    throw error;
  }
  return "none";
};

/** As the Python program writes it. */
const pythonEntry = {
  id: "2f0d5c53-6a0e-4f6c-9b52-4f6f1f1f0a01",
  config: {
    backend_type: "llamacpp",
    model: "/models/llama-3-8b.gguf",
    alias: "llama-3:8b",
    threads: 4,
    n_gpu_layers: 999,
    temp: 0.7,
    top_p: 0.9,
    top_k: 40,
    min_p: 0.05,
    ctx_size: 8192,
    chat_template_file: null,
    special: false,
    host: "0.0.0.0",
    port: null,
    api_key: "instance-key",
    priority: 0,
  },
  status: "running",
  port: 3500,
  pid: 4242,
  created_at: "2025-10-01T08:30:00.123456+00:00",
  started_at: "2025-10-02T09:00:00.654321+00:00",
  error_message: null,
  retry_count: 0,
  supported_endpoints: ["/v1/chat/completions", "/v1/completions"],
};

const nothingKept = { unreadable: [], top: {} };

const stored = (id: string, changes: Partial<StoredInstance> = {}): StoredInstance => ({
  id,
  config: llamacppDefinition.request.parse(pythonEntry.config),
  status: "stopped",
  desired: "stopped",
  failure: null,
  restarts: 0,
  port: null,
  pid: null,
  created_at: "2025-11-24T00:00:00.000Z",
  started_at: null,
  error_message: null,
  retry_count: 0,
  supported_endpoints: [],
  kept: { entry: {}, config: {} },
  ...changes,
});

describe("a config.json of the Python program", () => {
  test("loads unchanged: what ran should run again", () => {
    const { instances, unreadable, problems } = loadConfig(fileWith({ instances: [pythonEntry] }));
    expect([unreadable, problems]).toEqual([[], []]);
    expect(instances).toHaveLength(1);
    expect(instances[0]).toMatchObject({
      id: pythonEntry.id,
      config: pythonEntry.config as never,
      status: "running",
      desired: "running",
      port: 3500,
      pid: 4242,
      created_at: "2025-10-01T08:30:00.123456+00:00",
      started_at: "2025-10-02T09:00:00.654321Z",
    });
  });

  test("from before there were backends loads as llamacpp, its defaults filled in", () => {
    const config = { model: "/m.gguf", alias: "old", api_key: "k", threads: 2 };
    const { instances } = loadConfig(fileWith({ instances: [{ ...pythonEntry, config }] }));
    expect(instances[0]?.config).toMatchObject({
      backend_type: "llamacpp",
      model: "/m.gguf",
      alias: "old",
      threads: 2,
      n_gpu_layers: 999,
      temp: 1,
      top_p: 1,
      top_k: 0,
      min_p: 0,
      ctx_size: 131_072,
      chat_template_file: null,
      special: false,
      host: "0.0.0.0",
      port: null,
      api_key: "k",
      priority: 0,
    });
  });

  test("has times without a zone, which are UTC", () => {
    const entry = { ...pythonEntry, created_at: "2025-10-01T08:30:00.123456", started_at: "2025-10-02T09:00:00" };
    const { instances } = loadConfig(fileWith({ instances: [entry] }));
    expect(instances[0]?.created_at).toBe("2025-10-01T08:30:00.123456");
    expect(instances[0]?.started_at).toBe("2025-10-02T09:00:00Z");
  });

  test("may lack all that the API shows besides id and config", () => {
    const { instances } = loadConfig(fileWith({ instances: [{ id: "a", config: pythonEntry.config }] }));
    expect(instances[0]).toMatchObject({ status: "stopped", desired: "stopped", port: null, retry_count: 0 });
    expect(Number.isNaN(Date.parse(instances[0]?.created_at ?? ""))).toBe(false);
  });

  test("with statuses that were in between: what was starting should run, what was stopping should not", () => {
    const statuses = ["running", "starting", "stopping", "stopped", "failed", "what?"];
    const entries = statuses.map((status) => ({ ...pythonEntry, id: status, status }));
    const { instances } = loadConfig(fileWith({ instances: entries }));
    expect(instances.map(({ desired }) => desired)).toEqual([
      "running",
      "running",
      "stopped",
      "stopped",
      "stopped",
      "stopped",
    ]);
  });
});

test("a stored time is answered in UTC, with all its digits", () => {
  const utc = "2025-10-01T08:30:00.123456Z";
  const forms = [
    "2025-10-01T08:30:00.123456",
    "2025-10-01 08:30:00.123456",
    ...["Z", "+00:00", "-00:00", "+0000"].map((zone) => `2025-10-01T08:30:00.123456${zone}`),
  ];
  expect(forms.map(asUtc)).toEqual(forms.map(() => utc));
  expect(asUtc("2025-10-01T10:30:00.123456+02:00")).toBe("2025-10-01T08:30:00.123Z");
  expect(["long ago", "", "Z"].map(asUtc)).toEqual(["long ago", "", "Z"]);
});

describe("entries that cannot be understood", () => {
  const broken = [
    { ...pythonEntry, id: "other", config: { ...pythonEntry.config, backend_type: "tensorrt", secret: "kept" } },
    { config: pythonEntry.config },
    "a string",
    null,
    { ...pythonEntry, id: "threads", config: { ...pythonEntry.config, threads: "many", api_key: 17 } },
    pythonEntry,
  ];

  test("are kept, told of with their place, and the others load", () => {
    const path = fileWith({ instances: [pythonEntry, ...broken] });
    const { instances, unreadable, problems } = loadConfig(path);
    expect(instances.map(({ id }) => id)).toEqual([pythonEntry.id]);
    expect(unreadable).toEqual(broken);
    expect(problems.map((problem) => problem.replace(path, "").replace(/; it is kept.*/, ""))).toEqual([
      ": instances[1] (id other) config.backend_type: Input should be one of 'llamacpp', 'huggingface_causal', 'huggingface_classification'",
      ": instances[2] has no id",
      ": instances[3] is not an object",
      ": instances[4] is not an object",
      ": instances[5] (id threads) config.threads: Input should be a whole number; config.api_key: Input should be a string",
      `: instances[6] repeats id ${pythonEntry.id}`,
    ]);
  });

  test("are still there, as they were, after a save", async () => {
    const path = fileWith({ instances: [pythonEntry, ...broken] });
    const { instances, unreadable } = loadConfig(path);
    await new ConfigFile(path, { unreadable, top: {} }, () => instances).save();
    const again = JSON.parse(readFileSync(path, "utf8"));
    expect(again.instances.slice(1)).toEqual(broken);
    expect(loadConfig(path).unreadable).toEqual(broken);
  });
});

describe("a file that is no config", () => {
  test("is empty only where it does not exist", () => {
    const loaded = loadConfig(join(temporaryFolder(), "config.json"));
    expect(loaded).toEqual({ instances: [], unreadable: [], problems: [], top: {} });
    expect(problemOf("")).toStartWith("config.json:1:1: the file is empty. Mend it");
    expect(problemOf(" \n")).toContain("the file is empty");
  });

  test("is refused with line and column, and without what stands there", () => {
    const text = '{\n  "instances": [\n    {"id": "a", "config": {"api_key": "secret"},,}\n  ]\n}\n';
    const problem = problemOf(text);
    expect(problem).toMatch(/^config\.json:3:\d+: [^:]+: not valid JSON\. Mend it/);
    // The parser's own names, such as CommaExpected.
    expect(problem).not.toMatch(/[a-z][A-Z]\w+:/);
    expect(problem).not.toContain("secret");
  });

  test("is refused with the way back to the last good copy, where there is one", async () => {
    const path = fileWith({ instances: [pythonEntry] });
    const { instances } = loadConfig(path);
    await new ConfigFile(path, nothingKept, () => instances).save();
    writeFileSync(path, "");
    expect(() => loadConfig(path)).toThrow(`cp '${path}.bak' '${path}'`);
    writeFileSync(path, readFileSync(`${path}.bak`));
    expect(loadConfig(path).instances).toHaveLength(1);
  });

  test("is refused where it is gone and its copy is not, with the way back and the way to start anew", async () => {
    const path = join(temporaryFolder(), "config.json");
    expect(loadConfig(path).instances).toEqual([]);
    await new ConfigFile(path, nothingKept, () => [stored("a")]).save();
    rmSync(path);
    const refused = () => loadConfig(path);
    expect(refused).toThrow(ConfigFileError);
    expect(refused).toThrow(`cp '${path}.bak' '${path}'\n`);
    expect(refused).toThrow(`rm '${path}.bak'`);
    rmSync(`${path}.bak`);
    expect(loadConfig(path).instances).toEqual([]);
  });

  test("is refused where the folder that it is linked into is gone, as of a disk that is not mounted", () => {
    const path = join(temporaryFolder(), "config.json");
    const elsewhere = join(temporaryFolder(), "disk");
    symlinkSync(join(elsewhere, "config.json"), path);
    expect(() => loadConfig(path)).toThrow(ConfigFileError);
    mkdirSync(elsewhere);
    expect(loadConfig(path).instances).toEqual([]);
  });

  test("is refused where it was cut off", () => {
    const text = JSON.stringify({ instances: [pythonEntry] }, null, 2);
    expect(problemOf(text.slice(0, text.length / 2))).toMatch(/^config\.json:\d+:\d+: /);
  });

  test("is refused where its bytes are not UTF-8, with their place, and is left as it is: a broken one, a cut one, UTF-16", () => {
    const text = JSON.stringify({ instances: [{ id: "a", config: { model: "/é/m.gguf" } }] }, null, 2);
    const at = text.indexOf("é");
    const place = `${text.slice(0, at).split("\n").length}:${at - text.lastIndexOf("\n", at)}`;
    const files: [Buffer, string][] = [
      [Buffer.from(text, "latin1"), `${place}: not UTF-8; save the file as UTF-8. Mend it`],
      [Buffer.concat([Buffer.from(text.slice(0, at)), Buffer.of(0xc3)]), `${place}: not UTF-8`],
      [Buffer.from(`\ufeff${text}`, "utf16le"), "1:1: UTF-16; save the file as UTF-8"],
      [Buffer.from(`\ufeff${text}`, "utf16le").swap16(), "1:1: UTF-16; save the file as UTF-8"],
    ];
    for (const [bytes, problem] of files) {
      const path = fileWith("");
      writeFileSync(path, bytes);
      expect(() => loadConfig(path)).toThrow(`${path}:${problem}`);
      expect(readFileSync(path).equals(bytes)).toBe(true);
    }
  });

  test("may begin with a byte order mark", () => {
    const { instances } = loadConfig(fileWith(`\ufeff${JSON.stringify({ instances: [pythonEntry] })}`));
    expect(instances).toHaveLength(1);
  });

  test("is refused where it is JSON of another kind", () => {
    for (const text of ["[]", "null", '"x"', "{}", '{"instances": {}}', '{"instances": null}']) {
      expect([text, problemOf(text)]).toEqual([text, expect.stringContaining('expected {"instances": [...]}')]);
    }
  });

  test("is refused where it cannot be read", () => {
    expect(() => loadConfig(temporaryFolder())).toThrow(
      /^cannot read the configuration: '.*' is a folder and no file$/,
    );
  });

  test("is left as it is", () => {
    const path = fileWith("{broken");
    expect(() => loadConfig(path)).toThrow(ConfigFileError);
    expect(readFileSync(path, "utf8")).toBe("{broken");
  });
});

describe("saving", () => {
  test("writes what the contract says: an object, two blanks, for its owner alone", async () => {
    const path = join(temporaryFolder(), "config.json");
    await new ConfigFile(path, nothingKept, () => [stored("a")]).save();
    const text = readFileSync(path, "utf8");
    expect(text).toStartWith('{\n  "instances": [\n    {\n      "id": "a",\n      "config": {\n');
    expect(text).toEndWith("}\n");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(`${path}.bak`, "utf8")).toBe(text);
  });

  test("can be loaded again, with what should be", async () => {
    const path = join(temporaryFolder(), "config.json");
    const instances = [
      stored("a", { status: "failed", error_message: "no", retry_count: 2, desired: "running" }),
      stored("b", { status: "running", desired: "stopped", port: 1, pid: 2, started_at: "2025-11-24T00:00:01.000Z" }),
    ];
    await new ConfigFile(path, nothingKept, () => instances).save();
    expect(loadConfig(path).instances).toEqual(instances);
  });

  test("keeps what is another program's as it is: at the top, in an entry, in its config, in an entry that cannot be read", async () => {
    const text = JSON.stringify(
      {
        version: 2,
        instances: [
          {
            ...pythonEntry,
            config: { ...pythonEntry.config, priority: "production", ngl_hint: [1, { a: null }], seed: "BIG" },
            managed_by: "solar-control",
            intent_id: "BIG",
            priority: "staging",
            roles: ["chat"],
          },
          { id: "b", config: { backend_type: "new" }, x: "BIG" },
        ],
        roles: { chat: [pythonEntry.id], "": null, n: 1.5 },
        id: "BIG",
      },
      null,
      2,
    ).replaceAll('"BIG"', "12345678901234567890");
    const path = fileWith(text.replace('"version"', '"__proto__": {"x": 1}, "version"'));
    const loaded = loadConfig(path);
    expect([loaded.instances[0]?.config.priority, loaded.problems.length]).toEqual([0, 1]);
    const before = readFileSync(path, "utf8");
    await new ConfigFile(path, loaded, () => loaded.instances).save();
    const after = readFileSync(path, "utf8");
    expect(after.match(/12345678901234567890/g)).toHaveLength(4);
    const { instances, ...top } = JSON.parse(after);
    const { instances: instancesBefore, ...topBefore } = JSON.parse(before);
    expect(top).toEqual(topBefore);
    expect(after).toContain('"__proto__": {');
    expect(instances[0]).toMatchObject(without(instancesBefore[0], ["started_at", "supported_endpoints"]));
    expect(instances[1]).toEqual(instancesBefore[1]);
  });

  test("gives a priority that is a word up for a number that was set since", async () => {
    const config = { ...pythonEntry.config, priority: "production" };
    const path = fileWith({ instances: [{ ...pythonEntry, config }] });
    const loaded = loadConfig(path);
    const [instance] = loaded.instances;
    if (instance === undefined) throw new Error("it was not loaded");
    instance.config = { ...instance.config, priority: 3 };
    await new ConfigFile(path, loaded, () => loaded.instances).save();
    expect(loadConfig(path).instances[0]?.config.priority).toBe(3);
  });

  test("asked for many times at once writes what is true at the end, and few times", async () => {
    const path = join(temporaryFolder(), "config.json");
    let n = 0;
    let snapshots = 0;
    const file = new ConfigFile(path, nothingKept, () => {
      snapshots += 1;
      return [stored(`instance-${n}`)];
    });
    await Promise.all(
      Array.from({ length: 50 }, () => {
        n += 1;
        return file.save();
      }),
    );
    expect(loadConfig(path).instances[0]?.id).toBe("instance-50");
    expect(snapshots).toBeLessThanOrEqual(3);
  });

  test("resolves only when what was true at the call is on the disk", async () => {
    const path = join(temporaryFolder(), "config.json");
    let n = 0;
    const file = new ConfigFile(path, nothingKept, () => [stored(String(n))]);
    const saves = Array.from({ length: 20 }, (_, at) => {
      n = at;
      return file.save().then(() => {
        expect(Number(loadConfig(path).instances[0]?.id)).toBeGreaterThanOrEqual(at);
      });
    });
    await Promise.all(saves);
  });

  test("writes nothing where nothing has changed, and all of it where a person has changed the files meanwhile", async () => {
    const path = join(temporaryFolder(), "config.json");
    const file = new ConfigFile(path, nothingKept, () => [stored("a")]);
    await file.save();
    const { ino } = statSync(path);
    await file.save();
    expect(statSync(path).ino).toBe(ino);
    const text = readFileSync(path, "utf8");
    const changes = [
      () => rmSync(path),
      () => rmSync(`${path}.bak`),
      () => writeFileSync(path, "{}"),
      () => writeFileSync(`${path}.bak`, text.replace('"a"', '"b"')),
    ];
    for (const change of changes) {
      change();
      await file.save();
      expect([readFileSync(path, "utf8"), readFileSync(`${path}.bak`, "utf8")]).toEqual([text, text]);
    }
  });

  test("that failed does not keep the next one from working", async () => {
    const dir = join(temporaryFolder(), "later");
    const path = join(dir, "config.json");
    const file = new ConfigFile(path, nothingKept, () => [stored("a")]);
    const [first, second] = await Promise.allSettled([file.save(), file.save()]);
    expect([first?.status, second?.status]).toEqual(["rejected", "rejected"]);
    await Bun.write(join(dir, "made"), "");
    await file.save();
    expect(loadConfig(path).instances[0]?.id).toBe("a");
  });
});
