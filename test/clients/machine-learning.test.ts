import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { ManagedIdentityCredential } from '@azure/identity'
import { decodeJws } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { secret, startAgent } from '../agent/world.ts'
import { graph, startWorld } from '../support/broker.ts'
import { startHttpsBroker } from './https-broker.ts'

/** MSAL as on Azure Machine Learning: the protocol of 2017-09-01, which it uses if only these variables are set. */
const world = await startWorld()
const broker = await startHttpsBroker({ after }, world)
const agent = await startAgent({ after }, world, { url: broker.publicUrl }, ['--ca-file', broker.caFile])
delete process.env['IDENTITY_ENDPOINT']
delete process.env['IDENTITY_HEADER']
Object.assign(process.env, {
  MSI_ENDPOINT: `${agent.url}/identity/token`,
  MSI_SECRET: secret,
  DEFAULT_IDENTITY_CLIENT_ID: sample.application,
})

test('it gets a token with its right life, and caches it', async () => {
  const credential = new ManagedIdentityCredential()
  const { result, error, requests } = await broker.watch(() => credential.getToken(graph))
  assert.equal(error, '')
  const { token, expiresOnTimestamp } = result as { token: string; expiresOnTimestamp: number }
  assert.equal(decodeJws(token)?.payload['tid'], sample.contoso)
  assert.ok(Math.abs(expiresOnTimestamp - (world.clock.now() + 3_599_000)) < 2_000, `${expiresOnTimestamp}`)
  assert.deepEqual(requests, ['POST /tokens'])
  const again = await broker.watch(() => credential.getToken(graph))
  assert.deepEqual([again.requests, again.error], [[], ''])
})
