import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { after, test } from 'node:test'
import { graph, startWorld } from '../support/broker.ts'

const world = await startWorld()
const secret = 'tb_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHabcdef'
const date = (days: number): string => new Date(world.clock.now() + days * 86_400_000).toISOString().slice(0, 10)
const apiKeys = {
  erp: { sha256: hash('sha256', secret, 'hex'), expires: date(30) },
  old: { sha256: hash('sha256', 'old', 'hex'), expires: date(0) },
}
const policy = {
  apiKeys,
  rules: [
    { name: 'erp', callers: [{ apiKey: 'erp' }], tenants: ['contoso'], scopes: [graph] },
    { name: 'erp looks', callers: [{ apiKey: 'erp' }], permissions: ['observe'] },
  ],
}
const broker = await world.broker({ after }, { policy })

test('an API key as bearer gets what its rule grants, and nothing else', async () => {
  assert.equal((await broker.requestToken(undefined, { token: secret })).status, 200)
  const other = await broker.requestToken({ tenant: 'fabrikam', scope: graph }, { token: secret })
  assert.deepEqual([other.status, other.json['code']], [403, 'not_permitted'])
})

test('a key that differs in its last character is 401 invalid_token, and is not repeated', async () => {
  const wrong = `${secret.slice(0, -1)}g`
  const { status, json, text, headers } = await broker.requestToken(undefined, { token: wrong })
  assert.deepEqual([status, json['code']], [401, 'invalid_token'])
  assert.ok(!text.includes(wrong.slice(0, 20)) && !String(headers['www-authenticate']).includes('tb_'))
})

test('an expired key is 401 invalid_token, and the challenge says why', async () => {
  const { status, json, headers } = await broker.requestToken(undefined, { token: 'old' })
  assert.deepEqual([status, json['code']], [401, 'invalid_token'])
  assert.match(String(headers['www-authenticate']), /error_description="The API key has expired\."/)
})

test('the audit trail names the key and its date; key and hash are nowhere in the log', async () => {
  const line = broker.events('token.issued')[0]
  assert.deepEqual(line?.['caller'], { kind: 'apiKey', key: 'erp', expires: date(30) })
  assert.ok(!broker.logText().includes(secret))
  assert.ok(!broker.logText().includes(apiKeys.erp.sha256))
})
