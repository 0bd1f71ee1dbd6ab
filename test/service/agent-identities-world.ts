import { decodeJws, type Json } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import {
  graph,
  observers,
  sampleCaller,
  send,
  startWorld,
  type Closing,
  type Reply,
  type TestBroker,
} from '../support/broker.ts'

/** A broker, and an emulator with two blueprints and their agent identities. */

const otherBlueprint = '30000000-0000-4000-8000-0000000000c2'
/** The agent identity of another blueprint, and the second one of `sample.blueprint`. */
export const agentOfOther = '60000000-0000-4000-8000-0000000000a2'
export const secondAgent = '60000000-0000-4000-8000-0000000000a3'
export const arm = 'https://management.azure.com/.default'

/** One per test file. */
export async function startAgentWorld() {
  const world = await startWorld({
    applications: [
      { clientId: sample.application },
      {
        clientId: sample.blueprint,
        agentIdentities: [
          { clientId: sample.agentIdentity, tenant: sample.contoso },
          { clientId: secondAgent, tenant: sample.contoso },
        ],
      },
      { clientId: otherBlueprint, agentIdentities: [{ clientId: agentOfOther, tenant: sample.contoso }] },
    ],
  })
  const { emulator } = world
  const exchanges = () => emulator.requests().filter(({ endpoint }) => endpoint === 'token')
  return {
    ...world,
    start: (t: Closing, options: Parameters<typeof world.broker>[1] = {}) => world.broker(t, { policy, ...options }),
    /** The requests to Entra. */
    exchanges,
    /** Of each request: tenant, client id, scope and `fmi_path`. */
    fields: () =>
      exchanges().map(({ path, form }) => [path.split('/')[1], form['client_id'], form['scope'], form['fmi_path']]),
    /** Purges what the query selects, and returns the response. */
    purge: async (broker: TestBroker, query: string): Promise<Json> => {
      const authorization = `Bearer ${await emulator.mintCallerToken()}`
      return (await send(`${broker.url}/tokens?${query}`, { method: 'DELETE', headers: { authorization } })).json
    },
  }
}

const policy = {
  applications: { default: sample.application, assistants: sample.blueprint, others: otherBlueprint },
  agents: {
    helper: { application: 'assistants', id: sample.agentIdentity },
    second: { application: 'assistants', id: secondAgent },
    // As a policy that names the wrong blueprint has it.
    adopted: { application: 'assistants', id: agentOfOther },
  },
  rules: [
    {
      name: 'agents',
      callers: [sampleCaller],
      tenants: ['contoso', 'fabrikam'],
      scopes: [graph, arm],
      agents: ['helper', 'second', 'adopted'],
    },
    {
      name: 'blueprint',
      callers: [sampleCaller],
      tenants: ['contoso'],
      scopes: [graph],
      applications: ['assistants', 'default'],
    },
    observers,
    { name: 'purge', callers: [sampleCaller], permissions: ['purge'] },
  ],
}

/** A request for a token of the agent identity. */
export const helper = { tenant: 'contoso', scope: graph, agent: 'helper' }

/** The claims of a token. */
export const claimsIn = (token: unknown): Json => decodeJws(String(token))?.payload ?? {}

/** The scope of the first request to Entra. */
export const exchange = 'api://AzureADTokenExchange/.default'

/** The fields of the first request to Entra for an agent identity. */
export const firstOf = (agent: string) => [sample.contoso, sample.blueprint, exchange, agent]

/** Status, code and AADSTS codes of an error. */
export const outcome = ({ status, json }: Reply) => {
  const upstream = json['upstream'] as { codes?: readonly number[] } | undefined
  return [status, json['code'], ...(upstream?.codes ?? [])]
}
