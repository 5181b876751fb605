import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { KEY, TestDaemon } from "../support/daemon.ts";
import { root } from "../support/paths.ts";

/**
 * A copy of the project to which a backend was added as src/README.md says: its folder, its fields, and a line in each
 * of the two lists. Whatever else named the backends would make these tests fail.
 */

setDefaultTimeout(60_000);

const FIXTURE = "test/fixtures/backend-echo";

let copy = "";
let daemon: TestDaemon;

/** @param end of the list */
const addTo = (path: string, name: string, from: string, end: string): void => {
  const text = readFileSync(join(copy, path), "utf8");
  if (text.split(`\n${end}`).length !== 2) throw new Error(`${path} has no list that ends with '${end}'`);
  const listed = text.replace(`\n${end}`, `\n  ${name},\n${end}`);
  writeFileSync(join(copy, path), `import { ${name} } from "${from}";\n${listed}`);
};

const run = async (argv: string[], env: Record<string, string> = {}) => {
  const child = Bun.spawn(argv, { cwd: copy, env: { ...process.env, ...env }, stdout: "pipe", stderr: "pipe" });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { out, err, code };
};

const ctl = async (...args: string[]) => {
  const { out, err, code } = await run([join(copy, "dist/solar-host"), "ctl", ...args], {
    SOLAR_HOST_URL: daemon.url,
    SOLAR_HOST_API_KEY: KEY,
  });
  return { out, err, code };
};

beforeAll(async () => {
  copy = mkdtempSync(join(tmpdir(), "solar-host-test-"));
  for (const part of ["src", "scripts", FIXTURE, "README.md", "package.json", "tsconfig.json"]) {
    cpSync(join(root, part), join(copy, part), { recursive: true });
  }
  for (const part of ["node_modules", "pyserver"]) symlinkSync(join(root, part), join(copy, part));
  addTo("src/contract/backends/index.ts", "echoDefinition", `../../../${FIXTURE}/definition.ts`, "] as const;");
  addTo("src/backends/index.ts", "echo", `../../${FIXTURE}/index.ts`, "]);");
  const built = await run([process.execPath, "scripts/build.ts"]);
  if (built.code !== 0) throw new Error(built.err);
  daemon = await TestDaemon.start({
    binary: join(copy, "dist/solar-host"),
    // The backend's program is bun.
    env: { PATH: `${dirname(process.execPath)}:${process.env.PATH}` },
  });
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  rmSync(copy, { recursive: true, force: true });
});

test("the types are right", async () => {
  writeFileSync(
    join(copy, "tsconfig.copy.json"),
    JSON.stringify({ extends: "./tsconfig.json", include: ["src", "scripts/openapi.ts", FIXTURE] }),
  );
  expect(await run(["node_modules/.bin/tsc", "--project", "tsconfig.copy.json"])).toEqual({
    out: "",
    err: "",
    code: 0,
  });
});

test("ctl creates an instance of it, which runs and answers", async () => {
  const script = join(copy, FIXTURE, "server.ts");
  const flags = ["--script", script, "--alias", "e", "--greeting", "good day", "--host", "127.0.0.1", "--wait"];
  const { out, err, code } = await ctl("create", "echo", ...flags);
  expect({ err, code }).toEqual({ err: expect.stringContaining("e runs on port"), code: 0 });
  const instance = await daemon.get(out.trim());
  expect(instance).toMatchObject({
    status: "running",
    config: { backend_type: "echo", script, greeting: "good day" },
    supported_endpoints: ["/v1/chat/completions", "/echo"],
  } as object);
  expect(await (await fetch(`http://127.0.0.1:${instance.port}/echo`)).text()).toBe("good day");
});

test("a file that is not there is told by its field, and a death by the reason that the backend finds", async () => {
  const missing = await daemon.create({ backend_type: "echo", script: "/no/such.ts", alias: "m", api_key: "k" });
  expect((await daemon.start(missing.id)).body.detail).toMatch(/script: no such file: '\/no\/such\.ts'/);
  const script = join(copy, FIXTURE, "server.ts");
  const config = { backend_type: "echo", script, alias: "d", api_key: "k", greeting: "silence", host: "127.0.0.1" };
  const { id } = await daemon.create(config);
  expect((await daemon.start(id)).body.detail).toContain("echo: cannot say silence");
  expect(await daemon.get(id)).toMatchObject({ status: "failed", retry_count: 1 });
});

test("the daemon tells of it: what it supports, what is wrong with a config, and the description of the API", async () => {
  expect((await daemon.request<{ supported_backends: string[] }>("GET", "/")).body.supported_backends).toContain(
    "echo",
  );
  const refused = await daemon.request("POST", "/instances", {
    config: { script: "/s.ts ", alias: "x", api_key: "k" },
  });
  expect(refused).toMatchObject({ status: 422, body: { detail: [{ loc: ["body", "config", "script"] }] } });
  const { body } = await daemon.request<object>("GET", "/openapi.json");
  expect(body).toMatchObject({
    components: {
      schemas: {
        EchoConfig: {},
        InstanceConfig: { discriminator: { mapping: { echo: "#/components/schemas/EchoConfig" } } },
      },
    },
    paths: {
      "/instances": {
        post: {
          requestBody: {
            content: { "application/json": { examples: { echo: { value: { config: { alias: "echo:1" } } } } } },
          },
        },
      },
    },
  });
});

test("the tab key offers its flags, files and fields", async () => {
  const complete = async (...words: string[]) =>
    (await run([join(copy, "dist/solar-host"), "ctl", "__complete", ...words])).out;
  expect(await complete("ctl", "create", "ec")).toContain("echo");
  expect(await complete("ctl", "create", "echo", "--greet")).toContain("--greeting");
  expect(await complete("ctl", "create", "echo", "--script", "")).toBe(":files\n");
  expect(await complete("ctl", "edit", "x", "--set", "greet")).toContain("greeting=");
});

test("the README has its fields and endpoints once ./scripts/openapi has run", async () => {
  expect((await run([process.execPath, "scripts/openapi.ts"])).code).toBe(0);
  const readme = readFileSync(join(copy, "README.md"), "utf8");
  expect(readme).toContain("### Echo\n\n| Field | Takes | Default | Meaning |");
  expect(readme).toContain("| `greeting` | string | `hello` | What it answers with |");
  expect(readme).toContain("| `echo` | `/v1/chat/completions` `/echo` |");
});
