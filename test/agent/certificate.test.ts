import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createAuthority, type Leaf } from '../../emulator/certificates.ts'
import { leaf, server, spiffe, start, worker, world } from '../http/server/certificates-world.ts'
import { startAgent } from './world.ts'

/** A workload that has a client certificate and nothing else, over real TLS. */
async function beside(t: TestContext, { caPem } = server) {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-agent-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const [cert = '', key = '', ca = ''] = ['tls.crt', 'tls.key', 'ca.crt'].map(name => join(folder, name))
  const put = async ({ certPem, keyPem }: Leaf) => {
    await writeFile(cert, certPem)
    await writeFile(key, keyPem)
  }
  const trust = (pem: string) => writeFile(ca, pem)
  await put(worker)
  await trust(caPem)
  const { broker } = await start(t)
  const url = broker.url.replace('127.0.0.1', 'localhost')
  const agent = await startAgent(t, world, { url }, ['--cert', cert, '--key', key, '--ca-file', ca])
  return { broker, agent, put, trust }
}

test('its certificate is its credential, and may be renewed: the files are read for every request', async t => {
  const { broker, agent, put } = await beside(t)
  const reply = await agent.identity()
  assert.equal(reply.status, 200, reply.text)
  assert.partialDeepStrictEqual(broker.events('token.issued')[0], { caller: { kind: 'certificate', name: spiffe } })

  const renewed = leaf()
  await put(renewed)
  world.clock.advance(301)
  assert.equal((await agent.identity()).status, 200)
  const [first, second] = broker.events('token.issued').map(line => JSON.stringify(line['caller']))
  assert.notEqual(second, first, 'the broker saw the new certificate')

  await put(leaf({ names: ['spiffe://prod.example/ns/web/sa/worker'] }))
  world.clock.advance(301)
  assert.equal((await agent.identity()).status, 403, 'a token that the new certificate may not get is revoked')
})

test('a pair that does not belong together is no reason to drop a valid token', async t => {
  const { agent, put } = await beside(t)
  const { json } = await agent.identity()
  await put({ certPem: worker.certPem, keyPem: leaf().keyPem })
  world.clock.advance(301)
  const reply = await agent.identity()
  assert.deepEqual([reply.status, reply.json['access_token']], [200, json['access_token']])
})

test('only a broker with a certificate of the CA file gets a request, and the file may change', async t => {
  const { broker, agent, trust } = await beside(t, createAuthority('another CA'))
  const { status, json } = await agent.identity()
  assert.deepEqual([status, json['error']], [503, 'upstream_unavailable'])
  assert.equal(broker.events('token.issued').length, 0)
  await trust(server.caPem)
  // The failure is remembered for a moment.
  world.clock.advance(60)
  assert.equal((await agent.identity()).status, 200)
})
