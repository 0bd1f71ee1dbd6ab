import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sample } from '../../../emulator/options.ts'
import { graph, startWorld } from '../../support/broker.ts'

const world = await startWorld()
const { emulator } = world

const { contoso, homeTenant, application, identity } = sample
const consentUrl = `${emulator.entraUrl}/${contoso}/adminconsent?client_id=${application}`
const issuer = `${emulator.entraUrl}/${homeTenant}/v2.0`
const { objectId: subject } = identity
const audience = 'api://AzureADTokenExchange'

const federation = [502, 'federation_misconfigured'] as const
const consent = [403, 'consent_required'] as const
const rejected = [422, 'upstream_rejected'] as const
const transient = [503, 'upstream_unavailable'] as const

type Expected = readonly [status: number, code: string]
type Row = readonly [code: number, meaning: string, expected: Expected, remedyParts: readonly string[]]
const rows: readonly Row[] = [
  [70021, 'no federated credential matches', federation, [issuer, subject, audience]],
  [70025, 'there is no federated credential', federation, [application, issuer, subject, audience]],
  [7000226, 'no federated credential may be used', federation, [application, issuer, subject, audience]],
  [700211, "the credential's issuer differs", federation, [issuer]],
  [700212, "the credential's audience differs", federation, [audience]],
  [7002121, "the credential's audience differs", federation, [audience]],
  [700213, "the credential's subject differs", federation, [subject]],
  [700236, 'the registration is not in the tenant of the identity', federation, [application, homeTenant]],
  [700222, "Entra's own tokens may not be used there", federation, [application, homeTenant]],
  [700238, 'federation is restricted', federation, ['policy']],
  [700229, 'the assertion is of a user', federation, ['IDENTITY_ENDPOINT']],
  [700024, 'the assertion is outside its validity', federation, ['clock']],
  [700027, "the assertion's signature fails", federation, []],
  [50013, "the assertion's key is unknown", federation, []],
  [90038, 'the tenant is in another national cloud', federation, [contoso, 'BROKER_AUTHORITY']],
  [900382, 'the request crosses clouds', federation, ['BROKER_AUTHORITY']],
  [900432, 'the request crosses clouds', federation, ['BROKER_AUTHORITY']],
  [700016, 'the application is unknown in the tenant', consent, [consentUrl]],
  [90099, 'the application is not authorized in the tenant', consent, [consentUrl]],
  [7000229, 'the tenant has no service principal', consent, [consentUrl]],
  [65001, 'no consent is given', consent, [consentUrl]],
  [7000112, 'the service principal is disabled', consent, [application, contoso, 'enable']],
  [501051, 'a role assignment is required', consent, [application, graph, 'role']],
  [90002, 'the tenant does not exist', rejected, [contoso]],
  [900023, 'the tenant id is malformed', rejected, [contoso]],
  [5000225, 'the tenant is blocked for inactivity', rejected, [contoso, 'reactivate']],
  [500014, "the resource's service principal is disabled", rejected, [contoso, graph, 'enable']],
  [90009, 'a token for itself is requested by a URI', rejected, [`${application}/.default`]],
  [500011, 'the resource is unknown in the tenant', rejected, [contoso, graph]],
  [50001, 'the resource is unknown in the tenant', rejected, [contoso, graph]],
  [650057, 'the resource is invalid', rejected, [graph]],
  [1002012, 'the scope is not /.default', rejected, ['/.default']],
  [70011, 'the scope is invalid', rejected, []],
  [28000, 'the scope names several resources', rejected, []],
  [53003, 'Conditional Access blocks', rejected, ['Conditional Access']],
  [530003, 'Conditional Access requires a device', rejected, ['Conditional Access']],
  [4242, 'an unknown code', rejected, []],
]
for (const [code, meaning, [status, expected], remedyParts] of rows)
  test(`AADSTS${code} (${meaning}) is ${status} ${expected}`, async t => {
    const broker = await world.broker(t)
    emulator.fault({ kind: 'aadsts', code, at: 'token' })
    const { status: actual, json, headers } = await broker.requestToken()
    assert.deepEqual([actual, json['code']], [status, expected])
    assert.equal(headers['retry-after'], undefined)
    const { error, codes, trace_id: trace, correlation_id: correlation } = json['upstream'] as Record<string, unknown>
    assert.match(String(error), /^[a-z_]+$/)
    assert.deepEqual(codes, [code])
    assert.match(String(trace), /^[\da-f-]{36}$/)
    assert.match(String(correlation), /^[\da-f-]{36}$/)
    for (const part of remedyParts)
      assert.ok(String(json['remedy']).includes(part), `${part}: ${String(json['remedy'])}`)
  })

for (const code of [90033, 90024, 90006, 90012, 90090, 90091, 50033, 50000, 90055])
  test(`AADSTS${code} passes by itself: 503 with Retry-After, even where the status is 400`, async t => {
    const broker = await world.broker(t)
    emulator.fault({ kind: 'aadsts', code, status: 400, at: 'token' })
    const { status, json, headers } = await broker.requestToken()
    assert.deepEqual([status, json['code']], transient)
    assert.match(String(headers['retry-after']), /^[1-9]\d*$/)
    assert.equal(json['retry_after'], Number(headers['retry-after']))
  })

for (const status of [400, 429, 503])
  test(`AADSTS50196 with status ${status} is sent once, and nothing follows for a minute`, async t => {
    const broker = await world.broker(t)
    emulator.fault({ kind: 'aadsts', code: 50196, status, at: 'token' })
    const { status: actual, json, headers } = await broker.requestToken()
    assert.deepEqual([actual, json['code'], headers['retry-after']], [503, 'upstream_unavailable', '60'])
    assert.match(String(json['remedy']), /too often/)
    assert.equal(broker.events('token.failed')[0]?.['reason'], 'loop')
    emulator.clearFaults()
    for (let second = 0; second < 59; second++) {
      world.clock.advance(1)
      assert.equal((await broker.requestToken()).status, 503)
    }
    assert.equal(emulator.counts().endpoints.token.total, 1)
    // Another key of the same tenant is not affected.
    assert.equal((await broker.requestToken({ tenant: 'fabrikam', scope: graph })).status, 200)
    world.clock.advance(2)
    assert.equal((await broker.requestToken()).status, 200)
  })

for (const error of ['temporarily_unavailable', 'server_error'])
  test(`the OAuth error ${error} passes by itself, with any code`, async t => {
    const broker = await world.broker(t)
    emulator.fault({ kind: 'aadsts', code: 4242, status: 400, error, at: 'token' })
    assert.equal((await broker.requestToken()).status, 503)
  })

test("a credential whose subject is not the identity's is named with the subject to set", async t => {
  const broker = await world.broker(t)
  t.after(() => emulator.setFederatedCredentials(application, [{}]))
  emulator.setFederatedCredentials(application, [{ subject: subject.toUpperCase() }])
  const { status, json } = await broker.requestToken()
  assert.equal(status, 502)
  assert.ok(String(json['remedy']).includes(`exactly ${subject}`))
})

test('a tenant that has not consented has another code than one the policy forbids', async t => {
  const broker = await world.broker(t)
  const { status, json } = await broker.requestToken({ tenant: 'tailspin', scope: graph })
  assert.deepEqual([status, json['code']], consent)
  emulator.setConsent(sample.tailspin, application, true)
  t.after(() => emulator.setConsent(sample.tailspin, application, false))
  world.clock.advance(61)
  assert.equal((await broker.requestToken({ tenant: 'tailspin', scope: graph })).status, 200)
})
