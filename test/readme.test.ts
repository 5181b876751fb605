import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { file } from "../scripts/openapi.ts";
import { readReadme, withTables } from "../scripts/readme-tables.ts";
import { expectedAnswer } from "./support/expected.ts";
import { realServer, root, tinyModel } from "./support/paths.ts";

/** The README is true: its tables are what the code says, its links lead somewhere, and its commands work. */

const readme = readReadme();

interface Block {
  language: string;
  /** The heading that it stands under. */
  heading: string;
  text: string;
}

/** The fenced blocks, in order. */
const blocks = (markdown: string): Block[] => {
  const found: Block[] = [];
  let heading = "";
  let open: { language: string; lines: string[] } | null = null;
  for (const line of markdown.split("\n")) {
    const fence = /^\s*```(\w*)\s*$/.exec(line);
    if (open !== null && fence !== null) {
      found.push({ language: open.language, heading, text: open.lines.join("\n") });
      open = null;
    } else if (open !== null) open.lines.push(line);
    else if (fence !== null) open = { language: fence[1] ?? "", lines: [] };
    else heading = /^#+ (.*)$/.exec(line)?.[1] ?? heading;
  }
  return found;
};

test("its tables are what the code says; where they are not: ./scripts/openapi", () => {
  const wanted = withTables(readme, JSON.parse(readFileSync(join(root, file), "utf8")));
  const lines = new Set(readme.split("\n"));
  expect(wanted.split("\n").filter((line) => !lines.has(line))).toEqual([]);
  expect(wanted === readme).toBe(true);
});

test("links lead to files and headings that are there", () => {
  const anchors = [...readme.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
  const links = [...readme.matchAll(/\]\(([^)]+)\)/g)].map(([, link = ""]) => link);
  expect(links.length).toBeGreaterThan(4);
  for (const link of links.filter((one) => !one.startsWith("http"))) {
    if (link.startsWith("#")) expect(anchors).toContain(link.slice(1));
    else expect({ link, there: existsSync(join(root, link)) }).toEqual({ link, there: true });
  }
});

/**
 * The commands, in one shell and in the order in which a person types them, with only names of places
 * replaced. `solar-host serve` goes to the background there, and curl fails where it is answered an error.
 */
describe("the commands", () => {
  interface Step {
    /** The beginning of the block. */
    begins: string;
    /** What is to be in its output. */
    shows: RegExp;
    /** In place of what the block says: names of places, or a command that another test runs. */
    instead?: [string, string][];
    /** What to type for a block that is no command. */
    script?: (text: string) => string;
    /** Where the block is typed; where the one before was unless given. */
    in?: string;
  }

  const expected = expectedAnswer("What is Solar Host?");
  const id = "[0-9a-f-]{36}";
  const answer = (message: string, status: string): RegExp =>
    new RegExp(`"status":"${status}".*"message":"Instance ${id} ${message} successfully"`);
  const models = join(root, "test/fixtures/models");
  const model: [string, string] = ["/path/to/model.gguf", tinyModel];

  const steps: Step[] = [
    {
      begins: "./scripts/quickstart",
      // test/scripts-quickstart.test.ts runs it.
      instead: [
        ["./scripts/quickstart", "./scripts/quickstart --help"],
        [" --hf --once", ""],
      ],
      shows: /(?:Usage: \.\/scripts\/quickstart[\s\S]*--hf +show the HuggingFace backends[\s\S]*){2}/,
      in: root,
    },
    {
      begins: "./scripts/build",
      instead: [
        ["sudo install", "install"],
        ["/usr/local/bin/", "$HOME/bin/"],
      ],
      shows: /==> dist\/solar-host/,
    },
    {
      begins: "mkdir -p ~/solar-host\n",
      shows: /API_KEY was set, so one was made and written to .*\/solar-host\/\.env/,
    },
    {
      begins: "solar-host ctl create",
      instead: [model],
      shows: new RegExp(
        [
          `^${id}$`,
          "^NAME +ID +STATUS[^]*^llama-3:8b +[0-9a-f]{8} +running",
          "^NAME +SLOT +PHASE[^]*^llama-3:8b .*idle",
          // It may answer before its last lines are there.
          "load_model: loading model",
          "^ +ctx_size +4096$",
          '"context": "gpu1",$[^]*"instances": \\[',
        ].join("[^]*"),
        "m",
      ),
    },
    {
      begins: "cd ~/solar-host\nkey=",
      instead: [model],
      shows: new RegExp(`"status":"healthy"[^]*${answer("created", "stopped").source}`),
    },
    {
      begins: 'curl -X POST "http://localhost:8001/instances/$id/start"',
      shows: new RegExp(
        [
          answer("started", "running").source,
          `"content":"${RegExp.escape(expected.answer)}"`,
          '"phase":',
          `"generated_tokens":${expected.completion_tokens},`,
          '"seq":0[^]*model loaded',
        ].join("[^]*"),
      ),
    },
    {
      begins: 'curl -X POST "http://localhost:8001/instances/$id/stop" -H "X-API-Key: $key"\ncurl -X PUT',
      instead: [model],
      shows: /stopped successfully[\s\S]*"ctx_size":4096[\s\S]*updated successfully[\s\S]*restarted successfully/,
    },
    {
      begins: 'curl -X POST "http://localhost:8001/instances/$id/stop" -H "X-API-Key: $key"\ncurl -X DELETE',
      shows: /stopped successfully[\s\S]*deleted successfully/,
    },
    {
      begins: 'const key = "the API key"',
      script: (text) => `
        config='{"model":"${tinyModel}","alias":"for-a-browser","api_key":"k","threads":1,"ctx_size":4096}'
        curl -X POST http://localhost:8001/instances -H "X-API-Key: $key" -d "{\\"config\\":$config}" >created.json
        id=$(sed 's/.*"id":"\\([^"]*\\)".*/\\1/' created.json)
        curl -X POST "http://localhost:8001/instances/$id/start" -H "X-API-Key: $key" >created.json
        sed -e "s/the API key/$key/" -e "s/INSTANCE_ID/$id/" >page.js <<'PAGE'
${text}
socket.addEventListener("message", () => setTimeout(() => process.exit(), 200));
PAGE
        "$BUN" page.js
      `,
      shows: /load_model|model loaded|listening on/,
    },
    {
      begins: "python3 -m venv ~/solar-host/venv",
      // The tests' environment has them.
      instead: [
        ["python3 -m venv ~/solar-host/venv", ":"],
        ["~/solar-host/venv/bin/python -m pip install", '"$PYTHON" -m pip show'],
      ],
      shows: /Name: torch[\s\S]*Name: transformers[\s\S]*Name: httptools/,
    },
    {
      begins: "curl -X POST http://localhost:8001/instances ",
      instead: [
        ["Qwen/Qwen2.5-0.5B-Instruct", join(models, "solar-tiny")],
        ["distilbert-base-uncased-finetuned-sst-2-english", join(models, "solar-sentiment")],
      ],
      shows: new RegExp(Array(2).fill(answer("created", "stopped").source).join("[^]*")),
    },
    {
      begins: "curl http://localhost:3500/v1/chat/completions",
      // Started as above, first the one and then the other, with nothing else on their ports.
      script: (text) => `
        all=$(curl http://localhost:8001/instances -H "X-API-Key: $key" | grep -o '"id":"[^"]*"' | cut -d'"' -f4)
        for one in $all; do curl -X POST "http://localhost:8001/instances/$one/stop" -H "X-API-Key: $key" >stopped.json; done
        for one in $(echo "$all" | tail -n 2); do
          curl -X POST "http://localhost:8001/instances/$one/start?wait=300" -H "X-API-Key: $key" >started.json
        done
${text}`,
      shows: new RegExp(`"content": "${RegExp.escape(expectedAnswer("Hello").answer)}"[\\s\\S]*"label": "positive"`),
    },
    { begins: "solar-host --version", shows: /^\d+\.\d+\.\d+\n[\s\S]*--log-dir/ },
    {
      begins: "mkdir -p ~/solar-host-new",
      instead: [["/path/to/the/old/solar-host/", "$HOME/old/"]],
      shows: /old-model: stopped -> starting/,
    },
    {
      begins: "curl -X POST http://your-control-server:8000/hosts",
      instead: [["http://your-control-server:8000", "http://127.0.0.1:$CONTROL_PORT"]],
      shows: /"registered":"GPU Server 1 at http:\/\/192\.168\.1\.100:8001"/,
    },
    {
      begins: "./scripts/test",
      // It is what runs this.
      instead: [["./scripts/test", "./scripts/test --help"]],
      shows: /ends with a line "N passed, N failed"/,
      in: root,
    },
  ];

  /** `serve` in the background, on a port of its own; waits until it listens, and shows what it said so far. */
  const preamble = `
    end_daemon() {
      if [ -z "\${daemon:-}" ]; then return; fi
      kill "$daemon" && wait "$daemon"
      daemon=
    }
    solar-host() {
      if [ "$*" != serve ]; then command solar-host "$@"; return; fi
      end_daemon
      HOST=127.0.0.1 PORT="$DAEMON_PORT" START_PORT="$MODEL_PORT" command solar-host serve >serve.log 2>&1 &
      daemon=$!
      for _ in $(seq 200); do
        if grep -q "listens on" serve.log || ! kill -0 "$daemon"; then break; fi
        sleep 0.05
      done
      sleep 0.2
      cat serve.log
    }
    curl() {
      local tries=0
      # Figures come with the log, a moment after the answer of the model.
      case "$*" in *last-generation*) tries=50 ;; esac
      until command curl --fail-with-body --silent --show-error "$@"; do
        [ "$tries" -gt 0 ] || return 1
        tries=$((tries - 1))
        sleep 0.1
      done
      echo
    }
    trap end_daemon EXIT
  `;

  const typed = blocks(readme).filter(({ language }) => language === "bash" || language === "js");
  const outputs: string[] = [];
  let home = "";
  let code: number | null = null;
  let stderr = "";

  /** What an old installation holds: no backend_type, times without a zone. */
  const oldInstance = {
    id: "0b7e6a52-3c51-4b55-9a43-6c6f4d0a1e01",
    config: { model: "/models/gone.gguf", alias: "old-model", api_key: "old-instance-key" },
    status: "running",
    created_at: "2025-01-01T00:00:00.000000",
  };

  const script = (ports: { daemon: number; model: number }): string =>
    steps
      .map(({ instead = [], script: wrap = (text) => text, in: folder }, index) => {
        let text = wrap(typed[index]?.text ?? "false");
        for (const [from, to] of instead) {
          if (!text.includes(from)) throw new Error(`'${from}' is not in the block '${text}'`);
          text = text.replaceAll(from, to);
        }
        text = text.replaceAll("localhost:8001", `127.0.0.1:${ports.daemon}`);
        text = text.replaceAll("localhost:3500", `127.0.0.1:${ports.model}`);
        text = text.replaceAll("localhost:3501", `127.0.0.1:${ports.model + 1}`);
        return `echo "@@ ${index}"\n${folder === undefined ? "" : `cd '${folder}'\n`}${text}\n`;
      })
      .join("");

  const freePort = (): number => {
    using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
    return Number(server.port);
  };

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), "solar-host-readme-"));
    for (const folder of ["bin", "old"]) mkdirSync(join(home, folder));
    writeFileSync(join(home, "old/config.json"), JSON.stringify({ instances: [oldInstance] }));
    writeFileSync(join(home, "old/.env"), "API_KEY=of-the-old-one\n");
    using control = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request) {
        const { name, url, api_key } = (await request.json()) as Record<string, string>;
        const right = request.headers.get("x-api-key") === "gateway-key" && api_key === "your-solar-host-api-key";
        return Response.json({ registered: `${name} at ${url}` }, { status: right ? 200 : 401 });
      },
    });
    // Below the ephemeral range and away from other tests' daemons.
    const ports = { daemon: freePort(), model: 31_000 + (process.pid % 500) };
    const child = Bun.spawn(["bash", "-euo", "pipefail", "-c", preamble + script(ports)], {
      env: {
        PATH: `${home}/bin:${process.env.PATH}`,
        HOME: home,
        BUN: process.execPath,
        LLAMA_SERVER: realServer(),
        PYTHON: join(root, ".venv/bin/python"),
        DAEMON_PORT: String(ports.daemon),
        MODEL_PORT: String(ports.model),
        CONTROL_PORT: String(control.port),
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    code = await child.exited;
    stderr = err;
    for (const part of `${out}${err}`.length === 0 ? [] : out.split(/^@@ \d+\n/m).slice(1)) outputs.push(part);
  }, 240_000);

  afterAll(() => rmSync(home, { recursive: true, force: true }));

  test("every block of commands is accounted for, in its order", () => {
    expect(typed.map(({ text }, index) => text.slice(0, steps[index]?.begins.length ?? 40))).toEqual(
      steps.map(({ begins }) => begins),
    );
  });

  test("all of them end well", () => {
    expect({ code, after: outputs.length, stderr: code === 0 ? "" : stderr }).toEqual({
      code: 0,
      after: steps.length,
      stderr: "",
    });
  });

  test.each(steps.map((step, index) => [step.begins.split("\n").at(-1) ?? "", step, index] as const))(
    "%s … shows what is said of it",
    (_, { begins, shows }, index) => {
      // The build speaks on stderr.
      expect(`${outputs[index] ?? "nothing"}${begins === "./scripts/build" ? stderr : ""}`).toMatch(shows);
    },
  );

  test("the binary works in another folder with nothing beside it, and its key is the owner's alone", () => {
    expect(existsSync(join(home, "bin/solar-host"))).toBe(true);
    expect(readFileSync(join(home, "solar-host/.env"), "utf8")).toMatch(/^API_KEY=[\w-]{32}\nPYTHON=\/\S+\n$/);
  });

  test("the old instance is loaded and said to be what it is", () => {
    const { instances } = JSON.parse(readFileSync(join(home, "solar-host-new/config.json"), "utf8")) as {
      instances: { id: string; status: string; error_message: string }[];
    };
    expect(instances).toHaveLength(1);
    expect(instances[0]).toMatchObject({ id: oldInstance.id, status: "failed" });
    expect(instances[0]?.error_message).toContain("/models/gone.gguf");
  });
});
