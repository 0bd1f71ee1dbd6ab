import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { ManagedIdentityCredential } from '@azure/identity'
import { decodeJws } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { secret, startAgent } from '../agent/world.ts'
import { graph, startWorld } from '../support/broker.ts'
import { startHttpsBroker } from './https-broker.ts'

/** The unchanged `@azure/identity` with an agent whose broker has a private CA. */
const world = await startWorld()
const { emulator, clock } = world
const broker = await startHttpsBroker({ after }, world)
const agent = await startAgent({ after }, world, { url: broker.publicUrl }, ['--ca-file', broker.caFile])
process.env['IDENTITY_ENDPOINT'] = `${agent.url}/identity/token`
process.env['IDENTITY_HEADER'] = secret
const requestToken = (resource = graph) => broker.watch(() => new ManagedIdentityCredential().getToken(resource))

test('it gets a token of the right tenant with one request to the broker', async () => {
  const { result, error, requests } = await requestToken()
  assert.equal(error, '')
  assert.equal(decodeJws((result as { token: string }).token)?.payload['tid'], sample.contoso)
  assert.deepEqual(requests, ['POST /tokens'])
})

test('it reports the message of the broker if that refuses a request, after one request', async () => {
  const { error, requests, seconds } = await requestToken('https://vault.azure.net/.default')
  assert.match(error, /not_permitted: .*No rule of the policy/)
  assert.deepEqual(requests, ['POST /tokens'])
  assert.ok(seconds < 2, `${seconds} s`)
})

test('while the broker has no token it fails within ten seconds, with one request to the broker', async () => {
  emulator.fault({ kind: 'server-error', at: 'token' })
  clock.advance(3600)
  const { error, requests, seconds } = await broker.watch(() =>
    new ManagedIdentityCredential({ clientId: sample.application }).getToken(graph),
  )
  assert.match(error, /upstream_unavailable: .*Entra is temporarily unavailable/)
  // The agent caches the failure and responds to the client's retries with it.
  assert.deepEqual(requests, ['POST /tokens'])
  assert.ok(seconds < 10, `${seconds} s`)
})
