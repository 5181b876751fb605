import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";

/** Gets what the tests need and is not there. Each step is done once, and says what to do where it cannot. */

const root = join(import.meta.dir, "..");
const venv = join(root, ".venv");
/** The pinned packages with the newest transformers on top: torch need not be installed twice. */
const newestVenv = join(root, ".venv-newest");

/** What the Python checks and tests need; without it there are none. */
export const requirements = join(root, "pyserver/requirements-dev.txt");

export const pythonIn = (command: string): string => join(venv, "bin", command);

export const newestPython = join(newestVenv, "bin/python");

const say = (text: string): void => console.log(`==> ${text}`);

/** Exit code; what the command prints goes where ours goes. */
const attempt = (command: string[]): number =>
  Bun.spawnSync(command, { cwd: root, stdin: "ignore", stdout: "inherit", stderr: "inherit" }).exitCode;

/** True where it went well; what the command prints is only shown where it did not. */
const attemptQuietly = (command: string[], env: Record<string, string>): boolean => {
  const done = Bun.spawnSync(command, {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...env },
  });
  if (done.exitCode !== 0) console.log(`${done.stdout}${done.stderr}`.trimEnd());
  return done.exitCode === 0;
};

const once = (step: () => Promise<void>): (() => Promise<void>) => {
  let result: Promise<void> | null = null;
  return () => {
    result ??= step();
    return result;
  };
};

/** Programs that tests run, by the package that has them; the first command found will do. */
const packages: Record<string, string[]> = {
  chromium: ["chromium", "chromium-browser", "google-chrome"],
  curl: ["curl"],
  fish: ["fish"],
  shellcheck: ["shellcheck"],
  strace: ["strace"],
  tmux: ["tmux"],
  zsh: ["zsh"],
};

const asRoot = (): string[] | null => {
  if (process.getuid?.() === 0) return [];
  return Bun.which("sudo") !== null && Bun.spawnSync(["sudo", "-n", "true"]).exitCode === 0 ? ["sudo", "-n"] : null;
};

const aptInstall = (names: string[]): boolean => {
  const rights = asRoot();
  const apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=2"];
  if (Bun.which("apt-get") === null || rights === null) {
    const how =
      Bun.which("apt-get") === null
        ? `install them with your system's package manager: ${names.join(" ")}`
        : `run: sudo apt-get install --no-install-recommends ${names.join(" ")}`;
    say(`not there, and this script may not install them: ${names.join(", ")}. The tests that need them fail; ${how}`);
    return false;
  }
  say(`installing ${names.join(", ")}`);
  // sudo drops the environment, so it is told there again.
  const env = rights.length === 0 ? [] : ["env", "DEBIAN_FRONTEND=noninteractive"];
  const command = (...args: string[]): string[] => [...rights, ...env, ...apt, ...args];
  const quiet = { DEBIAN_FRONTEND: "noninteractive" };
  attemptQuietly(command("update"), quiet);
  if (attemptQuietly(command("install", "-y", "--no-install-recommends", ...names), quiet)) return true;
  say(`apt-get could not install ${names.join(", ")}: see its message above. The tests that need them fail`);
  return false;
};

export const installPackages = once(async () => {
  const missing = Object.entries(packages)
    .filter(([, commands]) => commands.every((command) => Bun.which(command) === null))
    .map(([name]) => name);
  if (missing.length > 0) aptInstall(missing);
});

export const makeLlamaServer = once(async () => {
  if (Bun.spawnSync([join(root, "scripts/llama-server-path"), "--no-fetch"]).exitCode === 0) return;
  say("getting a llama-server");
  attempt([join(root, "scripts/llama-server-path")]);
});

/** A failure shows in the tests: each that runs the binary says that it is not there. */
export const makeBinary = once(async () => {
  const build = 'source scripts/setup.sh && BUN="$1" && build_if_needed';
  if (attempt(["bash", "-c", build, "bash", process.execPath]) !== 0) throw new Error("the build failed: see above");
});

/** What fuzzes the API. It has an environment of its own, since its packages do not fit with the others. */
const fuzzRequirements = join(root, "test/fuzz/requirements.txt");
const fuzzVenv = join(root, ".tools/schemathesis");

const sameContent = (a: string, b: string): boolean =>
  existsSync(a) && existsSync(b) && readFileSync(a, "utf8") === readFileSync(b, "utf8");

const createVenv = (dir: string): void => {
  const python = process.env.PYTHON ?? "python3";
  if (Bun.which(python) === null)
    throw new Error(`${python} is not on PATH: install Python 3.10 or newer, or set PYTHON`);
  const recent = "import sys; sys.exit(sys.version_info < (3, 10))";
  if (attempt([python, "-c", recent]) !== 0) throw new Error(`${python} is older than 3.10: set PYTHON to a newer one`);
  if (Bun.spawnSync([python, "-c", "import ensurepip, venv"]).exitCode !== 0) aptInstall(["python3-venv"]);
  if (attempt([python, "-m", "venv", dir]) !== 0) {
    throw new Error(`${python} could not make ${dir}: see its message above`);
  }
};

const installInto = (dir: string, list: string): void => {
  const stamp = join(dir, ".installed-from");
  if (sameContent(stamp, list)) return;
  const python = join(dir, "bin/python");
  if (!existsSync(python)) createVenv(dir);
  say(`installing the Python packages of ${relative(root, list)} (some minutes the first time)`);
  const install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
  if (attempt([...install, "-r", list]) !== 0) {
    throw new Error(`pip could not install ${relative(root, list)}: see its message above`);
  }
  copyFileSync(list, stamp);
};

export const makePython = once(async () => installInto(venv, requirements));

/** Without a network the newest release that is there will do; with none there is nothing to test. */
export const makeNewestPython = once(async () => {
  await makePython();
  const stamp = join(newestVenv, ".installed-from");
  if (!sameContent(stamp, requirements)) {
    rmSync(newestVenv, { recursive: true, force: true });
    if (attempt([pythonIn("python"), "-m", "venv", newestVenv]) !== 0) {
      throw new Error(`${pythonIn("python")} could not make ${newestVenv}: see its message above`);
    }
    const siteOf = (python: string): string =>
      Bun.spawnSync([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).stdout.toString().trim();
    // What is installed here comes before what this file leads to.
    writeFileSync(join(siteOf(newestPython), "pinned.pth"), `${siteOf(pythonIn("python"))}\n`);
  }
  say("asking for the newest transformers");
  const pip = [newestPython, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"];
  if (attempt([...pip, "--upgrade", "transformers"]) === 0) copyFileSync(requirements, stamp);
  else if (sameContent(stamp, requirements))
    say("the newest transformers cannot be asked for: the one that is there is tried");
  else throw new Error("pip could not install the newest transformers: see its message above");
});

/** A failure shows in the tests: the one that fuzzes says that there is nothing to do it with. */
export const makeFuzzer = once(async () => {
  try {
    installInto(fuzzVenv, fuzzRequirements);
  } catch (error) {
    say((error as Error).message);
  }
});
