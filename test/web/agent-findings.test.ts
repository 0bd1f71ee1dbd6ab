import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { findings, verdict } from '../../web/model/verdict.js'
import { helper, startAgentWorld } from '../service/agent-identities-world.ts'
import { readBoard } from './read-board.ts'

const { clock, start } = await startAgentWorld()

describe('an agent identity that Entra rejects', () => {
  test('is named by the verdict, and its blueprint, the tenant and Entra are not blamed', async t => {
    const broker = await start(t)
    await broker.service.warmUp()
    await broker.requestToken({ ...helper, agent: 'adopted' })
    const { word, sentence, affected, found, first } = await readBoard(broker, clock.now())
    assert.equal(word, 'Partly failing')
    assert.equal(
      sentence,
      "Agent identity adopted gets no new tokens in contoso: Entra does not accept the blueprint's token as its credential (AADSTS700213).",
    )
    assert.match(affected, /^requests for new tokens of agent identity adopted only\. Other tenants get tokens, since /)
    assert.match(first, /belongs to blueprint/)
    assert.deepEqual(
      found.map(({ component, word: state }) => [component, state]),
      [['tenants', '1 agent identity failing']],
    )
  })

  test('beside others is one finding, apart from that of a tenant with the same reason', async t => {
    const broker = await start(t)
    await broker.service.warmUp()
    await broker.requestToken({ ...helper, agent: 'adopted' })
    const { snapshot } = await readBoard(broker, clock.now())
    const [rejected] = snapshot.failures
    assert.ok(rejected)
    const second = { ...rejected, agent: 'second', agent_id: '60000000-0000-4000-8000-0000000000ff' }
    const consent = { ...rejected, agent: null, agent_id: null, reason: 'consent', code: 'consent_required' } as const
    const found = findings({
      ...snapshot,
      failures: [rejected, second, consent, { ...consent, agent: 'third', agent_id: 'x' }],
    })
    assert.match(
      verdict(found).sentence,
      /^2 agent identities get no new tokens \(adopted and second\) in contoso: .*– and 2 other problems\.$/,
    )
    assert.deepEqual(
      found.map(({ id, sentence }) => [id, /^(?:\d )?(Tenant|[Aa]gent identit)/.exec(sentence)?.[1]]),
      [
        ['tenants agent agent_identity', 'agent identit'],
        ['tenants consent', 'Tenant'],
        ['tenants agent consent', 'Agent identit'],
      ],
    )
  })
})
