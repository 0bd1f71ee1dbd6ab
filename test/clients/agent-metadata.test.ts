import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { ManagedIdentityCredential } from '@azure/identity'
import { decodeJws } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { startAgent } from '../agent/world.ts'
import { graph, startWorld } from '../support/broker.ts'
import { startHttpsBroker } from './https-broker.ts'

/** The metadata protocol, which `@azure/identity` uses if no other is configured. */
const world = await startWorld()
const { emulator, clock } = world
const broker = await startHttpsBroker({ after }, world)
const flags = ['--ca-file', broker.caFile, '--metadata']
const agent = await startAgent({ after }, world, { url: broker.publicUrl }, flags)
delete process.env['IDENTITY_ENDPOINT']
delete process.env['IDENTITY_HEADER']
process.env['AZURE_POD_IDENTITY_AUTHORITY_HOST'] = agent.url
const requestToken = (resource = graph) => broker.watch(() => new ManagedIdentityCredential().getToken(resource))

test('it gets a token of the right tenant with one request to the broker', async () => {
  const { result, error, requests } = await requestToken()
  assert.equal(error, '')
  assert.equal(decodeJws((result as { token: string }).token)?.payload['tid'], sample.contoso)
  assert.deepEqual(requests, ['POST /tokens'])
})

test('it reports why the broker refuses a request, after one request', async () => {
  const { error, requests, seconds } = await requestToken('https://vault.azure.net/.default')
  assert.match(error, /No rule of the policy/)
  assert.deepEqual(requests, ['POST /tokens'])
  assert.ok(seconds < 2, `${seconds} s`)
})

test('while no token is available it retries a few times within ten seconds, then fails', async () => {
  emulator.fault({ kind: 'server-error', at: 'token' })
  clock.advance(3600)
  const { error, requests, seconds } = await broker.watch(() =>
    new ManagedIdentityCredential({ clientId: sample.application }).getToken(graph),
  )
  assert.match(error, /Entra is temporarily unavailable/)
  assert.ok(requests.length <= 8, requests.join())
  assert.ok(seconds < 10, `${seconds} s`)
})
