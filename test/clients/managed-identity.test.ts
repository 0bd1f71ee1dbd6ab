import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, test } from 'node:test'
import { ManagedIdentityCredential } from '@azure/identity'
import { decodeJws } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { graph, startWorld } from '../support/broker.ts'
import { startHttpsBroker } from './https-broker.ts'

/** The unchanged `@azure/identity`, configured for the broker with two environment variables. */
const world = await startWorld()
const { emulator, clock } = world
const broker = await startHttpsBroker({ after }, world)
process.env['IDENTITY_ENDPOINT'] = `${broker.publicUrl}/identity/contoso/token`
process.env['IDENTITY_HEADER'] = await readFile(broker.tokenFile, 'utf8')

const one = ['GET /identity/contoso/token']
const requestToken = (resource = graph, clientId?: string) =>
  broker.watch(() =>
    new ManagedIdentityCredential(...(clientId === undefined ? [] : [{ clientId }])).getToken(resource),
  )
const tokenOf = (result: unknown) => (result as { token: string }).token

let first = ''
test('it gets a token of the right tenant, with one request', async () => {
  // Less than five minutes: the SDK treats such a token as expired and requests another.
  emulator.configure({ expiresIn: 200 })
  const { result, error, requests } = await requestToken()
  assert.equal(error, '')
  first = tokenOf(result)
  assert.equal(decodeJws(first)?.payload['tid'], sample.contoso)
  assert.deepEqual(requests, one)
})

test('it gets a fresh token after the first has expired', async () => {
  emulator.configure({ expiresIn: 3599 })
  clock.advance(200)
  const { result, requests } = await requestToken()
  assert.deepEqual(requests, one)
  assert.notEqual(tokenOf(result), first)
})

test('it caches a token until it expires', async () => {
  assert.deepEqual((await requestToken()).requests, [])
})

const refused: readonly (readonly [why: string, resource: string, clientId: string | undefined, error: RegExp])[] = [
  [
    'a scope that is not granted',
    'https://vault.azure.net/.default',
    undefined,
    /not_permitted: .*No rule of the policy/,
  ],
  ['an unknown identity', graph, '3b000000-0000-4000-8000-0000000000ff', /not_permitted: .*No rule of the policy/],
]
for (const [why, resource, clientId, error] of refused)
  test(`it reports the error of ${why}, after one request`, async () => {
    const seen = await requestToken(resource, clientId)
    assert.match(seen.error, error)
    assert.match(seen.error, /request_id/)
    assert.deepEqual(seen.requests, one)
    assert.ok(seen.seconds < 2, `${seen.seconds} s`)
  })

test('if the broker returns 503, it sends four requests within ten seconds, then fails', async () => {
  emulator.fault({ kind: 'server-error', at: 'token' })
  // Another key of the SDK's cache. The broker's cached token has expired.
  clock.advance(3600)
  const { error, requests, seconds } = await requestToken(graph, sample.application)
  assert.match(error, /upstream_unavailable: .*Entra is temporarily unavailable/)
  assert.deepEqual(requests, [...one, ...one, ...one, ...one])
  assert.ok(seconds < 10, `${seconds} s`)
})

test('it does not wait a minute: it gets a token as soon as the broker has one', async () => {
  emulator.clearFaults()
  clock.advance(5)
  const { error, requests } = await requestToken(graph, sample.application)
  assert.equal(error, '')
  assert.deepEqual(requests, one)
})
