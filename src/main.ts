#!/usr/bin/env bun
import { type Command, CommanderError } from "commander";
import { CommandLine, CommandLineError, USAGE_ERROR } from "./command-line.ts";
import { version } from "./version.ts";

/** The command line, and nothing else: what a command does is loaded when it is asked for. */

const createProgram = (): Command =>
  new CommandLine("solar-host")
    .description("Starts, watches, restarts and stops model inference servers")
    .version(version, "-V, --version")
    .addHelpText(
      "after",
      `
Examples:
  $ solar-host serve                      run the daemon in this directory
  $ solar-host serve --port 9001          on another port
  $ curl localhost:8001/health            ask it whether it is well
  $ solar-host ctl ls                     list the instances of the daemon on this machine
  $ solar-host ctl --help                 all that the client can do`,
    );

/** The flags of `serve` are its settings, so that they are read from there and not written again. */
const addServe = async (program: Command, argv: readonly string[]): Promise<void> => {
  const serve = program.command("serve").description("run the daemon: keep instances running and answer the API");
  if (argv[2] !== "serve" && argv[3] !== "serve") return;
  const { addServeOptions } = await import("./server/serve-options.ts");
  addServeOptions(serve, async (flags) => {
    const { runDaemon } = await import("./server/daemon.ts");
    process.exit(await runDaemon(flags));
  });
};

/** The client's verbs are loaded one at a time: `ctl ls` is over before all of them could be. */
const addCtl = (program: Command): Command =>
  program.command("ctl").description("the client: create, start, watch and follow instances, here or elsewhere");

const main = async (argv: string[]): Promise<void> => {
  if (argv[2] === "__nvml") {
    const { runNvmlProbe } = await import("./system/nvml.ts");
    return runNvmlProbe();
  }
  const program = createProgram();
  await addServe(program, argv);
  const ctl = addCtl(program);
  if (argv.length <= 2) program.help({ error: true });
  if (argv[2] === "ctl" || argv[3] === "ctl") {
    const { runCtl } = await import("./ctl/index.ts");
    await runCtl(ctl, argv);
  } else await program.parseAsync(argv);
};

main(process.argv).catch((error: unknown) => {
  if (error instanceof CommandLineError) {
    process.stderr.write(`error: ${[error.message, ...error.hints.map((hint) => `  ${hint}`)].join("\n")}\n`);
  }
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : USAGE_ERROR);
  process.stderr.write(`solar-host: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
