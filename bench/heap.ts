import { randomBytes } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createCache } from '../src/broker/tokens/cache.ts'
import { systemClock } from '../src/broker/lib/clock.ts'
import type { Grant } from '../src/broker/authorization/authorize.ts'

/** Bytes of a typical application token. */
const tokenBytes = 1600

/** The heap of a cache with this many entries. */
export interface HeapRow {
  readonly entries: number
  /** Heap bytes after a garbage collection, minus those of an empty cache. */
  readonly bytes: number
  /** Ratio of `bytes` to the bytes of the tokens themselves. */
  readonly ratio: number
}

/**
 * Measures the heap that the broker's cache takes for many tokens. The tokens come from a source in this process, each
 * parsed from its own JSON text as from the network. Exchanges for 100,000 tenants would measure the emulator instead.
 */
export async function measureHeap(counts: readonly number[]): Promise<readonly HeapRow[]> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const rows: HeapRow[] = []
  for (const entries of counts) {
    collect()
    const empty = process.memoryUsage().heapUsed
    const cache = await fill(entries)
    collect()
    const bytes = process.memoryUsage().heapUsed - empty
    rows.push({ entries, bytes, ratio: bytes / (entries * tokenBytes) })
    // Keeps the cache reachable until it has been measured.
    void cache.get(grant(0), 0)
  }
  return rows
}

const caller = { id: 'bench' } as Grant['caller']
const grant = (n: number): Grant =>
  ({
    key: `application tenant-${n} https://graph.microsoft.com/.default`,
    clientId: 'application',
    tenant: `tenant-${n}`,
    scope: 'https://graph.microsoft.com/.default',
    caller,
  }) as Grant

async function fill(entries: number) {
  const cache = createCache(
    () => {
      const text = JSON.stringify({ access_token: randomBytes((tokenBytes * 3) / 4).toString('base64url') })
      const { access_token: token } = JSON.parse(text) as { access_token: string }
      return Promise.resolve({ token, expiresIn: 86_400 })
    },
    {
      clock: systemClock,
      random: Math.random,
      maxEntries: Math.max(entries, 1),
      minRemainingSeconds: 60,
      timeoutMs: 5_000,
      concurrency: 64,
      events: { refreshed: () => undefined, negativeCacheHit: () => undefined },
    },
  )
  for (let n = 0; n < entries; n++) await cache.get(grant(n), 0)
  return cache
}
