import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createOverloadDetector, lateMs, sampleMs } from '../../../src/http/server/load-shedding.ts'

/** A time between two samples, and the CPU time that the process used in it, in milliseconds. */
type Window = readonly [elapsed: number, used: number]

/** Whether a process is overloaded after these windows. */
function after(windows: readonly Window[]): boolean {
  let [now, used] = [0, 0]
  const { isOverloaded, sample } = createOverloadDetector({ time: () => now, cpu: () => used })
  for (const [elapsed, usedMs] of windows) {
    now += elapsed
    used += usedMs
    sample()
  }
  return isOverloaded()
}
const late = sampleMs + lateMs + 1

describe('an event loop that is late twice in a row, while the process uses the CPU, is overloaded', () => {
  const table: readonly [delays: readonly number[], expected: boolean, why: string][] = [
    [[], false, 'at the start'],
    [[sampleMs, sampleMs], false, 'in time'],
    [[late], false, 'late once'],
    [[sampleMs, 5000], false, 'a long pause: garbage, a large policy'],
    [[late, late], true, 'late twice'],
    [[late - 1, late - 1], false, 'late by exactly what is allowed'],
    [[late, sampleMs, late], false, 'late, in time, late'],
    [[late, late, sampleMs], false, 'in time again'],
    [[late, late, late, late], true, 'late all the time'],
  ]
  for (const [delays, expected, why] of table)
    test(`${expected}: ${why}`, () => assert.equal(after(delays.map(ms => [ms, ms])), expected))
})

describe('a late event loop counts only with CPU time of its own', () => {
  const table: readonly [windows: readonly Window[], expected: boolean, why: string][] = [
    [
      [
        [800, 0],
        [800, 0],
      ],
      false,
      'starved: it had no CPU time',
    ],
    [
      [
        [5000, 1],
        [5000, 1],
      ],
      false,
      'stopped and continued, such as a suspended machine',
    ],
    [
      [
        [800, 40],
        [800, 40],
      ],
      false,
      'starved, with a request now and then',
    ],
    [
      [
        [800, 100],
        [800, 100],
      ],
      true,
      'exactly the least share',
    ],
    [
      [
        [800, 99],
        [800, 99],
      ],
      false,
      'less than that',
    ],
    [
      [
        [800, 800],
        [800, 40],
      ],
      false,
      'busy, then starved',
    ],
    [
      [
        [800, 40],
        [800, 800],
      ],
      false,
      'starved, then busy',
    ],
    [
      [
        [800, 800],
        [800, 800],
      ],
      true,
      'saturated without a limit',
    ],
    [
      [
        [800, 1600],
        [800, 1600],
      ],
      true,
      'other threads count too',
    ],
    // Measured with 400 to 1,500 connections, under CFS quotas in periods of 100 ms.
    [
      [
        [718, 359],
        [653, 312],
      ],
      true,
      'saturated under a limit of 0.5',
    ],
    [
      [
        [672, 167],
        [864, 202],
      ],
      true,
      'saturated under a limit of 0.25',
    ],
    [
      [
        [505, 98],
        [487, 86],
      ],
      true,
      'the least CPU time that was measured under 0.25',
    ],
    [
      [
        [144, 44],
        [196, 46],
      ],
      false,
      'throttled at each period, and still in time',
    ],
    [
      [
        [800, 175],
        [800, 175],
      ],
      true,
      'saturated, with a fifth of a CPU beside busy neighbours',
    ],
  ]
  for (const [windows, expected, why] of table)
    test(`${expected}: ${why}`, () => assert.equal(after(windows), expected))
})
