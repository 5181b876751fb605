import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type BackendType, configFields } from "../contract/config.ts";
import type { RawConfig } from "./config-input.ts";
import { CtlError, exitCodes, usageError } from "./errors.ts";
import { fileProblem } from "./file-problem.ts";
import type { Io } from "./io.ts";
import { textOf } from "./text.ts";

/** Opens a config in the user's editor, as YAML with what each field means. */

export const configAsYaml = async (config: RawConfig): Promise<string> => {
  const { stringify } = await import("yaml");
  const fields = configFields[config.backend_type as BackendType] ?? {};
  return Object.entries(config)
    .map(([name, value]) => {
      const description = fields[name]?.schema.meta()?.description;
      return `${description === undefined ? "" : `# ${description}\n`}${stringify({ [name]: value })}`;
    })
    .join("");
};

export const commented = (lines: readonly string[]): string => lines.map((line) => `# ${line}\n`).join("");

/** What interrupts is for the editor while it is there: ours would end us and leave it behind. */
const withoutInterrupts = async <T>(run: () => Promise<T>): Promise<T> => {
  const before = process.rawListeners("SIGINT") as NodeJS.SignalsListener[];
  const ignore = (): void => undefined;
  process.on("SIGINT", ignore);
  for (const listener of before) process.off("SIGINT", listener);
  try {
    return await run();
  } finally {
    for (const listener of before) process.on("SIGINT", listener);
    process.off("SIGINT", ignore);
  }
};

/** A text in a file that only the user may read, since a config may hold a key. */
export class EditedFile {
  private constructor(
    private readonly io: Io,
    readonly path: string,
    private readonly original: string,
  ) {}

  static create(io: Io, text: string, name: string): EditedFile {
    try {
      const path = join(mkdtempSync(join(tmpdir(), "solar-host-")), name);
      writeFileSync(path, text, { mode: 0o600 });
      return new EditedFile(io, path, text);
    } catch (error) {
      throw new CtlError(exitCodes.failure, `cannot write into ${tmpdir()}: ${fileProblem(error)}`);
    }
  }

  get changed(): boolean {
    return !this.bytes().equals(Buffer.from(this.original));
  }

  /** @throws CtlError where it cannot be read; usage error where it is not UTF-8 */
  text(): string {
    return textOf(this.bytes(), this.path);
  }

  private bytes(): Buffer {
    try {
      return readFileSync(this.path);
    } catch (error) {
      throw new CtlError(exitCodes.failure, `cannot read the edited text ${this.path}: ${fileProblem(error)}`);
    }
  }

  remove(): void {
    rmSync(dirname(this.path), { recursive: true, force: true });
  }

  /** Lets the user edit it. @throws CtlError where the editor fails */
  async open(): Promise<void> {
    const editor = this.io.env.VISUAL || this.io.env.EDITOR || "vi";
    // As git does it: the variable may hold flags. An interrupt is for the editor, and is to end neither us nor this
    // shell. It draws on the terminal, wherever our data goes.
    const child = Bun.spawn(["sh", "-c", `trap : INT; ${editor} "$1"`, "sh", this.path], {
      stdin: "inherit",
      stdout: this.io.stdout.terminal ? "inherit" : 2,
      stderr: "inherit",
    });
    const code = await withoutInterrupts(() => child.exited);
    if (code === 127)
      throw usageError(
        `the editor '${editor}' cannot be run`,
        "set EDITOR, or change single fields with --set name=value",
      );
    if (code !== 0) throw new CtlError(exitCodes.failure, `the editor ended with ${code}: nothing was changed`);
  }
}
