import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Fault } from '../../../emulator/faults.ts'
import type { Counts } from '../../../emulator/traffic.ts'
import type { Wait } from '../../../src/broker/lib/clock.ts'
import {
  type BrokerOptions,
  type Closing,
  graph,
  type Reply,
  sampleCaller,
  send,
  startWorld,
  type TestBroker,
  until,
} from '../../support/broker.ts'

/** The state of a key in the cache when the fault is injected. */
export type State = 'cold' | 'due' | 'expired'

/** One key in one state. Each cell has an application and a tenant of its own, so that cells do not affect each other. */
export interface Cell {
  readonly state: State
  readonly callers: 'one' | 'many'
  readonly application: string
  readonly tenant: string
}

const guid = (group: number, n: number): string => `${group}0000000-0000-4000-8000-00000000000${n}`

export const cells: readonly Cell[] = (['cold', 'due', 'expired'] as const).flatMap((state, n) =>
  (['one', 'many'] as const).map((callers, m) => {
    return { state, callers, application: `${state}-${callers}`, tenant: guid(4, 2 * n + m) }
  }),
)
const crowd = 4
/** Seconds: the life of the tokens that must expire, and the time until a token is due that must become due. */
const short = 5

/** A fault, and what callers get if no valid token is cached. If one is, they get it. */
export interface Row {
  readonly fault: Fault
  readonly status: number
  readonly code: string
  /** Seconds, exactly. Absent if the response has no such header. `later…`: for requests that come later, if it is more. */
  readonly retryAfter?: number
  readonly laterRetryAfter?: number
  /** Requests of one fetch to Entra's token endpoint. */
  readonly calls: number
  /** Attempts of one fetch; default: 1. */
  readonly attempts?: number
  /** The shortest time that callers wait, as a part of {@link hangsMs}. */
  readonly waits?: number
}

/** The responses for one cell. */
export interface Outcome {
  readonly replies: readonly Reply[]
  /** Milliseconds until the last of them arrived. */
  readonly waited: number
  /** The same request again, once everything has settled. */
  readonly again: Reply
  /** Requests to the token endpoint, with those of the last request. */
  readonly calls: number
}

/** The outcomes of all cells, and the requests to the emulator meanwhile. */
export interface Struck {
  readonly outcomes: ReadonlyMap<Cell, Outcome>
  readonly counts: Counts
}

/** The longest time of an exchange: too short for a pause of a second after a Retry-After. */
export const timeoutMs = 1000
/** How much longer a wait may take on a busy machine. */
const slackMs = 5000
/** How many times as long a deadline's timer runs where no fault hangs, so that a busy machine does not reach it. */
const patience = 20

/** How long {@link timeoutMs} takes where a fault hangs: requests must reach the emulator before, on a busy machine too. */
export const hangsMs = 3 * timeoutMs

/** Measures deadlines generously, and the pauses between attempts as they are. */
export const waitPatiently: Wait = (ms, signal) => sleep(ms < timeoutMs / 2 ? ms : ms * patience, undefined, { signal })

/** An emulator with an application and a tenant for each cell, and a broker that serves all of them. */
export async function startMatrix() {
  const world = await startWorld({
    applications: cells.map((_, n) => ({ clientId: guid(3, n) })),
    tenants: cells.map(({ tenant }) => ({ id: tenant })),
  })
  const minted = Array.from({ length: crowd }, (_, n) =>
    world.emulator.mintCallerToken({ sub: `caller-${n}` }, { expiresIn: 86_400 }),
  )
  const rule = {
    name: 'everything here',
    callers: [{ ...sampleCaller, subject: 'caller-*' }],
    tenants: cells.map(({ tenant }) => tenant),
    scopes: [graph],
    applications: cells.map(({ application }) => application),
    permissions: ['purge'],
  }
  const applications = Object.fromEntries(cells.map(({ application }, n) => [application, guid(3, n)]))
  /** Whether a fault hangs now, so that the deadline is what is tested. */
  const hanging = { now: false }
  const wait: Wait = (ms, signal) =>
    hanging.now ? sleep((ms * hangsMs) / timeoutMs, undefined, { signal }) : waitPatiently(ms, signal)
  return {
    ...world,
    hanging,
    tokens: await Promise.all(minted),
    start: (t: Closing, environment: BrokerOptions['environment'] = {}) =>
      world.broker(t, {
        policy: { applications, tenants: {}, rules: [rule] },
        environment: { BROKER_UPSTREAM_TIMEOUT_MS: String(timeoutMs), ...environment },
        wait,
      }),
  }
}

export type Matrix = Awaited<ReturnType<typeof startMatrix>>

/** Requests the key of a cell for one caller. */
export const requestCell = ({ tokens }: Matrix, broker: TestBroker, { application, tenant }: Cell, caller = 0) =>
  broker.requestToken({ application, tenant, scope: graph }, { token: tokens[caller] ?? '' })

/** Requests the key of a cell for all its callers at once. */
export const requestAll = (matrix: Matrix, broker: TestBroker, cell: Cell): Promise<readonly Reply[]> =>
  Promise.all(
    Array.from({ length: cell.callers === 'one' ? 1 : crowd }, (_, n) => requestCell(matrix, broker, cell, n)),
  )

/** Brings every cell into its state, after a purge and a long time, so that earlier failures have no effect. */
export async function prepare(matrix: Matrix, broker: TestBroker): Promise<void> {
  const { emulator, clock, tokens } = matrix
  emulator.clearFaults()
  clock.advance(100)
  const authorization = `Bearer ${tokens[0] ?? ''}`
  const purged = await send(`${broker.url}/tokens?all=true`, { method: 'DELETE', headers: { authorization } })
  assert.equal(purged.status, 200, purged.text)
  const fetchAll = async (state: State) => {
    for (const cell of cells.filter(each => each.state === state)) {
      const { status, text } = await requestCell(matrix, broker, cell)
      assert.equal(status, 200, `no token to begin with: ${text}`)
    }
  }
  emulator.configure({ expiresIn: short })
  await fetchAll('expired')
  emulator.configure({ expiresIn: 3599, refreshIn: short })
  await fetchAll('due')
  emulator.configure({ refreshIn: null })
  clock.advance(2 * short)
  emulator.resetCounts()
}

/** With at most so many exchanges in ten seconds, the circuit stays closed. */
const mostAttempts = 9

/** Injects a fault, and requests all cells. */
export async function strike(matrix: Matrix, broker: TestBroker, { fault, attempts = 1, waits }: Row): Promise<Struck> {
  await prepare(matrix, broker)
  matrix.hanging.now = waits !== undefined
  matrix.emulator.fault(fault)
  const outcomes = new Map<Cell, Outcome>()
  const atOnce = Math.floor(mostAttempts / attempts)
  for (let from = 0; from < cells.length; from += atOnce) {
    matrix.clock.advance(11)
    const some = cells.slice(from, from + atOnce)
    await Promise.all(some.map(async cell => outcomes.set(cell, await outcomeOf(matrix, broker, cell))))
  }
  const counts = matrix.emulator.counts()
  matrix.emulator.clearFaults()
  matrix.hanging.now = false
  return { outcomes, counts }
}

async function outcomeOf(matrix: Matrix, broker: TestBroker, cell: Cell): Promise<Outcome> {
  const failures = () =>
    broker.events('token.refresh_failed').filter(line => line['application'] === cell.application).length
  const failuresBefore = failures()
  const began = performance.now()
  const replies = await requestAll(matrix, broker, cell)
  const waited = performance.now() - began
  if (cell.state === 'due') await until('the failed refresh', () => failures() > failuresBefore)
  const again = await requestCell(matrix, broker, cell)
  return { replies, waited, again, calls: matrix.emulator.counts().tenants[cell.tenant]?.total ?? 0 }
}

/** Makes a test for each cell of a row, and one for all six together. */
export function reportRow(
  row: Row,
  struck: () => Promise<Struck>,
  together: (struck: Struck) => void = () => undefined,
): void {
  const { calls, status, code, retryAfter } = row
  const { kind, at, ...rest } = row.fault
  const details = Object.entries(rest).map(([name, value]) => `, ${name} ${value}`)
  const refusal = `${status} ${code}${retryAfter === undefined ? '' : `, Retry-After ${retryAfter}`}`
  describe(`${kind} at ${at}${details.join('')}`, () => {
    let result: Struck
    before(async () => {
      result = await struck()
    })
    for (const cell of cells) {
      const expected = cell.state === 'due' ? '200 hit' : refusal
      test(`${cell.state}, ${cell.callers}: ${expected}; requests: ${calls}`, () => {
        const outcome = result.outcomes.get(cell)
        assert.ok(outcome)
        assert.equal(outcome.calls, calls, 'requests to the token endpoint')
        if (cell.state === 'due') assertServed(outcome)
        else assertFailed(outcome, row)
      })
    }
    test('no redirect is followed, and the totals are right', () => {
      assert.equal(result.counts.redirectsFollowed, 0)
      const sent = [...result.outcomes.values()].flatMap(each =>
        each.replies.map(reply => reply.headers['retry-after']),
      )
      if (retryAfter !== undefined) assert.ok(sent.includes(`${retryAfter}`), 'no caller gets the exact seconds')
      together(result)
    })
  })
}

/** Every caller gets the cached token. `due` shows that no caller waited: later it would be `refresh-failed`. */
function assertServed({ replies, again }: Outcome): void {
  for (const { status, headers } of replies) {
    assert.equal(status, 200)
    assert.match(String(headers['cache-status']), /^token-broker; hit; ttl=\d+; detail=(?:due|refresh-failed)$/)
  }
  assert.ok(replies.some(({ headers }) => String(headers['cache-status']).endsWith('=due')))
  assert.equal(again.status, 200)
  assert.match(String(again.headers['cache-status']), /^token-broker; hit; ttl=\d+; detail=refresh-failed$/)
  assert.equal(new Set([...replies, again].map(({ json }) => json['access_token'])).size, 1)
}

function assertFailed({ replies, waited, again }: Outcome, row: Row): void {
  const { status, code, retryAfter = -1, laterRetryAfter = retryAfter + 1, waits = 0 } = row
  for (const reply of [...replies, again]) {
    assert.deepEqual([reply.status, reply.json['code']], [status, code])
    assert.equal(reply.headers['cache-status'], undefined)
    // A caller that comes too late to join the fetch gets the cached failure, with jitter added to Retry-After.
    const seconds = Number(reply.headers['retry-after'] ?? -1)
    assert.ok(seconds === retryAfter || (row.retryAfter !== undefined && seconds === laterRetryAfter))
  }
  assert.ok(waited > waits * hangsMs - 50, `waited for ${waited} ms`)
  assert.ok(waited < hangsMs + slackMs, `waited for ${waited} ms`)
}
