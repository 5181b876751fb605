export * from "./config.ts";
export * from "./errors.ts";
export * from "./frames.ts";
export * from "./instance.ts";
export * from "./runtime-state.ts";
export * from "./system.ts";
