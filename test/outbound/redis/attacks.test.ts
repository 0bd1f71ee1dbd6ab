import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { eventsChannel, leaseName, purgesName, sequenceName, valueName } from '../../../src/outbound/redis/names.ts'
import { createSealer } from '../../../src/outbound/redis/sealing/sealed-token.ts'
import { until } from '../../support/broker.ts'
import { arm, grantFor, ids } from '../../support/callers.ts'
import { startRedis, withoutRedis } from '../../support/redis-server.ts'
import { commonRing, countedSource, request, startReplica } from './fleet.ts'
import { connected, connection } from './connection/world.ts'

const grant = grantFor()
const other = grantFor({ tenant: ids.fabrikam })
const nameOf = (of: typeof grant) => valueName(createSealer(() => commonRing).names(of)[0])

describe('someone who can write Redis costs exchanges, and nothing else', { skip: withoutRedis }, async () => {
  const redis = withoutRedis === false ? await startRedis({ after }) : undefined
  const port = redis?.port ?? 0

  /** Two replicas, of which one has stored a token, and the attacker's connection. */
  async function world(closing: Parameters<typeof connection>[0]) {
    await redis?.command('FLUSHALL')
    const attacker = connection(closing, { port })
    await connected(attacker)
    const [a, b] = [await startReplica(closing, port, 'a'), await startReplica(closing, port, 'b')]
    await request(a, countedSource(a).source)
    await until('stored', () => a.events.includes('stored'))
    const stored = await attacker.one('GET', nameOf(grant))
    assert.ok(Buffer.isBuffer(stored))
    return { attacker, a, b, stored }
  }

  test('who reads Redis sees no token, tenant, scope or application', async t => {
    const { attacker, stored, a } = await world(t)
    await a.level.purge({ tenant: ids.contoso, scope: grant.scope, clientId: grant.clientId })
    const names = await attacker.one('KEYS', '*')
    const purges = await attacker.one('XRANGE', '{tb:1}:purges', '-', '+')
    const text = [stored, ...[names, purges].flat(4)].map(String).join('\n')
    assert.match(text, /\{tb:1\}:v:/)
    for (const secret of ['a-1', ids.contoso, 'graph.microsoft.com', ids.application]) assert.ok(!text.includes(secret))
  })

  const changed = (bytes: Buffer, at: number): Buffer => {
    const copy = Buffer.from(bytes)
    copy[at] = (copy[at] ?? 0) ^ 1
    return copy
  }
  const forgeries: readonly [what: string, bytes: (stored: Buffer) => Buffer][] = [
    ['random bytes', () => Buffer.alloc(1900, 7)],
    ['nothing', () => Buffer.alloc(0)],
    ['a truncated value', stored => stored.subarray(0, -1)],
    ['a value with a changed bit', stored => changed(stored, stored.length - 20)],
    ['a value of another version', stored => changed(stored, 0)],
    ['a value of another kind', stored => changed(stored, 1)],
    ['ten megabytes', stored => Buffer.concat([stored, Buffer.alloc(10_000_000)])],
  ]
  for (const [what, bytes] of forgeries)
    test(`${what} in place of a token is not used`, async t => {
      const { attacker, b, stored } = await world(t)
      await attacker.one('SET', nameOf(grant), bytes(stored))
      assert.equal(await request(b, countedSource(b).source), 'b-1')
    })

  test('a token that is copied to the name of another key is not used', async t => {
    const { attacker, b, stored } = await world(t)
    await attacker.one('SET', nameOf(other), stored)
    assert.equal(await request(b, countedSource(b).source, other), 'b-1')
  })

  test('a token that is written back after a purge is not used', async t => {
    const { attacker, a, b, stored } = await world(t)
    await a.level.purge({ tenant: ids.contoso })
    await attacker.one('SET', nameOf(grant), stored)
    assert.equal(await request(b, countedSource(b).source), 'b-1')
  })

  test('nor if the sequence of purges is set back with it', async t => {
    const { attacker, a, b, stored } = await world(t)
    await a.level.purge({ tenant: ids.contoso })
    await until('b knows the purge', () => b.purges.length > 0)
    await attacker.one('SET', sequenceName, '0')
    await attacker.one('SET', nameOf(grant), stored)
    assert.equal(await request(b, countedSource(b).source), 'b-1')
  })

  test('nor by a replica that has started since, if the purge is removed from the list', async t => {
    const { attacker, a } = await world(t)
    await a.level.purge({ tenant: ids.fabrikam })
    const third = grantFor({ scope: arm })
    await request(a, countedSource(a).source, third)
    await until('stored', () => a.events.filter(event => event === 'stored').length === 2)
    const stored = await attacker.one('GET', nameOf(third))
    await a.level.purge({ tenant: ids.contoso })
    const [[last]] = (await attacker.one('XREVRANGE', purgesName, '+', '-', 'COUNT', '1')) as [[Buffer]]
    await attacker.one('XDEL', purgesName, last)
    await attacker.one('SET', nameOf(third), stored as Buffer)
    const late = await startReplica(t, port, 'late')
    assert.equal(await request(late, countedSource(late).source, third), 'late-1')
  })

  test('a purge that it invents drops tokens, and their next request makes an exchange', async t => {
    const { attacker, b } = await world(t)
    await attacker.send([
      ['INCR', sequenceName],
      ['XADD', '{tb:1}:purges', '*', 'p', 'forged'],
      ['PUBLISH', eventsChannel, 'p'],
    ])
    await until('b has dropped everything', () => b.purges.length > 0)
    assert.deepEqual(b.purges, [{}])
    assert.equal(await request(b, countedSource(b).source), 'b-1')
  })

  test('a lease that no replica has delays a request; the request succeeds', async t => {
    const { attacker } = await world(t)
    const c = await startReplica(t, port, 'c', undefined, { deadlines: { leaseMs: 300 } })
    const [name] = createSealer(() => commonRing).names(other)
    await attacker.one('SET', leaseName(name), 'forged')
    assert.equal(await request(c, countedSource(c).source, other), 'c-1')
    assert.ok(c.events.includes('lease alone'))
  })

  test('a failure that it invents is not believed by those who wait', async t => {
    const { attacker, a, b } = await world(t)
    const started = Promise.withResolvers<void>()
    const ending = Promise.withResolvers<void>()
    const slow = countedSource({ ...a, name: 'slow' })
    const holder = request(
      a,
      async (...args) => {
        started.resolve()
        await ending.promise
        return slow.source(...args)
      },
      other,
    )
    await started.promise
    const waiting = request(b, countedSource(b).source, other)
    await until('b waits', () => b.events.includes('miss'))
    const [name] = createSealer(() => commonRing).names(other)
    await attacker.one('PUBLISH', eventsChannel, Buffer.concat([Buffer.from(`f${name}`), Buffer.alloc(100, 1)]))
    ending.resolve()
    assert.deepEqual(await Promise.all([holder, waiting]), ['slow-1', 'slow-1'])
  })
})
