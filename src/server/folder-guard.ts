import { systemProblem } from "../common/system-error.ts";
import { type KeptIdentity, restoreFolder } from "../store/folder-identity.ts";

/**
 * A person may remove `.solar-host` under its daemon. Without the identity in it, the next daemon would not know the
 * processes of this one, and they would run on for ever where this one is killed.
 */

const LOOK_MS = 2000;

interface Guarded {
  stateDir: string;
  identity: KeptIdentity;
  /** Throws where the folder is not the daemon's any more. */
  checkPlace: () => void;
  /** Writes what else the daemon left in it. */
  leaveAgain: () => void;
  warn: (message: string) => void;
}

const look = ({ stateDir, identity, checkPlace, leaveAgain, warn }: Guarded): void => {
  checkPlace();
  if (!restoreFolder(stateDir, identity)) return;
  leaveAgain();
  warn(
    `${stateDir} was removed under its daemon: the folder's identity in it is put back, since it tells whose processes these are`,
  );
};

/** Looks after the folder until the process ends. */
export const guardFolder = (guarded: Guarded): void => {
  let told: string | null = null;
  const timer = setInterval(() => {
    try {
      look(guarded);
      told = null;
    } catch (error) {
      // A folder that was moved away says so at each change; what else fails is tried again.
      const problem = systemProblem(error);
      if (problem !== told) guarded.warn(`cannot look after ${guarded.stateDir}: ${problem}`);
      told = problem;
    }
  }, LOOK_MS);
  timer.unref();
};
