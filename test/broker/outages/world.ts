import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import type { Fault } from '../../../emulator/faults.ts'
import type { Counts } from '../../../emulator/traffic.ts'
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

/** What the cache knows of a key when the fault strikes. */
export type State = 'cold' | 'due' | 'expired'

/** One question about one key: each cell has an application and a tenant of its own, so that none helps another. */
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
/** Seconds of life of the tokens that are to expire, and until those are due that are to be due. */
const short = 5

/** A fault, and what it comes to for whoever has no token. Whoever has one is served it. */
export interface Row {
  readonly fault: Fault
  readonly status: number
  readonly code: string
  /** Seconds, exactly. Left out where the answer has no such header. */
  readonly retryAfter?: number
  /** Requests that a fetch makes of Entra's token endpoint. */
  readonly calls: number
  /** Attempts that a fetch consists of; default 1. */
  readonly attempts?: number
  /** The least that callers wait, as a part of the time an exchange may take. */
  readonly waits?: number
}

/** What became of one cell. */
export interface Outcome {
  readonly replies: readonly Reply[]
  /** Milliseconds until the last of them had come. */
  readonly waited: number
  /** The same question again, once everything has settled. */
  readonly again: Reply
  /** Requests to the token endpoint, those that the last question caused included. */
  readonly calls: number
}

/** What became of all of them, and what the emulator was asked meanwhile. */
export interface Struck {
  readonly outcomes: ReadonlyMap<Cell, Outcome>
  readonly counts: Counts
}

/** The time an exchange may take: too short for the pause of a second that a Retry-After asks for. */
export const timeoutMs = 1000
/** What a busy machine may add to a wait. */
const slackMs = 2500

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
  return {
    ...world,
    tokens: await Promise.all(minted),
    start: (t: Closing, environment: BrokerOptions['environment'] = {}) =>
      world.broker(t, {
        policy: { applications, tenants: {}, rules: [rule] },
        environment: { BROKER_UPSTREAM_TIMEOUT_MS: String(timeoutMs), ...environment },
      }),
  }
}

export type Matrix = Awaited<ReturnType<typeof startMatrix>>

/** Asks for a cell's key on behalf of one caller. */
export const askFor = ({ tokens }: Matrix, broker: TestBroker, { application, tenant }: Cell, caller = 0) =>
  broker.ask({ application, tenant, scope: graph }, { token: tokens[caller] ?? '' })

/** As many callers as a cell has, at once. */
export const askAllFor = (matrix: Matrix, broker: TestBroker, cell: Cell): Promise<readonly Reply[]> =>
  Promise.all(Array.from({ length: cell.callers === 'one' ? 1 : crowd }, (_, n) => askFor(matrix, broker, cell, n)))

/** Brings every cell into its state. What happened before is forgotten, and long past. */
export async function prepare(matrix: Matrix, broker: TestBroker): Promise<void> {
  const { emulator, clock, tokens } = matrix
  emulator.clearFaults()
  clock.advance(100)
  const authorization = `Bearer ${tokens[0] ?? ''}`
  const purged = await send(`${broker.url}/tokens?all=true`, { method: 'DELETE', headers: { authorization } })
  assert.equal(purged.status, 200, purged.text)
  const fetchAll = async (state: State) => {
    for (const cell of cells.filter(each => each.state === state)) {
      const { status, text } = await askFor(matrix, broker, cell)
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

/** With fewer exchanges than this in ten seconds the circuit stays out of it. */
const mostAttempts = 9

/** Lets a fault strike all cells, and asks. */
export async function strike(matrix: Matrix, broker: TestBroker, { fault, attempts = 1 }: Row): Promise<Struck> {
  await prepare(matrix, broker)
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
  return { outcomes, counts }
}

async function outcomeOf(matrix: Matrix, broker: TestBroker, cell: Cell): Promise<Outcome> {
  const failures = () =>
    broker.events('token.refresh_failed').filter(line => line['application'] === cell.application).length
  const failuresBefore = failures()
  const began = performance.now()
  const replies = await askAllFor(matrix, broker, cell)
  const waited = performance.now() - began
  if (cell.state === 'due') await until('the failed refresh', () => failures() > failuresBefore)
  const again = await askFor(matrix, broker, cell)
  return { replies, waited, again, calls: matrix.emulator.counts().tenants[cell.tenant]?.total ?? 0 }
}

/** Reports a test for each cell of a row, and one for what the six of them came to together. */
export function reportRow(
  row: Row,
  struck: () => Promise<Struck>,
  together: (struck: Struck) => void = () => undefined,
): void {
  const { calls, status, code, retryAfter } = row
  const { kind, at, ...rest } = row.fault
  const details = Object.entries(rest).map(([name, value]) => `, ${name} ${value}`)
  const answer = `${status} ${code}${retryAfter === undefined ? '' : `, Retry-After ${retryAfter}`}`
  describe(`${kind} at ${at}${details.join('')}`, () => {
    let result: Struck
    before(async () => {
      result = await struck()
    })
    for (const cell of cells) {
      const expected = cell.state === 'due' ? '200 hit' : answer
      test(`${cell.state}, ${cell.callers}: ${expected}; requests: ${calls}`, () => {
        const outcome = result.outcomes.get(cell)
        assert.ok(outcome)
        assert.equal(outcome.calls, calls, 'requests to the token endpoint')
        if (cell.state === 'due') assertServed(outcome)
        else assertFailed(outcome, row)
      })
    }
    test('nothing follows a redirect, and the rest adds up', () => {
      assert.equal(result.counts.redirectsFollowed, 0)
      const told = [...result.outcomes.values()].flatMap(each =>
        each.replies.map(reply => reply.headers['retry-after']),
      )
      if (retryAfter !== undefined) assert.ok(told.includes(`${retryAfter}`), 'nobody is told the very seconds')
      together(result)
    })
  })
}

/** The token that is held, to everybody. That nobody waited is told by `due`: later it would be `refresh-failed`. */
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

function assertFailed({ replies, waited, again }: Outcome, { status, code, retryAfter, waits = 0 }: Row): void {
  for (const reply of [...replies, again]) {
    assert.deepEqual([reply.status, reply.json['code']], [status, code])
    assert.equal(reply.headers['cache-status'], undefined)
  }
  // Who comes a moment too late to join meets what is remembered: jitter has been added to it.
  const known: readonly unknown[] = retryAfter === undefined ? [undefined] : [`${retryAfter}`, `${retryAfter + 1}`]
  for (const { headers } of [...replies, again]) assert.ok(known.includes(headers['retry-after']))
  assert.ok(waited > waits * timeoutMs - 50, `waited for ${waited} ms`)
  assert.ok(waited < timeoutMs + slackMs, `waited for ${waited} ms`)
}
