import type { StoredSegment } from "../logs/file-place.ts";
import type { LogSettings } from "../logs/instance-log.ts";
import type { LogDisk } from "../logs/log-disk.ts";
import type { LaunchServices } from "../model-server/services.ts";
import type { PortRegistry } from "../process/port-registry.ts";
import type { KeptState } from "../runtime/kept-state.ts";
import type { RecordFolder } from "../store/records.ts";
import type { RestartPolicy } from "./restart-policy.ts";
import type { StartGate } from "./start-gate.ts";

/** What all instances of one daemon share. */
export interface Host extends LaunchServices {
  readonly ports: PortRegistry;
  readonly gate: StartGate;
  readonly policy: RestartPolicy;
  readonly logs: LogSettings;
  readonly logDisk: LogDisk;
  readonly segments: RecordFolder<StoredSegment[]>;
  readonly states: RecordFolder<KeptState>;
}
