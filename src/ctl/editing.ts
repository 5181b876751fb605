import {
  type Instance,
  type InstanceAnswer,
  instanceAnswer,
  instance as instanceSchema,
} from "../contract/instance.ts";
import type { ListedInstance } from "../contract/instance-facts.ts";
import type { Answer, Api } from "./api.ts";
import { instancePath, listInstances } from "./calls.ts";
import type { Cli, OutputOptions } from "./cli.ts";
import { type Change, changesBetween, changeText, rebased } from "./config-diff.ts";
import { checked, withValues } from "./config-edit.ts";
import type { RawConfig } from "./config-input.ts";
import { editByHand } from "./edit-by-hand.ts";
import { CtlError, exitCodes } from "./errors.ts";
import { asWord, nameOf, refuseUsedAlias } from "./names.ts";
import { Progress } from "./progress.ts";
import { type Patience, patienceOf, type StartOptions } from "./starting.ts";
import { isAtRest } from "./status.ts";

/** Edits of configs as the daemon has them: no other client's change is undone. */

export interface EditOptions extends OutputOptions, StartOptions {
  all?: true;
  set?: string[];
  file?: string;
  restart?: true;
  force?: true;
}

export interface Edited {
  raw: unknown;
  instance: ListedInstance;
}

/** What the user wants, out of which config, and whether the user saw what else is in it. */
interface Wish {
  before: RawConfig;
  after: RawConfig;
  byHand: boolean;
}

/** As the daemon has it: a newer one may have fields that this client does not know, and they are to stay. */
const configIn = ({ value, raw }: Answer<Instance>): RawConfig => ({
  ...value.config,
  ...(raw as { config: RawConfig }).config,
});

export class Editing {
  private readonly progress: Progress;
  /** What is to be said of each that is being changed, should an interrupt come. */
  private readonly unfinished = new Map<string, string>();

  constructor(
    private readonly cli: Cli,
    private readonly api: Api,
    private readonly all: readonly ListedInstance[],
    private readonly options: EditOptions,
    /** The config of `-f`. */
    private readonly given: RawConfig | null,
    public patience: Patience,
  ) {
    this.progress = new Progress(cli.io, options.quiet === true || options.json === true);
    cli.onInterrupt = () => {
      this.progress.leave();
      for (const text of this.unfinished.values()) cli.io.say(text);
    };
  }

  /** Null where nothing was to be changed. */
  async edit(listed: ListedInstance): Promise<Edited | null> {
    const name = nameOf(listed, this.all);
    this.refuseRunning(listed, name);
    const before = configIn(await this.current(listed.id));
    const done = await this.edited(listed, name, before);
    if (done === null) this.say(`${name}: nothing to change`);
    return done;
  }

  private async edited(listed: ListedInstance, name: string, before: RawConfig): Promise<Edited | null> {
    const { set } = this.options;
    if (set !== undefined) {
      return await this.change(listed, name, {
        before,
        after: checked(await this.cli.withPaths(this.api, withValues(before, set), null, before), before),
        byHand: false,
      });
    }
    if (this.given !== null) {
      return await this.change(listed, name, {
        before,
        after: checked(await this.cli.withPaths(this.api, this.given, this.options.file ?? "-", before), before),
        byHand: false,
      });
    }
    return await editByHand(this.cli, name, before, async (after) => {
      // The time that a person takes is not the daemon's.
      this.patience = patienceOf(this.options);
      const wanted = await this.cli.withPaths(this.api, after, null, before);
      return await this.change(listed, name, { before, after: wanted, byHand: true });
    });
  }

  private async change(listed: ListedInstance, name: string, wish: Wish): Promise<Edited | null> {
    if (changesBetween(wish.before, wish.after).length === 0) return null;
    const now = await this.current(listed.id);
    this.refuseRunning(now.value, name);
    const config = configIn(now);
    const wanted = this.wanted(name, wish, config);
    const changes = changesBetween(config, wanted);
    if (changes.length === 0) return null;
    if (!this.options.force && wanted.alias !== config.alias) await this.refuseUsedAlias(listed.id, wanted.alias);
    const answer = await this.apply(now.value, name, changes);
    for (const change of changesBetween(config, answer.value.instance.config)) {
      // What another client changed in between is not this user's.
      if (changes.some((own) => own.name === change.name)) this.say(`${name}: ${changeText(change)}`);
    }
    for (const warning of answer.value.warnings ?? []) this.say(`${name}: ${warning}`);
    return { raw: answer.raw, instance: listed };
  }

  private current(id: string): Promise<Answer<Instance>> {
    return this.api.request(instancePath(id), instanceSchema, { signal: this.patience.deadline.signal });
  }

  private async refuseUsedAlias(id: string, alias: unknown): Promise<void> {
    const { value } = await listInstances(this.api, { signal: this.patience.deadline.signal });
    refuseUsedAlias(
      alias,
      value.filter((other) => other.id !== id),
    );
  }

  /** Others edit too: only the fields that this user changed are sent. What runs, the daemon stops and starts itself. */
  private async apply(
    instance: ListedInstance,
    name: string,
    changes: readonly Change[],
  ): Promise<Answer<InstanceAnswer>> {
    const { progress, cli, unfinished, options } = this;
    const restarts = !isAtRest(instance.status);
    if (restarts) {
      unfinished.set(
        name,
        `interrupted; the daemon goes on: see what becomes of it by: solar-host ctl get ${asWord(name)}`,
      );
      if (cli.io.stderr.terminal) progress.show(name, { ...instance, status: "stopping" });
    }
    try {
      return await this.api.request(instancePath(instance.id), instanceAnswer, {
        method: "PATCH",
        query: options.restart ? { restart: "true", wait: 0 } : {},
        body: { config: Object.fromEntries(changes.map(({ name: field, after }) => [field, after])) },
        ...(restarts ? { timeoutMs: null } : {}),
        signal: this.patience.deadline.signal,
      });
    } finally {
      unfinished.delete(name);
      progress.end(name, null);
    }
  }

  /** @throws CtlError where somebody else gave a field that was edited by hand yet another value */
  private wanted(name: string, { before, after, byHand }: Wish, now: RawConfig): RawConfig {
    const { config, clashes } = rebased(before, after, now);
    if (!byHand || clashes.length === 0) return config;
    throw new CtlError(exitCodes.failure, `${name} was changed by somebody else meanwhile, and is left as it is now:`, [
      ...clashes.map(changeText),
    ]);
  }

  private refuseRunning({ status }: ListedInstance, name: string): void {
    if (isAtRest(status) || this.options.restart) return;
    throw new CtlError(exitCodes.failure, `${name} is ${status}, and a config is changed at rest`, [
      `stop, change and start it in one: solar-host ctl edit ${asWord(name)}${this.asGiven()} --restart`,
      `or stop it first: solar-host ctl stop ${asWord(name)}`,
    ]);
  }

  /** What was to be changed, as it was written; a key is not shown. */
  private asGiven(): string {
    const { set = [], file } = this.options;
    const changes = set.map((text) => ` --set ${/^api[-_]key=/.test(text) ? "api_key=…" : asWord(text)}`);
    return `${changes.join("")}${file === undefined ? "" : ` -f ${asWord(file)}`}`;
  }

  private say(text: string): void {
    if (!this.options.quiet && !this.options.json) this.cli.io.say(text);
  }
}
