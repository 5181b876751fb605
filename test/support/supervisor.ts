import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Journal } from "../../src/common/journal.ts";
import { parseConfig } from "../../src/contract/index.ts";
import { createHost } from "../../src/server/host.ts";
import { ConfigFile } from "../../src/store/config-file.ts";
import { loadConfig } from "../../src/store/load-config.ts";
import { resolveSettings } from "../../src/store/settings.ts";
import type { Intent } from "../../src/store/stored-instance.ts";
import type { ManagedInstance } from "../../src/supervisor/instance.ts";
import { Supervisor } from "../../src/supervisor/supervisor.ts";
import { fakeServer } from "./paths.ts";

/** A supervisor in this process, with real files and processes: for what no route asks for yet. */

const silent: Journal = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export interface TestSupervisor extends AsyncDisposable {
  readonly supervisor: Supervisor;
  /** Its folder, with `config.json`. */
  readonly dir: string;
  /** An instance of the fake server, with what a person wants of it. */
  instance(intent: Intent, fault?: Record<string, unknown>): Promise<ManagedInstance>;
}

export const testSupervisor = (startPort: number): TestSupervisor => {
  const dir = mkdtempSync(join(tmpdir(), "solar-host-test-"));
  const stateDir = join(dir, ".solar-host");
  mkdirSync(stateDir);
  const given = {
    LLAMA_SERVER: fakeServer,
    START_PORT: String(startPort),
    STOP_TIMEOUT: "1",
    LOG_DIR: join(dir, "logs"),
    CONFIG_FILE: join(dir, "config.json"),
  };
  const settings = resolveSettings({}, given, {});
  mkdirSync(settings.LOG_DIR);
  const host = createHost(settings, stateDir, silent, () => undefined);
  const loaded = loadConfig(settings.CONFIG_FILE);
  const supervisor = new Supervisor(host, loaded, (snapshot) => new ConfigFile(settings.CONFIG_FILE, loaded, snapshot));
  return {
    supervisor,
    dir,
    async instance(intent, fault = {}) {
      const model = join(dir, `fault-${crypto.randomUUID()}.json`);
      writeFileSync(model, JSON.stringify(fault));
      const parsed = parseConfig({ model, alias: "fake", api_key: "instance-key", host: "127.0.0.1" });
      if (!parsed.success) throw new Error(JSON.stringify(parsed.issues));
      const { id } = await supervisor.create(parsed.config);
      const instance = supervisor.get(id);
      instance.state.intent = intent;
      return instance;
    },
    async [Symbol.asyncDispose]() {
      await supervisor.shutDown(false);
      rmSync(dir, { recursive: true, force: true });
    },
  };
};
