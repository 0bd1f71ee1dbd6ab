import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, test } from 'node:test'
import { ManagedIdentityCredential } from '@azure/identity'
import { graph, startWorld } from '../support/broker.ts'
import { startHttpsBroker } from './https-broker.ts'

/** Needs its own process, because the SDK keeps the first `IDENTITY_ENDPOINT` that it reads. */
const world = await startWorld()
const broker = await startHttpsBroker({ after }, world)
process.env['IDENTITY_ENDPOINT'] = `${broker.publicUrl}/identity/nowhere/token`
process.env['IDENTITY_HEADER'] = await readFile(broker.tokenFile, 'utf8')

test('the SDK reports that a tenant is not granted, after one request', async () => {
  const { error, requests, seconds } = await broker.watch(() => new ManagedIdentityCredential().getToken(graph))
  assert.match(error, /not_permitted: .*No rule of the policy grants this caller this tenant/)
  assert.deepEqual(requests, ['GET /identity/nowhere/token'])
  assert.ok(seconds < 2, `${seconds} s`)
})
