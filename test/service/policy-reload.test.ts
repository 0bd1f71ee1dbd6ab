import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { Json } from '../../emulator/jws.ts'
import { until } from '../support/broker.ts'
import { base, looks, rule, start, world } from './reload-world.ts'

const { emulator } = world
const sha256 = (text: string): string => hash('sha256', text, 'hex')

describe('a new version takes effect for the next request', () => {
  test('a removed grant, although it was remembered and the token is cached', async t => {
    const { change, statusFor } = await start(t)
    assert.equal(await statusFor(), 200)
    assert.equal(await statusFor(), 200)
    await change({ rules: [{ ...rule, tenants: ['fabrikam'] }, looks] })
    assert.equal(await statusFor(), 403)
    assert.equal(await statusFor('fabrikam'), 200)
  })

  test('a new denial', async t => {
    const { change, statusFor } = await start(t)
    assert.equal(await statusFor(), 200)
    await change({ deny: [{ tenants: ['contoso'] }] })
    assert.equal(await statusFor(), 403)
    await change({})
    assert.equal(await statusFor(), 200, 'a removed denial')
  })

  test('a new grant', async t => {
    const { change, statusFor } = await start(t, { rules: [looks] })
    assert.equal(await statusFor(), 403)
    await change({})
    assert.equal(await statusFor(), 200)
  })

  test('a removed API key, and the one that replaces it', async t => {
    const rules = [{ ...rule, callers: [{ apiKey: 'erp' }] }]
    const keyed = (key: string) => ({ rules, apiKeys: { erp: { sha256: sha256(key), expires: '2999-01-01' } } })
    const { broker, change } = await start(t, keyed('one'))
    const status = async (token: string) => (await broker.requestToken(undefined, { token })).status
    assert.deepEqual([await status('one'), await status('two')], [200, 401])
    await change(keyed('two'))
    assert.deepEqual([await status('one'), await status('two')], [401, 200])
  })

  test('a tenant name that now means another id', async t => {
    const { broker, change, token } = await start(t)
    const first = await broker.requestToken(undefined, { token })
    const { tenants } = base as { tenants: Json }
    await change({ tenants: { ...tenants, contoso: tenants['fabrikam'], fabrikam: tenants['contoso'] } })
    const second = await broker.requestToken(undefined, { token })
    assert.deepEqual([second.status, second.json['tenant']], [200, tenants['fabrikam']])
    assert.notEqual(second.json['access_token'], first.json['access_token'])
  })
})

describe('callers and issuers', () => {
  test('a caller whose issuer is removed is not authenticated, although it was remembered', async t => {
    const other = { issuer: 'https://other.example', audiences: ['token-broker'] }
    const { change, statusFor } = await start(t)
    assert.equal(await statusFor(), 200)
    const rules = [{ ...rule, callers: [{ issuer: 'other', subject: 'x' }] }]
    await change({ issuers: { other }, rules })
    assert.equal(await statusFor(), 401)
  })

  test("an issuer's name that now means another issuer authenticates no caller of the first", async t => {
    const { change, statusFor } = await start(t)
    assert.equal(await statusFor(), 200)
    await change({ issuers: { emulator: { issuer: 'https://other.example', audiences: ['token-broker'] } } })
    assert.equal(await statusFor(), 401)
  })

  test('an issuer that did not change keeps its keys, without another fetch', async t => {
    const { broker, change, statusFor } = await start(t)
    await statusFor()
    emulator.resetCounts()
    emulator.fault({ kind: 'refused', at: 'callers' })
    await change({ deny: [{ tenants: ['tailspin'] }] })
    assert.equal(await statusFor(), 200)
    assert.equal((await broker.requestToken()).status, 200, 'another token of the issuer')
    assert.equal(emulator.counts().endpoints.callers.total, 0)
  })

  test('changed audiences are required at once', async t => {
    const { change, statusFor } = await start(t)
    assert.equal(await statusFor(), 200)
    await change({ issuers: { emulator: { issuer: emulator.callerIssuer, audiences: ['another'] } } })
    assert.equal(await statusFor(), 401)
  })

  test('keys from a changed file are read again, although the policy is the same', async t => {
    const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    const jwksFile = join(folder, 'jwks.json')
    await writeFile(jwksFile, JSON.stringify(emulator.callerJwks()))
    const issuers = { emulator: { issuer: emulator.callerIssuer, audiences: ['token-broker'], jwksFile } }
    const { broker, statusFor } = await start(t, { issuers })
    assert.equal(await statusFor(), 200)
    await emulator.rotateCallerKeys({ drop: true })
    assert.equal((await broker.requestToken()).status, 401, 'the new key is not in the file yet')
    await writeFile(jwksFile, JSON.stringify(emulator.callerJwks()))
    await broker.service.reload()
    assert.equal((await broker.requestToken()).status, 200)
    assert.equal(await statusFor(), 401, 'the old key is no longer in the file')
    assert.equal(broker.events('policy.loaded').length, 1)
  })

  test('a key file that became invalid changes nothing, and is reported', async t => {
    const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    const jwksFile = join(folder, 'jwks.json')
    await writeFile(jwksFile, JSON.stringify(emulator.callerJwks()))
    const issuers = { emulator: { issuer: emulator.callerIssuer, audiences: ['token-broker'], jwksFile } }
    const { broker, statusFor, health, token } = await start(t, { issuers })
    await writeFile(jwksFile, '{')
    await broker.service.reload()
    assert.equal(await statusFor(), 200)
    const { policy } = await health()
    assert.partialDeepStrictEqual(policy, { status: 'failing', errors: [{ where: 'issuers.emulator.jwksFile' }] })
    assert.equal((await broker.requestToken(undefined, { token })).status, 200)
  })
})

test('a running request ends under the version with which it began', async t => {
  t.after(() => emulator.configure({ latency: {} }))
  const { broker, change, statusFor, token } = await start(t)
  emulator.configure({ latency: { token: 300 } })
  emulator.resetCounts()
  const before = sha256(JSON.stringify({ ...base, rules: [rule, looks] }))
  const running = broker.requestToken(undefined, { token })
  await until('the exchange', () => emulator.counts().maxConcurrentTokenRequests === 1)
  await change({ deny: [{ tenants: ['contoso'] }] })
  assert.equal(await statusFor(), 403, 'the next request is under the new version')
  assert.equal((await running).status, 200)
  const [issued] = broker.events('token.issued')
  const [denied] = broker.events('token.denied')
  assert.equal(issued?.['policy'], before)
  assert.notEqual(denied?.['policy'], before)
})
