// Learning rate schedules: their shape at the corners, and that they move the right way in between.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError, IndexError } from "../../src/core/errors.js";
import { cosineSchedule, linearSchedule, type ScheduleOptions } from "../../src/train/schedule.js";

const schedules = [
  ["cosineSchedule", cosineSchedule],
  ["linearSchedule", linearSchedule],
] as const;

describe.each(schedules)("%s", (_, schedule) => {
  it("rises to the peak, halves the way between, and ends at the floor", () => {
    const rate = schedule({ peak: 1, warmupSteps: 4, totalSteps: 104, floor: 0.2 });
    expect([0, 1, 2, 3, 4].map(rate)).toEqual([0.2, 0.4, 0.6, 0.8, 1]);
    expect(rate(54)).toBeCloseTo(0.6, 12);
    expect([104, 105, 1e9].map(rate)).toEqual([0.2, 0.2, 0.2]);
  });

  it("starts at the peak without a warmup, and ends at 0 without a floor", () => {
    const rate = schedule({ peak: 3e-4, warmupSteps: 0, totalSteps: 10 });
    expect(rate(0)).toBe(3e-4);
    expect(rate(10)).toBe(0);
  });

  it("only rises in the warmup and only falls after it, between 0 and the peak", () => {
    const drawn = fc.tuple(
      fc.integer({ min: 1, max: 200 }),
      fc.nat(199),
      fc.double({ min: 1e-8, max: 1, noNaN: true }),
    );
    fc.assert(
      fc.property(drawn, fc.double({ min: 0, max: 1, noNaN: true }), ([totalSteps, warmup, peak], share) => {
        const options = { peak, totalSteps, warmupSteps: warmup % totalSteps, floor: share * peak };
        const rate = schedule(options);
        for (let step = 0; step < totalSteps; step++) {
          const change = rate(step + 1) - rate(step);
          expect(rate(step)).toBeGreaterThan(0);
          expect(rate(step)).toBeLessThanOrEqual(peak * (1 + 1e-12));
          if (step < options.warmupSteps) expect(change).toBeGreaterThan(0);
          else expect(change).toBeLessThanOrEqual(peak * 1e-12);
        }
        expect(rate(options.warmupSteps)).toBeCloseTo(peak, 12);
      }),
    );
  });

  it.each<[keyof ScheduleOptions, Partial<ScheduleOptions>]>([
    ["peak", { peak: 0 }],
    ["peak", { peak: Infinity }],
    ["totalSteps", { totalSteps: 0 }],
    ["totalSteps", { totalSteps: 1.5 }],
    ["warmupSteps", { warmupSteps: 10 }],
    ["warmupSteps", { warmupSteps: -1 }],
    ["floor", { floor: 2 }],
    ["floor", { floor: NaN }],
  ])("names %s where it is out of range", (name, change) => {
    const options = { peak: 1, warmupSteps: 1, totalSteps: 10, ...change };
    expect(() => schedule(options)).toThrow(ConfigError);
    expect(() => schedule(options)).toThrow(`${name} must be`);
  });

  it("refuses steps that are no steps", () => {
    const rate = schedule({ peak: 1, warmupSteps: 1, totalSteps: 10 });
    for (const step of [-1, 0.5, NaN]) expect(() => rate(step)).toThrow(IndexError);
  });
});
