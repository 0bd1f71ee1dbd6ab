import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Emulator } from '../../emulator/emulator.ts'
import { requestToken, send, claims, emulate, object, type Reply } from './client.ts'

function control(
  emulator: Emulator,
  call: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const [method = '', path = ''] = call.split(' ')
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return send(`${emulator.localUrl}/control${path}`, { method, headers, ...(body === undefined ? {} : { body: text }) })
}

test('faults are set, listed and cleared', async t => {
  const emulator = await emulate(t)
  const set = await control(emulator, 'PUT /faults', [{ kind: 'throttled', at: 'token', times: 2 }])
  assert.equal(set.status, 200)
  assert.equal((await requestToken(emulator)).status, 429)
  const state = object((await control(emulator, 'GET ')).text)
  assert.deepEqual(state['faults'], [{ kind: 'throttled', at: 'token', times: 1 }])
  await control(emulator, 'DELETE /faults')
  assert.equal((await requestToken(emulator)).status, 200)
})

test('tokens are minted, keys rotated and settings changed', async t => {
  const emulator = await emulate(t)
  const minted = await control(emulator, 'POST /caller-token', { claims: { sub: 's' }, options: { expiresIn: 60 } })
  assert.equal(claims(object(minted.text)['token'])['sub'], 's')
  const rotated = object((await control(emulator, 'POST /rotate', { drop: true })).text)
  assert.equal(emulator.callerJwks().keys[0]?.kid, rotated['kid'])
  await control(emulator, 'PUT /settings', { expiresIn: 10 })
  assert.equal(object((await requestToken(emulator)).text)['expires_in'], 10)
})

const refused = [
  ['an unknown setting', 'PUT /settings', { surprise: 1 }, 400, /surprise/],
  ['a setting out of range', 'PUT /settings', { expiresIn: 86_401 }, 400, /expiresIn/],
  ['latency of an unknown endpoint', 'PUT /settings', { latency: { moon: 1 } }, 400, /moon/],
  ['faults that are not a list', 'PUT /faults', {}, 400, /list/],
  ['an invalid fault', 'PUT /faults', [{ kind: 'hung' }], 400, /at/],
  ['a fault that would close /control', 'PUT /faults', [{ kind: 'refused', at: 'identity' }], 400, /reset/],
  ['a body that is not JSON', 'PUT /faults', '{', 400, /JSON/],
  ['unknown token options', 'POST /caller-token', { options: { alg: 'x' } }, 400, /alg/],
  ['an unknown action', 'GET /faults', undefined, 404, /PUT \/control\/faults/],
  ['a name that every object inherits', 'GET /constructor', undefined, 404, /not found/],
  ['a long body', 'PUT /settings', 'x'.repeat(65_537), 413, /64 KiB/],
] as const
for (const [why, call, body, status, message] of refused)
  test(`control refuses ${why}`, async t => {
    const emulator = await emulate(t)
    const reply = await control(emulator, call, body)
    assert.equal(reply.status, status)
    assert.match(String(object(reply.text)['error']), message)
  })

for (const headers of [
  { origin: 'http://localhost' },
  { origin: 'null' },
  { host: 'attacker.example' },
  { host: 'localhost.attacker.example' },
])
  test(`control refuses a browser's ${JSON.stringify(headers)}`, async t => {
    const emulator = await emulate(t)
    assert.equal((await control(emulator, 'PUT /settings', { expiresIn: 1 }, headers)).status, 403)
    assert.equal(object((await requestToken(emulator)).text)['expires_in'], 3599)
  })
