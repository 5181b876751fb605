import { openSync, writeSync } from "node:fs";

/**
 * A model server that only writes lines, for measuring: `WRITER` in the environment says which.
 * It takes llama-server's arguments and answers its health check.
 *
 * stamps:<count>:<per second>  lines that hold the time at which they were written, when GET /stamps asks
 * stamps-now:…                 the same, at once
 * burst:<count>                lines at full speed, a write each, when GET /burst asks; answers the milliseconds
 */

export const now = (): number => performance.timeOrigin + performance.now();

/** `count` lines, a write each; milliseconds taken. */
export const writeBurst = (fd: number, count: number): number => {
  const began = performance.now();
  for (let i = 0; i < count; i++) writeSync(fd, `line ${i} of a burst, about as long as a log line is\n`);
  return performance.now() - began;
};

const flag = (name: string): string => process.argv[process.argv.indexOf(name) + 1] ?? "";

const [mode, count = "0", rate = "1"] = (process.env.WRITER ?? "").split(":");

const writeStamps = async (): Promise<void> => {
  const gap = 1000 / Number(rate);
  const began = now();
  for (let i = 0; i < Number(count); i++) {
    const wait = began + i * gap - now();
    if (wait > 0) await Bun.sleep(wait);
    writeSync(1, `stamp ${now()}\n`);
  }
};

if (mode === "file") {
  // No daemon at all: what writing to a file without a reader takes.
  console.error(writeBurst(openSync(rate, "a"), Number(count)));
} else if (mode === "stamps-now") {
  await writeStamps();
} else if (import.meta.main) {
  Bun.serve({
    hostname: "127.0.0.1",
    port: Number(flag("--port")),
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/stamps") void writeStamps();
      if (pathname === "/burst") return new Response(String(writeBurst(1, Number(count))));
      return Response.json({ status: "ok" });
    },
  });
}
