import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import type { FetchTarget } from '../../../src/broker/tokens/negative-cache-rules.ts'
import { BrokerError } from '../../../src/errors.ts'
import { arm, graph, ids } from '../../support/callers.ts'
import { runs } from '../../support/runs.ts'
import {
  away,
  consent,
  failure,
  federation,
  memoryWorld,
  otherApplication,
  otherScope,
  otherTenant,
  target,
  targetFor,
  unknown,
} from './world.ts'

describe('a caller who causes many failures', () => {
  test('fills no more than the bound, and pushes nothing out of the other levels', async () => {
    const { fail, memory } = memoryWorld(100)
    await fail(consent())
    await fail(federation(), otherApplication)
    for (let n = 0; n < 1000; n++) await fail(unknown(), targetFor({ tenant: ids.fabrikam, scope: `s${n}/.default` }))
    assert.equal([...memory.all()].length, 102)
    assert.equal(memory.lookUp(target)?.code, 'consent_required')
    assert.equal(memory.lookUp(otherApplication)?.code, 'federation_misconfigured')
  })

  test('pushes out what was not asked about for longest', async () => {
    const { fail, memory } = memoryWorld(2)
    const [a, b, c] = ['a', 'b', 'c'].map(name => targetFor({ scope: name })) as [FetchTarget, FetchTarget, FetchTarget]
    await fail(unknown(), a)
    await fail(unknown(), b)
    assert.ok(memory.lookUp(a))
    assert.ok(memory.last(b), 'looking at it for a dashboard is not asking')
    await fail(unknown(), c)
    assert.deepEqual(
      [a, b, c].map(each => memory.lookUp(each) !== undefined),
      [true, false, true],
    )
  })

  test('costs ten thousand records by default', async () => {
    const { fail, memory } = memoryWorld()
    for (let n = 0; n < 10_100; n++) await fail(unknown(), targetFor({ scope: `s${n}/.default` }))
    assert.equal([...memory.all()].length, 10_000)
  })
})

describe('10,000 keys whose federated credential is deleted', () => {
  test('cost one exchange per 15 to 30 s, for as long as it lasts', async () => {
    const { fail, succeed, clock, world } = memoryWorld()
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

  test('of which a thousand were asked for at that moment: those that had not begun are not begun', async () => {
    const { begin, succeed, world } = memoryWorld()
    const running = Array.from({ length: 64 }, (_, n) => begin(targetFor({ tenant: `tenant-${n}` })))
    for (const each of running) await each.fail(federation())
    for (let n = 64; n < 1000; n++) await succeed(targetFor({ tenant: `tenant-${n}` }))
    assert.equal(world.calls, 64)
  })
})

describe('invalidation', () => {
  const table: readonly [filter: Partial<FetchTarget>, left: string, forgotten: number, why: string][] = [
    [{}, '', 4, 'everything'],
    [{ tenant: ids.contoso }, 'tenant', 3, 'what stands in the way of contoso, the application’s failure too'],
    [{ scope: graph }, 'scope', 3, 'a scope: whatever stands in the way of it'],
    [{ clientId: ids.other }, 'target scope tenant', 1, 'an application'],
    [{ tenant: ids.fabrikam, scope: arm }, 'target scope tenant', 1, 'no failure of a key matches'],
  ]
  for (const [filter, left, forgotten, why] of table) {
    test(`of ${JSON.stringify(filter)}: ${why}`, async () => {
      const { fail, memory, refused } = memoryWorld()
      for (const each of [target, otherScope, otherTenant]) await fail(unknown(), each)
      await fail(federation(), otherApplication)
      assert.equal(refused(), 'target scope tenant application')
      assert.equal(memory.purge(filter), forgotten)
      assert.equal(refused(), left)
    })
  }

  test('what comes of a fetch that began before it is not remembered', async () => {
    const { begin, memory, succeed, refused } = memoryWorld()
    const [one, other] = [begin(), begin(otherTenant)]
    memory.purge({ tenant: ids.contoso })
    await one.fail(federation())
    assert.equal(refused(), '')
    await other.fail(consent())
    assert.equal(refused(), 'tenant')
    assert.equal(await succeed(), 'token')
  })

  test('nor does its success disprove what failed after it', async () => {
    const { begin, memory, fail, refused } = memoryWorld()
    const old = begin()
    memory.purge({})
    await fail(unknown())
    await old.succeed()
    assert.equal(refused(), 'target')
  })
})

test('the last failure of a target is the one of any level that came last', async () => {
  const { fail, begin, memory } = memoryWorld()
  const slow = begin(otherScope)
  await fail(unknown())
  assert.equal(memory.last(otherScope), undefined)
  await slow.fail(consent())
  const { level, tenant, scope, failures, error } = memory.last(target) ?? {}
  assert.deepEqual(
    [level, tenant, scope, failures, error?.code],
    ['tenant', ids.contoso, undefined, 1, 'consent_required'],
  )
})

const tenants = [ids.contoso, ids.fabrikam]
const targets = [ids.application, ids.other].flatMap(clientId =>
  tenants.flatMap(tenant => [graph, arm].map(scope => targetFor({ clientId, tenant, scope }))),
)
const kinds = { federation, consent, unknown, away, identity: () => failure('identity_unavailable', 'network') }

/** What one failure may refuse besides its own key. */
const reach: Readonly<Record<keyof typeof kinds, (failed: FetchTarget, asked: FetchTarget) => boolean>> = {
  federation: (failed, asked) => failed.clientId === asked.clientId,
  consent: (failed, asked) => failed.clientId === asked.clientId && failed.tenant === asked.tenant,
  unknown: (failed, asked) => failed.key === asked.key,
  away: (failed, asked) => failed.key === asked.key,
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
    fc.record({ do: fc.constant('forget' as const), which: fc.nat(1) }),
  ),
  { maxLength: 60 },
)

test('whatever happens: who is refused is refused for a failure that reaches it, and never for ever', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async script => {
      const { begin, memory, clock, world, succeed } = memoryWorld()
      const running: { target: FetchTarget; fetch: ReturnType<typeof begin> }[] = []
      const happened: { kind: keyof typeof kinds; target: FetchTarget; error: BrokerError }[] = []
      for (const { do: action, which } of script) {
        const picked = running[which % Math.max(1, running.length)]
        if (action === 'advance') clock.advance(which)
        else if (action === 'forget') memory.purge({ tenant: tenants[which] })
        else if (action === 'begin') {
          const asked = targets[which]
          if (asked === undefined) throw new Error('no such target')
          const before = world.calls
          const standing = memory.lookUp(asked)
          const fetch = begin(asked)
          assert.equal(world.calls - before, standing ? 0 : 1, 'a fetch is made just when nothing stands in its way')
          if (!standing) running.push({ target: asked, fetch })
          else
            assert.ok(
              happened.some(
                ({ kind, target: failed, error }) => error.code === standing.code && reach[kind](failed, asked),
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
