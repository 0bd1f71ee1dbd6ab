import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import type { Json } from '../../emulator/jws.ts'
import type { EmulatorOptions } from '../../emulator/options.ts'
import {
  type BrokerOptions,
  type Closing,
  graph,
  observers,
  type Reply,
  startWorld,
  type TestBroker,
} from '../support/broker.ts'
import { documented, metricOf } from '../contract/metrics-page.ts'
import { movesBetween, type Scrape, scrape } from './scrape.ts'

const thirtyDays = 30 * 86_400

/** Checks that docs/metrics.md lists every label value that a test causes. */
function assertDocumented({ series }: Scrape): void {
  for (const { name, labels } of series.values()) {
    const metric = metricOf(name)
    for (const [label, value] of Object.entries(labels).filter(([each]) => each !== 'le'))
      assert.ok(
        documented.has(`${metric} ${label}`) || documented.has(`${metric} ${label} ${value}`),
        `docs/metrics.md does not list ${metric}{${label}="${value}"}`,
      )
  }
}

/**
 * A world in which a counter moves for one reason only: the issuer's keys are read from a file, and the tokens of the
 * caller and of the observer outlive every test, so that no caller is verified twice and no keys are fetched besides.
 */
export async function metricsWorld(emulated: EmulatorOptions = {}) {
  const world = await startWorld(emulated)
  const { emulator } = world
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  after(() => rm(folder, { recursive: true, force: true }))
  const jwksFile = join(folder, 'jwks.json')
  await writeFile(jwksFile, JSON.stringify(emulator.callerJwks()))
  const issuers = { emulator: { issuer: emulator.callerIssuer, audiences: ['token-broker'], jwksFile } }
  const caller = await emulator.mintCallerToken({}, { expiresIn: thirtyDays })
  const observer = await emulator.mintCallerToken({ sub: 'dashboard' }, { expiresIn: thirtyDays })

  const ask = (broker: TestBroker, body: Json | string = { tenant: 'contoso', scope: graph }): Promise<Reply> =>
    broker.requestToken(body, { token: caller })
  const look = async (broker: TestBroker): Promise<Scrape> => {
    const seen = await scrape(broker, observer)
    assertDocumented(seen)
    return seen
  }
  const bareBroker = (t: Closing, { policy = {}, environment = {}, ...rest }: BrokerOptions = {}) =>
    world.broker(t, { ...rest, policy: { issuers, ...policy }, environment })
  return {
    ...world,
    issuers,
    observers,
    /** A broker that has verified no caller yet. */
    bareBroker,
    caller,
    observer,
    ask,
    /** A broker that knows the caller, the observer and the identity's token already, and has fabrikam's token in its cache. */
    broker: async (t: Closing, options: BrokerOptions = {}): Promise<TestBroker> => {
      const broker = await bareBroker(t, options)
      await ask(broker, { tenant: 'fabrikam', scope: graph })
      emulator.resetCounts()
      return broker
    },
    scrape: look,
    /** By how much which counters move while something happens. */
    moves: async (broker: TestBroker, happens: () => Promise<unknown>): Promise<Record<string, number>> => {
      const before = await look(broker)
      await happens()
      return movesBetween(before, await look(broker))
    },
  }
}
