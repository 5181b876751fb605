export * from "./config.ts";
export * from "./daemon-record.ts";
export * from "./errors.ts";
export * from "./frames.ts";
export * from "./instance.ts";
export * from "./instance-facts.ts";
export * from "./runtime-state.ts";
export * from "./system.ts";
