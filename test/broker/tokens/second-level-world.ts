import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { FetchFilter, IssuedToken, TokenSource } from '../../../src/broker/events.ts'
import type { Clock } from '../../../src/broker/lib/clock.ts'
import type { SecondLevel } from '../../../src/broker/tokens/second-level.ts'
import { arm, grantFor, ids } from '../../support/callers.ts'

/** A store, and replicas that share it. */
export interface SecondLevelWorld {
  /** The wall clock of the replicas. */
  readonly clock: Pick<Clock, 'now'>
  /** A new replica. Connected, once resolved. */
  readonly replica: () => Promise<SecondLevel>
  /** Ends one replica's connection to the store; it cannot connect again before {@link reconnect}. */
  readonly cutOff: (replica: SecondLevel) => Promise<void>
  /** Resolves once the replica is connected again and knows the purges that it missed. */
  readonly reconnect: (replica: SecondLevel) => Promise<void>
  /** Ends all leases, as if their time were over. */
  readonly expireLeases: () => Promise<void>
  /** Restarts the store empty. Resolves once the replicas are connected again. */
  readonly restart: () => Promise<void>
}

/** The key of most tests. */
export const grant = grantFor()
/** Grants for other keys. */
export const others = [
  [grantFor({ tenant: ids.fabrikam }), 'another tenant'],
  [grantFor({ scope: arm }), 'another scope'],
  [grantFor({ application: 'other' }), 'another application'],
] as const
/** Any token, and a caller waits. */
export const awaited = { isAwaited: true }
/** A signal that does not abort. */
export const never = new AbortController().signal
/** An exchange that must not be made. */
export const unexpected: TokenSource = () => assert.fail('no exchange is needed')

/** An exchange that a test finishes. */
export function heldExchange() {
  const result = Promise.withResolvers<IssuedToken>()
  const started = Promise.withResolvers<void>()
  let calls = 0
  const exchange: TokenSource = () => {
    calls++
    started.resolve()
    return result.promise
  }
  return { ...result, exchange, started: started.promise, calls: () => calls }
}

/** Starts a store of its own for a test. */
export type Start = (t: TestContext) => Promise<SecondLevelWorld>

/** A world with some replicas, and what they heard of purges. */
export async function startWith(start: Start, t: TestContext, count: number) {
  const world = await start(t)
  const replicas: SecondLevel[] = []
  const heard: FetchFilter[][] = []
  for (let nth = 0; nth < count; nth++) {
    const replica = await world.replica()
    const filters: FetchFilter[] = []
    replica.observePurges(filter => filters.push(filter))
    replicas.push(replica)
    heard.push(filters)
  }
  const [a = assert.fail(), b = a, c = b] = replicas
  const issued = (token: string, changes: Partial<IssuedToken> = {}): IssuedToken => {
    const issuedAt = world.clock.now()
    return { token, expiresIn: 3600, issuedAt, refreshAt: issuedAt + 2_700_000, ...changes }
  }
  const issue =
    (token: string, changes?: Partial<IssuedToken>): TokenSource =>
    () =>
      Promise.resolve(issued(token, changes))
  const found = async (replica: SecondLevel, wanted = {}, of = grant) =>
    (await replica.lookUp(of, { ...awaited, ...wanted })).token?.token
  return { world, a, b, c, heard, issued, issue, found }
}
