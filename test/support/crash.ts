/** Makes a program fail or die at one call to the system, by strace. */

/** scripts/test installs it; a test that needs it fails, and is not skipped, where there is none. */
export const requireStrace = (): string => {
  const found = Bun.which("strace");
  if (found === null) throw new Error("no strace on PATH: ./scripts/test installs it");
  return found;
};
