import { describe, expect, test } from "bun:test";
import { describeFailure, givenUpMessage } from "../../src/supervisor/error-message.ts";
import { defaultPolicy, type Failure, freshTally, judge, type Tally } from "../../src/supervisor/restart-policy.ts";

const policy = defaultPolicy(2);
const MIDDLE = 0.5;

const failed: Failure = { reason: "it broke", outlook: "open", ranFor: null };
const crashed = (ranFor = 1000): Failure => ({ reason: "it broke", outlook: "open", ranFor });

/** One failure after the other; what was decided each time. */
const course = (failures: readonly Failure[], from: Tally = freshTally, rules = policy): string[] => {
  let tally = from;
  return failures.map((failure) => {
    const verdict = judge(tally, failure, rules, MIDDLE);
    tally = verdict.tally;
    return verdict.type === "again" ? `again in ${verdict.delay}` : givenUpMessage(verdict, failure);
  });
};

describe("a start that fails", () => {
  test("is tried MAX_RETRIES times in all", () => {
    expect(course([failed, failed])).toEqual(["again in 500", "it broke"]);
    expect(course([failed], freshTally, defaultPolicy(1))).toEqual(["it broke"]);
    expect(course([failed, failed, failed, failed], freshTally, defaultPolicy(4))).toEqual([
      "again in 500",
      "again in 1000",
      "again in 2000",
      "it broke",
    ]);
  });

  test("is not tried again where it must fail again", () => {
    expect(course([{ ...failed, outlook: "same" }])).toEqual(["it broke"]);
  });

  test("says how often it was tried", () => {
    const verdict = judge(freshTally, failed, policy, MIDDLE);
    expect(verdict).toMatchObject({ type: "again", count: 1 });
    expect(describeFailure(verdict, failed, policy)).toBe("attempt 1 of 2 failed: it broke");
    expect(judge(verdict.tally, failed, policy, MIDDLE)).toMatchObject({ type: "give-up", count: 2 });
  });
});

describe("a crash of what ran", () => {
  test("is followed by another start after a delay that doubles; the fifth in a row is the last", () => {
    expect(course([crashed(), crashed(), crashed(), crashed(), crashed()])).toEqual([
      "again in 500",
      "again in 1000",
      "again in 2000",
      "again in 4000",
      "given up after 5 crashes in a row: it broke",
    ]);
  });

  test("counts starts that fail in between, and does not give up after MAX_RETRIES of them", () => {
    expect(course([crashed(), failed, failed, failed, failed])).toEqual([
      "again in 500",
      "again in 1000",
      "again in 2000",
      "again in 4000",
      "given up after 5 crashes in a row: it broke",
    ]);
  });

  test("after a stable minute is the first again", () => {
    const course4 = [crashed(), crashed(), crashed(), crashed()];
    expect(course([...course4, crashed(60_000), crashed()]).slice(4)).toEqual(["again in 500", "again in 1000"]);
    expect(course([...course4, crashed(59_999)]).slice(4)).toEqual(["given up after 5 crashes in a row: it broke"]);
  });

  test("says which one it was", () => {
    const verdict = judge({ ran: true, failedAttempts: 0, crashes: 2 }, crashed(), policy, MIDDLE);
    expect(verdict).toMatchObject({ type: "again", count: 3 });
    expect(describeFailure(verdict, crashed(), policy)).toBe("crash 3 of 5 in a row: it broke");
  });

  test("is the last where another start must fail: a file is gone", () => {
    expect(course([crashed(), { ...failed, outlook: "same" }])).toEqual(["again in 500", "it broke"]);
  });
});

describe("what another attempt would meet", () => {
  const outcome = (outlook: Failure["outlook"], ranFor: number | null, ran = false): string =>
    judge({ ...freshTally, ran }, { reason: "it broke", outlook, ranFor }, policy, MIDDLE).type;

  test("too little memory is not tried again, unless the model has run and so has shown that it fits", () => {
    expect(outcome("no-memory", null)).toBe("give-up");
    expect([outcome("no-memory", null, true), outcome("no-memory", 1000)]).toEqual(["again", "again"]);
  });

  test("a fault of the model or the config is not tried again, unless this start had been ready", () => {
    expect([outcome("same-before-ready", null), outcome("same-before-ready", null, true)]).toEqual([
      "give-up",
      "give-up",
    ]);
    expect(outcome("same-before-ready", 1000)).toBe("again");
  });
});

describe("the delay", () => {
  const many = { ...policy, maxCrashes: 100 };

  test("is never longer than half a minute, however many crashes there were", () => {
    const delays = course(
      Array.from({ length: 60 }, () => crashed()),
      freshTally,
      many,
    );
    expect(delays.slice(5, 8)).toEqual(["again in 16000", "again in 30000", "again in 30000"]);
    expect(delays.at(-1)).toBe("again in 30000");
  });

  test("is spread by a tenth to both sides, so that models that fell together do not rise in step", () => {
    const delayOf = (random: number): number => {
      const verdict = judge(freshTally, crashed(), policy, random);
      return verdict.type === "again" ? verdict.delay : -1;
    };
    expect([delayOf(0), delayOf(0.5), delayOf(1)].map(Math.round)).toEqual([450, 500, 550]);
  });
});
