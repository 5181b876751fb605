/** A user without rights, whom only root can become. */

export const NOBODY = 65_534;

/** What stands before a command line that is to run as that user. */
export const asNobody = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
