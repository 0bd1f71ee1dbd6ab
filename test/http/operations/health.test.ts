import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, type TestContext, test } from 'node:test'
import type { Fault } from '../../../emulator/faults.ts'
import type { Json } from '../../../emulator/jws.ts'
import { sample } from '../../../emulator/options.ts'
import { graph, policyOf, startWorld, type TestBroker, until } from '../../support/broker.ts'

const world = await startWorld()
const { emulator, clock } = world
const identityIssuer = `${emulator.entraUrl}/${sample.homeTenant}/v2.0`
const iso = () => new Date(clock.now()).toISOString()

const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
after(() => rm(folder, { recursive: true, force: true }))
const jwksFile = join(folder, 'jwks.json')
await writeFile(jwksFile, JSON.stringify(emulator.callerJwks()))
const audiences = ['token-broker']
/** Keys from a file: an observer is authenticated during every outage, and without a call to an upstream. */
const fixedIssuer = { emulator: { issuer: emulator.callerIssuer, audiences, jwksFile } }
const fetchedIssuer = { issuer: `${emulator.callerIssuer}/onprem`, audiences, jwksUri: `${emulator.callerIssuer}/jwks` }

const startBroker = (t: TestContext, environment: Record<string, string> = {}) =>
  world.broker(t, { policy: { issuers: { ...fixedIssuer, onprem: fetchedIssuer } }, environment })

async function health(broker: TestBroker): Promise<Json> {
  const { status, json, text } = await broker.get('/health')
  assert.equal(status, 200, text)
  return json
}

async function upstream(broker: TestBroker, kind: string, name?: string): Promise<Json> {
  const { upstreams } = await health(broker)
  const found = (upstreams as readonly Json[]).filter(
    each => each['kind'] === kind && (name === undefined || each['name'] === name),
  )
  assert.equal(found.length, 1, `${kind} ${name}`)
  return found[0] ?? {}
}
/** Requests a token as a caller of the issuer whose keys are fetched. */
const requestAsOnprem = async (broker: TestBroker) =>
  broker.requestToken(undefined, { token: await emulator.mintCallerToken({}, { issuer: fetchedIssuer.issuer }) })

describe('what /health reports', () => {
  test('at the start: the policy, and every upstream as not used yet', async t => {
    const broker = await startBroker(t)
    const { node, version, policy, upstreams, replica, ...rest } = await health(broker)
    const state = { status: 'unknown', ready: false, draining: false }
    assert.deepEqual(rest, { ...state, started_at: iso(), ends: [], ends_total: 0 })
    assert.match(String(replica), /^[\w-]{1,55}-[0-9a-f]{8}$/)
    assert.equal(node, process.version)
    assert.match(String(version), /^\d+\.\d+\.\d+/)
    const text = JSON.stringify({ ...policyOf(emulator), issuers: { ...fixedIssuer, onprem: fetchedIssuer } })
    assert.deepEqual(policy, {
      status: 'ok',
      since: iso(),
      detail: 'rules: 2, denials: 0, issuers: 2',
      file: 'in-memory',
      version: createHash('sha256').update(text).digest('hex'),
      loaded_at: iso(),
    })
    const untouched = {
      status: 'unknown',
      since: iso(),
      detail: 'not used since the broker started',
      consecutive_failures: 0,
      last_success: null,
      last_error: null,
      average_seconds: null,
    }
    const fine = { ...untouched, status: 'ok', average_seconds: 0, detail: 'reachable', last_success: iso() }
    assert.deepEqual(upstreams, [
      { kind: 'identity', name: 'managed-identity', ...untouched, address: emulator.localUrl },
      {
        kind: 'authority',
        name: emulator.entraUrl,
        ...untouched,
        clock_offset_seconds: null,
        circuit: { state: 'closed', since: iso() },
      },
      // Read from its file at the start.
      { kind: 'issuer', name: 'emulator', ...fine },
      { kind: 'issuer', name: 'onprem', ...untouched },
    ])
  })

  test('ok, after every upstream was used successfully', async t => {
    const broker = await startBroker(t)
    await broker.service.warmUp()
    await broker.requestToken()
    await requestAsOnprem(broker)
    assert.partialDeepStrictEqual(await health(broker), { status: 'ok', ready: true })
  })

  test('draining is reported, and that the broker is not ready', async t => {
    const broker = await startBroker(t)
    await broker.service.warmUp()
    broker.service.drain()
    assert.partialDeepStrictEqual(await health(broker), { ready: false, draining: true })
  })

  test('one failing check makes the whole failing, whatever the unknown checks are', async t => {
    const broker = await startBroker(t)
    emulator.fault({ kind: 'server-error', at: 'identity' })
    await broker.requestToken()
    assert.equal((await health(broker))['status'], 'failing')
  })
})

test('the authority: unknown, ok, failing, ok; "since" moves only with the status', async t => {
  const broker = await startBroker(t)
  const entra = () => upstream(broker, 'authority')
  const started = iso()
  clock.advance(10)
  assert.partialDeepStrictEqual(await entra(), { status: 'unknown', since: started, last_success: null })

  await broker.requestToken()
  const worked = iso()
  assert.partialDeepStrictEqual(await entra(), { status: 'ok', since: worked, last_success: worked })
  clock.advance(10)
  await broker.requestToken({ tenant: 'fabrikam', scope: graph })
  const workedAgain = iso()
  assert.partialDeepStrictEqual(await entra(), { status: 'ok', since: worked, last_success: workedAgain })

  emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
  clock.advance(3600)
  const failed = iso()
  const refused = await broker.requestToken(undefined, { token: await emulator.mintCallerToken() })
  assert.equal(refused.json['code'], 'federation_misconfigured')
  const lastError = {
    code: 'federation_misconfigured',
    reason: 'federation',
    detail: refused.json['detail'],
    upstream_codes: [700213],
    presented: { issuer: identityIssuer, subject: sample.identity.objectId, audience: sample.audience },
    system_code: null,
    at: failed,
  }
  assert.deepEqual(await entra(), {
    kind: 'authority',
    name: emulator.entraUrl,
    status: 'failing',
    since: failed,
    detail: refused.json['detail'],
    consecutive_failures: 1,
    last_success: workedAgain,
    last_error: lastError,
    average_seconds: 0,
    clock_offset_seconds: 0,
    circuit: { state: 'closed', since: started },
  })

  emulator.clearFaults()
  clock.advance(600)
  assert.equal((await broker.requestToken()).status, 200)
  assert.partialDeepStrictEqual(await entra(), {
    status: 'ok',
    since: iso(),
    detail: 'reachable',
    consecutive_failures: 0,
    last_success: iso(),
    last_error: lastError,
  })
})

const outages: readonly (readonly [fault: Fault, kind: string, error: Json])[] = [
  [{ kind: 'server-error', at: 'token' }, 'authority', { code: 'upstream_unavailable', reason: 'server_error' }],
  [{ kind: 'throttled', at: 'token' }, 'authority', { code: 'upstream_unavailable', reason: 'throttled' }],
  [{ kind: 'hung', at: 'token' }, 'authority', { code: 'upstream_unavailable', reason: 'timeout' }],
  [{ kind: 'refused', at: 'token' }, 'authority', { code: 'upstream_unavailable', reason: 'network' }],
  [{ kind: 'wrong-tenant', at: 'token' }, 'authority', { code: 'upstream_invalid', reason: 'wrong_tenant' }],
  [{ kind: 'server-error', at: 'identity' }, 'identity', { code: 'identity_unavailable', reason: 'status' }],
  [{ kind: 'hung', at: 'identity' }, 'identity', { code: 'identity_unavailable', reason: 'timeout' }],
  [
    { kind: 'refused', at: 'identity' },
    'identity',
    { code: 'identity_unavailable', reason: 'network', system_code: 'ECONNREFUSED' },
  ],
  [{ kind: 'server-error', at: 'callers' }, 'issuer', { code: 'issuer_unavailable', reason: 'keys' }],
  [{ kind: 'hung', at: 'callers' }, 'issuer', { code: 'issuer_unavailable', reason: 'keys' }],
]
for (const [fault, kind, error] of outages)
  test(`${kind}: ${fault.kind} is failing, and the other checks are unaffected`, async t => {
    // Short only for what takes all of it: on a busy machine, other errors would become time-outs too.
    const broker = await startBroker(t, { BROKER_UPSTREAM_TIMEOUT_MS: fault.kind === 'hung' ? '500' : '5000' })
    emulator.fault(fault)
    const { json } = await (kind === 'issuer' ? requestAsOnprem(broker) : broker.requestToken())
    assert.equal(json['code'], error['code'])
    const { upstreams } = await health(broker)
    const failing = (upstreams as readonly Json[]).filter(({ status }) => status === 'failing')
    assert.equal(failing.length, 1)
    const name = { authority: emulator.entraUrl, identity: 'managed-identity', issuer: 'onprem' }[kind]
    assert.partialDeepStrictEqual(failing[0], { kind, name, last_error: { ...error, at: iso() } })
  })

const refusals: readonly (readonly [what: string, fault: Fault | undefined, tenant: string, status: number])[] = [
  ['a tenant that has not consented', undefined, 'tailspin', 403],
  ['a tenant that Entra does not know', { kind: 'aadsts', code: 90002, at: 'token' }, 'contoso', 422],
  ["a tenant's conditional access", { kind: 'aadsts', code: 53003, at: 'token' }, 'contoso', 422],
  ['a tenant in another cloud', { kind: 'aadsts', code: 90038, at: 'token' }, 'contoso', 502],
]
for (const [what, fault, tenant, status] of refusals)
  test(`${what} does not make the authority fail: Entra has responded`, async t => {
    const broker = await startBroker(t)
    if (fault) emulator.fault(fault)
    assert.equal((await broker.requestToken({ tenant, scope: graph })).status, status)
    assert.partialDeepStrictEqual(await upstream(broker, 'authority'), { status: 'ok', last_error: null })
  })

test("an issuer's keys that cannot be renewed are failing, while its callers are still authenticated", async t => {
  const broker = await startBroker(t)
  assert.equal((await requestAsOnprem(broker)).status, 403)
  emulator.fault({ kind: 'server-error', at: 'callers' })
  clock.advance(301)
  assert.equal((await requestAsOnprem(broker)).status, 403)
  await until('the failed fetch', async () => (await upstream(broker, 'issuer', 'onprem'))['status'] === 'failing')
})

test('a request to /health calls no upstream and changes nothing, whatever is due or failing', async t => {
  const broker = await startBroker(t)
  await broker.requestToken()
  emulator.fault({ kind: 'server-error', at: 'token' })
  await broker.requestToken({ tenant: 'fabrikam', scope: graph })
  // The token is due, and so are the keys of the issuer that are fetched.
  clock.advance(2700)
  emulator.resetCounts()
  const before = await health(broker)
  for (const path of [
    '/health',
    '/metrics',
    '/cache',
    '/cache/entries',
    '/cache/failures',
    '/decisions',
    '/readyz',
    '/livez',
  ])
    for (let n = 0; n < 5; n++) await broker.get(path)
  assert.deepEqual(await health(broker), before)
  const { endpoints } = emulator.counts()
  assert.deepEqual(
    Object.values(endpoints).map(({ total }) => total),
    [0, 0, 0, 0],
  )
  assert.equal(before['status'], 'failing')
})
