import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { createAuthority, type Leaf } from '../../../emulator/certificates.ts'
import type { Json } from '../../../emulator/jws.ts'
import { startWorld, type TestBroker, trust, until } from '../../support/broker.ts'
import { MemoryStore } from '../../support/memory-second-level.ts'

const world = await startWorld()
const { clock } = world
const server = createAuthority('broker CA')
const intermediate = server.below('broker intermediate')
const clients = createAuthority('clients CA')
trust(server.caPem)

/** A broker with TLS under the chain of `leaf`; `replace` writes another one into its files. */
async function withTls(t: TestContext, leaf: Leaf) {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const file = (name: string) => join(folder, name)
  const replace = async ({ certPem, keyPem }: Leaf) => {
    await writeFile(file('tls.crt'), `${certPem}${intermediate.caPem}`)
    await writeFile(file('tls.key'), keyPem)
  }
  await replace(leaf)
  await writeFile(file('ca.crt'), clients.caPem)
  const environment = {
    TLS_CERT_FILE: file('tls.crt'),
    TLS_KEY_FILE: file('tls.key'),
    TLS_CLIENT_CA_FILE: file('ca.crt'),
    HOST: '127.0.0.1',
  }
  return { broker: await world.broker(t, { environment }), replace, file }
}

const endsOf = async (broker: TestBroker) => (await broker.get('/health')).json['ends'] as readonly Json[]
const dateOf = (pem: string) => new X509Certificate(pem).validToDate.toISOString()
const dayOf = (days: number) => new Date(clock.now() + days * 86_400_000).toISOString().slice(0, 10)

describe('the ends of API keys', () => {
  const hash = (digit: string) => digit.repeat(64)

  test('are in /health with their state, also of a key that is being replaced, and without its hash', async t => {
    const [ended, soon, later] = [dayOf(-3), dayOf(10), dayOf(300)]
    const apiKeys = {
      crm: { sha256: hash('a'), expires: ended },
      erp: { sha256: hash('b'), expires: soon, next: { sha256: hash('c'), expires: later } },
    }
    const broker = await world.broker(t, { policy: { apiKeys } })
    const { json, text } = await broker.get('/health')
    const at = (day: string) => `${day}T00:00:00.000Z`
    assert.deepEqual(json['ends'], [
      { kind: 'api_key', name: 'crm', file: null, ends_at: at(ended), state: 'ended' },
      { kind: 'api_key', name: 'erp', file: null, ends_at: at(soon), state: 'ends_soon' },
      { kind: 'api_key', name: 'erp', file: null, ends_at: at(later), state: 'valid' },
    ])
    assert.doesNotMatch(text, /a{64}|b{64}|c{64}/)
  })

  test('are at most 100, and /health says how many there are', async t => {
    const apiKeys = Object.fromEntries(
      Array.from({ length: 101 }, (_, nth) => [
        `key-${nth}`,
        { sha256: (nth + 1).toString(16).padStart(64, 'f'), expires: dayOf(30 + nth) },
      ]),
    )
    const { json } = await (await world.broker(t, { policy: { apiKeys } })).get('/health')
    assert.equal((json['ends'] as readonly Json[]).length, 100)
    assert.equal(json['ends_total'], 101)
  })

  test('do not make the broker fail: a key may end on purpose', async t => {
    const apiKeys = { crm: { sha256: hash('a'), expires: dayOf(-3) } }
    const broker = await world.broker(t, { policy: { apiKeys } })
    assert.equal((await broker.get('/health')).json['status'], 'unknown')
  })
})

describe('the ends of certificates', () => {
  test('are in /health: of the whole chain of the server, and of the client CAs, with the file of each', async t => {
    const leaf = intermediate.issue({ commonName: 'broker', days: 40 })
    const { broker, file } = await withTls(t, leaf)
    const found = await endsOf(broker)
    const entry = (kind: string, name: string, pem: string, state: string) => ({
      kind,
      name: `CN=${name}`,
      file: file(kind === 'tls' ? 'tls.crt' : 'ca.crt'),
      ends_at: dateOf(pem),
      state,
    })
    assert.deepEqual(
      found.toSorted((a, b) => String(a['name']).localeCompare(String(b['name']))),
      [
        entry('tls', 'broker', leaf.certPem, 'valid'),
        entry('tls', 'broker intermediate', intermediate.caPem, 'ends_soon'),
        entry('client_ca', 'clients CA', clients.caPem, 'ends_soon'),
      ],
    )
  })

  test('follow the files: a renewed certificate replaces the old one', async t => {
    const { broker, replace } = await withTls(t, intermediate.issue({ commonName: 'broker', days: 3 }))
    const state = async () => (await endsOf(broker)).find(({ name }) => name === 'CN=broker')?.['state']
    assert.equal(await state(), 'ends_soon')
    await replace(intermediate.issue({ commonName: 'broker', days: 90 }))
    await until('the renewed certificate', async () => (await state()) === 'valid')
  })

  test('are metrics by kind and subject', async t => {
    const leaf = intermediate.issue({ commonName: 'broker', days: 40 })
    const { broker } = await withTls(t, leaf)
    const { text } = await broker.get('/metrics')
    const seconds = (pem: string) => new X509Certificate(pem).validToDate.getTime() / 1000
    for (const [kind, name, pem] of [
      ['tls', 'broker', leaf.certPem],
      ['client_ca', 'clients CA', clients.caPem],
    ])
      assert.ok(
        text.includes(
          `token_broker_certificate_expiry_timestamp_seconds{kind="${kind}",name="CN=${name}"} ${seconds(pem ?? '')}\n`,
        ),
        text,
      )
  })
})

describe('Redis in /health', () => {
  test('has its address, and no credential', async t => {
    const environment = { BROKER_REDIS_URL: 'rediss://[2001:db8::1]:10000', BROKER_CACHE_KEY_FILE: '/keys/cache' }
    const broker = await world.broker(t, { environment, secondLevel: new MemoryStore(clock).replica() })
    const { json } = await broker.get('/health')
    assert.partialDeepStrictEqual(json['shared_cache'], { address: '[2001:db8::1]:10000', failure: null })
  })

  test('has no address where none is configured', async t => {
    const broker = await world.broker(t, { secondLevel: new MemoryStore(clock).replica() })
    const { json } = await broker.get('/health')
    assert.equal((json['shared_cache'] as Json)['address'], null)
  })
})

describe('the managed identity in /health', () => {
  test('has the origin of its endpoint, without path and query', async t => {
    const broker = await world.broker(t)
    const upstreams = (await broker.get('/health')).json['upstreams'] as readonly Json[]
    const { origin } = new URL(world.emulator.localUrl)
    assert.deepEqual(
      upstreams.map(({ kind, address }) => [kind, address]),
      upstreams.map(({ kind }) => [kind, kind === 'identity' ? origin : undefined]),
    )
  })
})

describe('the replica in /health', () => {
  const replicaOf = async (broker: TestBroker) => (await broker.get('/health')).json['replica']

  test('stays the same, and is another one for each process', async t => {
    const [a, b] = [await world.broker(t), await world.broker(t)]
    assert.equal(await replicaOf(a), await replicaOf(a))
    assert.notEqual(await replicaOf(a), await replicaOf(b))
  })

  test('is the name under which other replicas know it', async t => {
    let known = ''
    const broker = await world.broker(t, {
      secondLevel: (_events, replica) => {
        known = replica
        return new MemoryStore(clock).replica()
      },
    })
    assert.notEqual(known, '')
    assert.equal(await replicaOf(broker), known)
  })
})
