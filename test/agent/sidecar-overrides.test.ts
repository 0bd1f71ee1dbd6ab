import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { graph, sampleCaller, startWorld } from '../support/broker.ts'
import { freePort } from '../support/ports.ts'
import { secret, startAgent } from './world.ts'

const world = await startWorld()
const scopes = { graph, vault: 'https://vault.azure.net/.default', default: graph }
const broker = await world.broker({ after }, { policy: { scopes } })
const agent = await startAgent({ after }, world, broker, ['--sidecar'])
const open = (rest: string) => agent.send(`/AuthorizationHeaderUnauthenticated/${rest}`)
const closed = (rest: string) =>
  agent.send(`/AuthorizationHeader/${rest}`, { headers: { authorization: `Bearer ${secret}` } })

describe('no override reaches a tenant, a scope or an assertion', () => {
  const attacks: readonly (readonly [why: string, query: string])[] = [
    ['another tenant', `optionsOverride.AcquireTokenOptions.Tenant=${sample.fabrikam}`],
    ["the agent's own tenant too: the agent's flags decide", 'optionsOverride.AcquireTokenOptions.Tenant=contoso'],
    ['the client assertion itself', 'optionsOverride.Scopes=api://AzureADTokenExchange/.default'],
    [
      'a scope that the broker grants, and the name does not stand for',
      'optionsOverride.Scopes=api://sample-api/.default',
    ],
    ['a scope in another case', 'optionsOverride.Scopes=https://GRAPH.microsoft.com/.default'],
    ['a second scope', `optionsOverride.Scopes=${graph}&optionsOverride.Scopes=api://sample-api/.default`],
    ['two scopes in one parameter', `optionsOverride.Scopes=${graph}%20api://sample-api/.default`],
    ['a delegated permission', 'optionsOverride.Scopes=User.Read'],
    ['a name in the place of a scope', 'optionsOverride.Scopes=graph'],
    ['no scope', 'optionsOverride.Scopes='],
    ['a token on behalf of a user', 'optionsOverride.RequestAppToken=false'],
    ['a parameter of two values', 'optionsOverride.RequestAppToken=true&optionsOverride.RequestAppToken=false'],
    ['past the cache', 'optionsOverride.AcquireTokenOptions.ForceRefresh=true'],
    ['another credential', 'optionsOverride.AcquireTokenOptions.ManagedIdentity.UserAssignedClientId=x'],
    ['another assertion path', 'optionsOverride.AcquireTokenOptions.FmiPath=x'],
    ['a bound token', 'optionsOverride.AcquireTokenOptions.PopPublicKey=x'],
    ['a claims challenge', 'optionsOverride.AcquireTokenOptions.Claims={}'],
    ['another server', 'optionsOverride.BaseUrl=https://evil.example'],
    ['an agent identity', `AgentIdentity=${sample.application}`],
    ['an agent user', 'AgentUsername=user@contoso.example'],
    ['an agent user by its id', `AgentUserId=${sample.application}`],
    [
      'another case of the prefix, which ASP.NET accepts',
      `OPTIONSOVERRIDE.AcquireTokenOptions.Tenant=${sample.fabrikam}`,
    ],
    ['a parameter of the broker', 'tenant=fabrikam'],
    ['an inherited property', '__proto__=x'],
  ]
  for (const [why, query] of attacks)
    test(`400: ${why}`, async () => {
      for (const reply of await Promise.all([open(`graph?${query}`), closed(`graph?${query}`)])) {
        assert.deepEqual([reply.status, reply.json['code']], [400, 'invalid_request'], reply.text)
        assert.ok(!reply.text.includes('eyJ'))
      }
    })

  test('the error names the parameter, and what decides in its place; the value is not repeated', async () => {
    const { json, text } = await open('graph?optionsOverride.AcquireTokenOptions.Tenant=the-value')
    assert.match(String(json['detail']), /accepts no overrides; .* "optionsOverride\.AcquireTokenOptions\.Tenant"\.$/)
    assert.match(String(json['remedy']), /--tenant decides the tenant/)
    assert.ok(!text.includes('the-value'))
  })

  test("what SDKs always send and changes nothing is accepted; the broker's response says what the name stands for", async () => {
    const same = `optionsOverride.Scopes=${encodeURIComponent(graph)}&optionsOverride.RequestAppToken=true`
    const { status, text } = await open(`graph?${same}`)
    assert.equal(status, 200, text)
    assert.equal((await open('graph?optionsOverride.RequestAppToken=True')).status, 200, 'as .NET writes it')
    const other = await open(`graph?optionsOverride.Scopes=${encodeURIComponent(scopes.vault)}`)
    assert.match(String(other.json['detail']), /"graph" does not stand for "https:\/\/vault\.azure\.net\/\.default"/)
  })

  test('a refused override is no issued token in the log', async () => {
    const lines = () => agent.logText().split('token.issued').length
    const before = lines()
    await open(`default?optionsOverride.Scopes=${encodeURIComponent(scopes.vault)}`)
    assert.equal(lines(), before)
  })

  test('once the name stands for another scope, a cached token is not issued as one of the old scope', async t => {
    const environment = { PORT: String(await freePort()) }
    const old = await world.broker(t, { policy: { scopes }, environment })
    const here = await startAgent(t, world, old, ['--sidecar'])
    const request = () =>
      here.send(`/AuthorizationHeaderUnauthenticated/graph?optionsOverride.Scopes=${encodeURIComponent(graph)}`)
    assert.equal((await request()).status, 200)
    await old.service.close()
    const renamed = { graph: 'api://sample-api/.default' }
    const rules = [{ name: 'new', callers: [sampleCaller], tenants: ['contoso'], scopes: ['graph'] }]
    await world.broker(t, { policy: { scopes: renamed, rules }, environment })
    world.clock.advance(301)
    const { status, json } = await request()
    assert.deepEqual([status, json['code']], [400, 'invalid_request'])
    assert.match(here.logText(), /token\.revoked/)
  })
})
