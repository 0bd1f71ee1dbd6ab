import { longestWaitSeconds } from '../../src/broker/authentication/signature-limiter.ts'
import assert from 'node:assert/strict'
import { sample } from '../../emulator/options.ts'
import {
  type BrokerOptions,
  graph,
  type Reply,
  startWorld,
  type TestBroker,
  until,
  type World,
} from '../support/broker.ts'
import { document } from './document.ts'

/** A world in which the names and ids of the document's examples exist, and more that the examples of errors need. */

const { value } = document.components.examples['consent_required'] ?? {}
/** The ids in the consent URL of the example. */
const [, contoso = '', application = ''] = /\/([0-9a-f-]{36})\/adminconsent\?client_id=([0-9a-f-]{36})/.exec(
  JSON.stringify(value),
) ?? ['', '', '']

/** A world with the tenants and the application of the document's examples. */
export const documentedWorld = (): Promise<World> =>
  startWorld({
    applications: [
      { clientId: application },
      { clientId: sample.blueprint, agentIdentities: [{ clientId: sample.agentIdentity, tenant: contoso }] },
    ],
    tenants: [{ id: contoso }, { id: sample.tailspin, consented: [] }],
  })

/** Options of a broker whose policy fits the document's examples. */
export const brokerOptions = ({ emulator }: World, environment = {}): BrokerOptions => ({
  environment,
  policy: {
    applications: { default: application, reporting: application, assistants: sample.blueprint },
    agents: { helper: { application: 'assistants', id: sample.agentIdentity } },
    tenants: { contoso, tailspin: sample.tailspin },
    scopes: { graph },
    issuers: { onprem: { issuer: emulator.callerIssuer, audiences: ['token-broker'] } },
    rules: [
      {
        name: 'tokens',
        callers: [{ issuer: 'onprem', subject: 'sample-caller' }],
        tenants: ['contoso', 'tailspin'],
        scopes: [graph],
        applications: ['default', 'reporting'],
        agents: ['helper'],
      },
      { name: 'crowd', callers: [{ issuer: 'onprem', subject: 'sample-caller' }], tenants: '*', scopes: [graph] },
      ...(['requestLimit', 'exchangeLimit'] as const).map(limit => ({
        name: limit,
        callers: [{ issuer: 'onprem', subject: `limited-${limit.toLowerCase()}` }],
        tenants: ['contoso', 'tailspin'],
        scopes: [graph],
        [limit]: '1/m',
      })),
      { name: 'dashboards', callers: [{ issuer: 'onprem', subject: 'dashboard' }], permissions: ['observe', 'purge'] },
    ],
  },
})

/** A caller's share of the queue's 10,000 entries. */
const share = 5_000

/**
 * The response to a caller whose share of the queue is used up: it waits for thousands of tokens, and Entra does not respond.
 * Needs a broker with `BROKER_UPSTREAM_CONCURRENCY=1`.
 */
export async function requestInCrowd(broker: TestBroker, { emulator }: World): Promise<Reply> {
  const authorization = `Bearer ${await emulator.mintCallerToken()}`
  const inject = (tenant: string) =>
    broker.service.app.inject({
      method: 'POST',
      url: '/tokens',
      headers: { authorization },
      payload: { tenant, scope: graph },
    })
  const tenantOf = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
  const shows = async (field: string, count: number) => (await broker.get('/cache')).json[field] === count

  await broker.service.warmUp()
  emulator.fault({ kind: 'hung', at: 'token' })
  const hanging = inject('contoso')
  await until('the exchange that hangs', () => shows('exchanging', 1))
  const waiting = Array.from({ length: share }, (_, n) => inject(tenantOf(n)))
  await until('the queue', () => shows('waiting', share), 60)
  const reply = await broker.requestToken({ tenant: tenantOf(share), scope: graph })
  // It is reset, and the next attempt fails for the whole application, which ends all waiting.
  emulator.fault({ kind: 'refused', at: 'token' })
  emulator.clearFaults()
  emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
  await Promise.all([hanging, ...waiting])
  return reply
}

/** The refusal of one of many concurrent credentials with bad signatures, of which each waits for seconds by the clock. */
export async function afterBadCredentials(
  { emulator, clock }: World,
  act: (credential: { token: string }) => Promise<Reply>,
): Promise<Reply> {
  const forged = `${(await emulator.mintCallerToken()).slice(0, -8)}AAAAAAAA`
  const all = Promise.all(Array.from({ length: 200 }, () => act({ token: forged })))
  const flood = { isOver: false }
  void all.then(() => (flood.isOver = true))
  for (let nth = 0; nth < 40 && !flood.isOver; nth++) {
    clock.advance(longestWaitSeconds + 1)
    await new Promise(resolve => setTimeout(resolve, 2))
  }
  return (await all).find(({ status }) => status === 429) ?? assert.fail('none was refused')
}
