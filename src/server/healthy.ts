import type { Health } from "../contract/index.ts";
import { version } from "../version.ts";

/** What `/health` answers: the daemon is well as soon as it can say so. */
export const healthy: Health = { status: "healthy", service: "solar-host", version };
