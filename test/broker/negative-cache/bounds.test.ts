import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import type { FetchTarget } from '../../../src/broker/tokens/negative-cache/negative-cache-rules.ts'
import { BrokerError } from '../../../src/errors.ts'
import { arm, graph, ids } from '../../support/callers.ts'
import { runs } from '../../support/runs.ts'
import {
  unavailable,
  consent,
  failure,
  federation,
  negativeCacheWorld,
  otherApplication,
  otherScope,
  otherTenant,
  target,
  targetFor,
  unknown,
} from './world.ts'

describe('a caller that causes many failures', () => {
  test('fills one level up to its maximum, and evicts nothing from the other levels', async () => {
    const { fail, negativeCache } = negativeCacheWorld({ max: 100 })
    await fail(consent())
    await fail(federation(), otherApplication)
    for (let n = 0; n < 1000; n++) await fail(unknown(), targetFor({ tenant: ids.fabrikam, scope: `s${n}/.default` }))
    assert.equal([...negativeCache.all()].length, 102)
    assert.equal(negativeCache.lookUp(target)?.code, 'consent_required')
    assert.equal(negativeCache.lookUp(otherApplication)?.code, 'federation_misconfigured')
  })

  test('evicts the least recently used failure', async () => {
    const { fail, negativeCache } = negativeCacheWorld({ max: 2 })
    const [a, b, c] = ['a', 'b', 'c'].map(name => targetFor({ scope: name })) as [FetchTarget, FetchTarget, FetchTarget]
    await fail(unknown(), a)
    await fail(unknown(), b)
    assert.ok(negativeCache.lookUp(a))
    assert.equal([...negativeCache.all()].length, 2, '`all` does not count as a use')
    await fail(unknown(), c)
    assert.deepEqual(
      [a, b, c].map(each => negativeCache.lookUp(each) !== undefined),
      [true, false, true],
    )
  })

  test('fills ten thousand records by default', async () => {
    const { fail, negativeCache } = negativeCacheWorld()
    for (let n = 0; n < 10_100; n++) await fail(unknown(), targetFor({ scope: `s${n}/.default` }))
    assert.equal([...negativeCache.all()].length, 10_000)
  })
})

describe('10,000 keys whose federated credential is deleted', () => {
  test('cost one exchange per 15 to 30 s while it is missing', async () => {
    const { fail, succeed, clock, world } = negativeCacheWorld()
    const keys = Array.from({ length: 10_000 }, (_, n) => targetFor({ tenant: `tenant-${n}` }))
    for (const key of keys.slice(0, 10)) await succeed(key)
    world.calls = 0
    let chance = 0
    for (let second = 0; second < 600; second++) {
      world.random = chance = (chance + 0.37) % 1
      for (let n = 0; n < 20; n++) await fail(federation(), keys[(second * 20 + n) % keys.length])
      clock.advance(1000)
    }
    assert.ok(world.calls >= 600 / 31 && world.calls <= 600 / 15 + 1, `${world.calls} exchanges in ten minutes`)
  })

  test('of which a thousand are requested at once: fetches that have not started by then are not made', async () => {
    const { begin, succeed, world } = negativeCacheWorld()
    const running = Array.from({ length: 64 }, (_, n) => begin(targetFor({ tenant: `tenant-${n}` })))
    for (const each of running) await each.fail(federation())
    for (let n = 64; n < 1000; n++) await succeed(targetFor({ tenant: `tenant-${n}` }))
    assert.equal(world.calls, 64)
  })
})

describe('a purge', () => {
  const table: readonly [filter: Partial<FetchTarget>, left: string, removed: number, why: string][] = [
    [{}, '', 4, 'everything'],
    [{ tenant: ids.contoso }, 'tenant', 3, 'all failures that affect contoso, that of the application too'],
    [{ scope: graph }, 'scope', 3, 'all failures that affect a scope'],
    [{ clientId: ids.other }, 'target scope tenant', 1, 'an application'],
    [{ tenant: ids.fabrikam, scope: arm }, 'target scope tenant', 1, 'no failure of a key matches'],
  ]
  for (const [filter, left, removed, why] of table) {
    test(`of ${JSON.stringify(filter)}: ${why}`, async () => {
      const { fail, negativeCache, refused } = negativeCacheWorld()
      for (const each of [target, otherScope, otherTenant]) await fail(unknown(), each)
      await fail(federation(), otherApplication)
      assert.equal(refused(), 'target scope tenant application')
      assert.equal(negativeCache.purge(filter), removed)
      assert.equal(refused(), left)
    })
  }

  test('the failure of a fetch that started before a purge is not cached', async () => {
    const { begin, negativeCache, succeed, refused } = negativeCacheWorld()
    const [one, other] = [begin(), begin(otherTenant)]
    negativeCache.purge({ tenant: ids.contoso })
    await one.fail(federation())
    assert.equal(refused(), '')
    await other.fail(consent())
    assert.equal(refused(), 'tenant')
    assert.equal(await succeed(), 'token')
  })

  test('the success of such a fetch removes no failure that came after the purge', async () => {
    const { begin, negativeCache, fail, refused } = negativeCacheWorld()
    const old = begin()
    negativeCache.purge({})
    await fail(unknown())
    await old.succeed()
    assert.equal(refused(), 'target')
  })
})

test('a cached failure has its level, and the fields of its level only', async () => {
  const { fail, begin, negativeCache } = negativeCacheWorld()
  const slow = begin(otherScope)
  await fail(unknown())
  await slow.fail(consent())
  await fail(federation(), otherApplication)
  assert.deepEqual(
    [...negativeCache.all()].map(({ level, clientId, tenant, scope, failures }) => [
      level,
      clientId,
      tenant,
      scope,
      failures,
    ]),
    [
      ['application', ids.other, undefined, undefined, 1],
      ['tenant', ids.application, ids.contoso, undefined, 1],
      ['key', ids.application, ids.contoso, graph, 1],
    ],
  )
})

const tenants = [ids.contoso, ids.fabrikam]
const targets = [ids.application, ids.other].flatMap(clientId =>
  tenants.flatMap(tenant => [graph, arm].map(scope => targetFor({ clientId, tenant, scope }))),
)
const kinds = { federation, consent, unknown, unavailable, identity: () => failure('identity_unavailable', 'network') }

/** Which targets a failure may affect. */
const affects: Readonly<Record<keyof typeof kinds, (failed: FetchTarget, other: FetchTarget) => boolean>> = {
  federation: (failed, other) => failed.clientId === other.clientId,
  consent: (failed, other) => failed.clientId === other.clientId && failed.tenant === other.tenant,
  unknown: (failed, other) => failed.key === other.key,
  unavailable: (failed, other) => failed.key === other.key,
  identity: () => false,
}

const steps = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('begin' as const), which: fc.nat(targets.length - 1) }),
    fc.record({ do: fc.constant('succeed' as const), which: fc.nat(20) }),
    fc.record({
      do: fc.constantFrom(...(Object.keys(kinds) as (keyof typeof kinds)[])),
      which: fc.nat(20),
    }),
    fc.record({ do: fc.constant('advance' as const), which: fc.nat(40_000) }),
    fc.record({ do: fc.constant('purge' as const), which: fc.nat(1) }),
  ),
  { maxLength: 60 },
)

test('for any sequence of events: a target gets only failures that affect it, and not for ever', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async script => {
      const { begin, negativeCache, clock, world, succeed } = negativeCacheWorld()
      const running: { target: FetchTarget; fetch: ReturnType<typeof begin> }[] = []
      const happened: { kind: keyof typeof kinds; target: FetchTarget; error: BrokerError }[] = []
      for (const { do: action, which } of script) {
        const picked = running[which % Math.max(1, running.length)]
        if (action === 'advance') clock.advance(which)
        else if (action === 'purge') negativeCache.purge({ tenant: tenants[which] })
        else if (action === 'begin') {
          const wanted = targets[which]
          if (wanted === undefined) throw new Error('unknown target')
          const before = world.calls
          const cached = negativeCache.lookUp(wanted)
          const fetch = begin(wanted)
          assert.equal(
            world.calls - before,
            cached ? 0 : 1,
            'a fetch is made if, and only if, no failure is cached for it',
          )
          if (!cached) running.push({ target: wanted, fetch })
          else
            assert.ok(
              happened.some(
                ({ kind, target: failed, error }) => error.code === cached.code && affects[kind](failed, wanted),
              ),
            )
        } else if (picked) {
          running.splice(running.indexOf(picked), 1)
          if (action === 'succeed') await picked.fetch.succeed()
          else {
            const error = kinds[action]()
            happened.push({ kind: action, target: picked.target, error })
            await picked.fetch.fail(error)
          }
        }
      }
      clock.advance(90_000)
      for (const each of targets) assert.equal(await succeed(each), 'token')
    }),
    { numRuns: runs(300) },
  )
})
