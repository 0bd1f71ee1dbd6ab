import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { ManagedIdentityCredential } from '@azure/identity'
import { decodeJws } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { secret, startAgent } from '../agent/world.ts'
import { graph, startWorld } from '../support/broker.ts'
import { startHttpsBroker } from './https-broker.ts'

/** `@azure/identity` as it is installed, beside an agent whose broker has a private CA. */
const world = await startWorld()
const { emulator, clock } = world
const broker = await startHttpsBroker({ after }, world)
const agent = await startAgent({ after }, world, { url: broker.publicUrl }, ['--ca-file', broker.caFile])
process.env['IDENTITY_ENDPOINT'] = `${agent.url}/identity/token`
process.env['IDENTITY_HEADER'] = secret
const ask = (resource = graph) => broker.watch(() => new ManagedIdentityCredential().getToken(resource))

test('it gets a token of the right tenant, for which the broker was asked once', async () => {
  const { result, error, requests } = await ask()
  assert.equal(error, '')
  assert.equal(decodeJws((result as { token: string }).token)?.payload['tid'], sample.contoso)
  assert.deepEqual(requests, ['POST /tokens'])
})

test('it is told what the broker refuses, in the words of the broker, after one request', async () => {
  const { error, requests, seconds } = await ask('https://vault.azure.net/.default')
  assert.match(error, /not_permitted: .*No rule of the policy/)
  assert.deepEqual(requests, ['POST /tokens'])
  assert.ok(seconds < 2, `${seconds} s`)
})

test('it says so within ten seconds while the broker has no token, and the broker is asked once', async () => {
  emulator.fault({ kind: 'server-error', at: 'token' })
  clock.advance(3600)
  const { error, requests, seconds } = await broker.watch(() =>
    new ManagedIdentityCredential({ clientId: sample.application }).getToken(graph),
  )
  assert.match(error, /upstream_unavailable: .*Entra cannot answer/)
  // The agent remembers, and answers what the client asks again.
  assert.deepEqual(requests, ['POST /tokens'])
  assert.ok(seconds < 10, `${seconds} s`)
})
