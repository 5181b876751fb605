import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { urlOf } from "../../src/common/endpoint.ts";
import { InstanceStoppedError, NotReadyError, OperationFailedError } from "../../src/supervisor/errors.ts";
import { testSupervisor } from "../support/supervisor.ts";

/** What a route, the boot and the gateway ask of an instance alike: that it is ready, and that it stays. */

setDefaultTimeout(60_000);

const ports = 28_000 + (process.pid % 100) * 20;

describe("ensureReady", () => {
  test("starts one on demand, gives where it answers, and leaves what should be as it is", async () => {
    await using place = testSupervisor(ports);
    const instance = await place.instance("on-demand");
    const endpoint = await instance.lifecycle.ensureReady(30_000, "a request");
    expect((await fetch(urlOf(endpoint, "/health"))).status).toBe(200);
    expect(instance.view).toMatchObject({ status: "running", desired: "on-demand", port: endpoint.port });
  });

  test("of many at once is one start", async () => {
    await using place = testSupervisor(ports);
    const instance = await place.instance("on-demand", { readyAfterMs: 100 });
    const endpoints = await Promise.all(
      Array.from({ length: 20 }, () => instance.lifecycle.ensureReady(30_000, "a request")),
    );
    expect(new Set(endpoints.map(({ port }) => port)).size).toBe(1);
    const { past } = place.supervisor.log.watch(() => undefined);
    expect(past.map(({ type }) => type)).toEqual(["created", "starting", "running"]);
  });

  test("refuses one that a person stopped", async () => {
    await using place = testSupervisor(ports);
    const instance = await place.instance("stopped");
    await expect(instance.lifecycle.ensureReady(30_000, "a request")).rejects.toBeInstanceOf(InstanceStoppedError);
    expect(instance.view.status).toBe("stopped");
  });

  test("waits no longer than it is told, and the start goes on", async () => {
    await using place = testSupervisor(ports);
    const instance = await place.instance("on-demand", { neverReady: true });
    await expect(instance.lifecycle.ensureReady(50, "a request")).rejects.toBeInstanceOf(NotReadyError);
    expect(instance.view.status).toBe("starting");
  });

  test("says why a start failed", async () => {
    await using place = testSupervisor(ports);
    const instance = await place.instance("on-demand", { exitCode: 7 });
    await expect(instance.lifecycle.ensureReady(30_000, "a request")).rejects.toBeInstanceOf(OperationFailedError);
  });

  test("and a stop by a person: what should be is stopped, and no request starts it again", async () => {
    await using place = testSupervisor(ports);
    const instance = await place.instance("on-demand");
    await instance.lifecycle.ensureReady(30_000, "a request");
    await instance.lifecycle.stop("a person");
    expect(instance.view).toMatchObject({ status: "stopped", desired: "stopped" });
    await expect(instance.lifecycle.ensureReady(30_000, "a request")).rejects.toBeInstanceOf(InstanceStoppedError);
  });
});

describe("a lease", () => {
  test("says that an instance is in use, until each is released; releasing twice is once", async () => {
    await using place = testSupervisor(ports);
    const instance = await place.instance("on-demand");
    const [first, second] = [instance.lease(), instance.lease()];
    expect(instance.use).toEqual({ leases: 2, idleMs: 0 });
    first.release();
    first.release();
    expect(instance.use.leases).toBe(1);
    second[Symbol.dispose]();
    expect(instance.use.leases).toBe(0);
    expect(instance.use.idleMs).toBeGreaterThanOrEqual(0);
  });
});
