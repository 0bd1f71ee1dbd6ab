import { cpuMsOf } from './cpu.ts'
import type { Load } from './load.ts'
import { median, type Server } from './world.ts'

/** What a process costs per request. */
export interface Cost {
  /** Microseconds of CPU time. */
  readonly cpu: number
  /** Requests per second. */
  readonly rate: number
  /** Milliseconds: the median of the slices' 99th percentiles. */
  readonly p99: number
}

/** How long processes are measured. */
export interface Slices {
  /** Of each process. */
  readonly count: number
  /** Of one slice. */
  readonly seconds: number
}

const warmUpSeconds = 2

/**
 * Measures processes that run at the same time, with the same load in turn: one slice of each, then one of each in the
 * opposite order, and so on. Slices are short, so that what else the machine does meets all of them.
 *
 * @returns their costs, in the order of the servers
 */
export async function measureInSlices(
  servers: readonly Server[],
  run: Load,
  { count, seconds }: Slices,
): Promise<readonly Cost[]> {
  for (const { url } of servers) await run(url, warmUpSeconds)
  const measured = servers.map(server => ({ server, cpuMs: 0, requests: 0, seconds: 0, p99: [] as number[] }))
  for (let slice = 0; slice < count; slice++) {
    for (const total of slice % 2 === 0 ? measured : measured.toReversed()) {
      const before = await cpuMsOf(total.server.pid)
      const { requests, perSecond, p99 } = await run(total.server.url, seconds)
      total.cpuMs += (await cpuMsOf(total.server.pid)) - before
      total.requests += requests
      total.seconds += requests / perSecond
      total.p99.push(p99)
    }
  }
  return measured.map(total => ({
    cpu: (total.cpuMs * 1000) / total.requests,
    rate: total.requests / total.seconds,
    p99: median(total.p99),
  }))
}

/** Ratios of one run: their median, and the least and the greatest of them. */
export interface Range {
  readonly median: number
  readonly least: number
  readonly most: number
}

/** The range of some values. */
export const rangeOf = (values: readonly number[]): Range => ({
  median: median(values),
  least: Math.min(...values),
  most: Math.max(...values),
})
