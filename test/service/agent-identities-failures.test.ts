import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { graph } from '../support/broker.ts'
import { agentOfOther, arm, helper, outcome, startAgentWorld } from './agent-identities-world.ts'

const { emulator, start, exchanges, fields } = await startAgentWorld()

test('an agent identity of another blueprint gets no token, and the others of the blueprint still do', async t => {
  const broker = await start(t)
  const refused = await broker.requestToken({ ...helper, agent: 'adopted' })
  assert.deepEqual(outcome(refused), [502, 'federation_misconfigured', 700213])
  assert.match(String(refused.json['remedy']), new RegExp(`agent identity ${agentOfOther} belongs to blueprint`))
  assert.deepEqual(
    broker.events('token.failed').map(({ reason }) => reason),
    ['agent_identity'],
  )
  // What concerns one agent identity does not make Entra, or the whole application, fail.
  const { json: health } = await broker.get('/health')
  assert.doesNotMatch(JSON.stringify(health['checks'] ?? health), /"failing"/)
  assert.equal((await broker.requestToken(helper)).status, 200)
  assert.equal((await broker.requestToken({ ...helper, agent: 'second' })).status, 200)
})

test('an agent identity has one tenant: another one is refused, with what to do', async t => {
  const broker = await start(t)
  const refused = await broker.requestToken({ ...helper, tenant: 'fabrikam' })
  assert.deepEqual(outcome(refused), [403, 'consent_required', 700016])
  assert.match(String(refused.json['remedy']), /exists in one tenant only/)
  assert.equal((await broker.requestToken(helper)).status, 200)
})

test('a blueprint gets no token of a resource for itself, and its agent identities still get theirs', async t => {
  const broker = await start(t)
  const refused = await broker.requestToken({ tenant: 'contoso', scope: graph, application: 'assistants' })
  assert.deepEqual(outcome(refused), [422, 'upstream_rejected', 82001])
  assert.match(String(refused.json['remedy']), /is an agent identity blueprint/)
  assert.equal((await broker.requestToken(helper)).status, 200)
})

test('a blueprint without its federated credential fails once for all of its agent identities', async t => {
  const broker = await start(t)
  emulator.setFederatedCredentials(sample.blueprint, [])
  t.after(() => emulator.setFederatedCredentials(sample.blueprint, [{}]))
  assert.deepEqual(outcome(await broker.requestToken(helper)), [502, 'federation_misconfigured', 70025])
  assert.deepEqual(outcome(await broker.requestToken({ ...helper, agent: 'second' })), [
    502,
    'federation_misconfigured',
    70025,
  ])
  assert.equal(exchanges().length, 1)
  assert.equal((await broker.requestToken({ tenant: 'contoso', scope: graph })).status, 200)
})

for (const [code, why] of [
  [500011, 'the resource of token exchange'],
  [65001, 'no consent'],
  [53003, 'Conditional Access'],
  [4242, 'an unknown code'],
] as const)
  test(`AADSTS${code} for the blueprint is cached for all scopes of the agent identity, and no other: ${why}`, async t => {
    const broker = await start(t)
    emulator.fault({ kind: 'aadsts', code, at: 'token', times: 1 })
    const refused = outcome(await broker.requestToken(helper))
    assert.equal(refused[2], code)
    assert.deepEqual(outcome(await broker.requestToken({ ...helper, scope: arm })), refused)
    assert.equal(exchanges().length, 1)
    assert.equal((await broker.requestToken({ ...helper, agent: 'second' })).status, 200)
  })

test("a refused token of the blueprint is replaced, and the agent identity's request sent again", async t => {
  const broker = await start(t)
  await broker.requestToken(helper)
  emulator.resetCounts()
  emulator.fault({ kind: 'aadsts', code: 700024, at: 'token', times: 1 })
  assert.equal((await broker.requestToken({ ...helper, scope: arm })).status, 200)
  assert.deepEqual(
    fields().map(([, client]) => client),
    [sample.agentIdentity, sample.blueprint, sample.agentIdentity],
  )
})

test("the blueprint's token is checked: one of another tenant is not sent", async t => {
  const broker = await start(t)
  emulator.fault({ kind: 'wrong-tenant', at: 'token', times: 1 })
  const refused = await broker.requestToken(helper)
  assert.deepEqual(outcome(refused), [502, 'upstream_invalid'])
  assert.equal(exchanges().length, 1)
})

test('a token of another agent identity or blueprint than requested is discarded', async t => {
  const broker = await start(t)
  await broker.requestToken(helper)
  emulator.fault({ kind: 'wrong-application', at: 'token', times: 1 })
  const refused = await broker.requestToken({ ...helper, scope: arm })
  assert.deepEqual(outcome(refused), [502, 'upstream_invalid'])
})
