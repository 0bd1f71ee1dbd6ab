import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { Json } from '../../../emulator/jws.ts'
import { sample } from '../../../emulator/options.ts'
import { graph, observers, sampleCaller, startWorld, type TestBroker } from '../../support/broker.ts'

const arm = 'https://management.azure.com/.default'
const numbered = Array.from({ length: 12 }, (_, n) => `40000000-0000-4000-8000-000000000${100 + n}`)
const tenantIds = [...numbered, sample.contoso, sample.fabrikam]
const world = await startWorld({ tenants: tenantIds.map(id => ({ id })) })
const { emulator, clock } = world
const policy = {
  tenants: { contoso: sample.contoso.toUpperCase(), 'contoso-too': sample.contoso, fabrikam: sample.fabrikam },
  rules: [{ name: 'all', callers: [sampleCaller], tenants: tenantIds, scopes: [graph, arm] }, observers],
}

async function failuresOf(broker: TestBroker, query = '') {
  const { status, json, text } = await broker.get(`/cache/failures${query}`)
  assert.equal(status, 200, text)
  assert.deepEqual(Object.keys(json), ['failures', 'next_cursor'])
  return { failures: json['failures'] as readonly Json[], next: json['next_cursor'] as string | null }
}

/** A broker with a failure for each of these requests: their tenants, scopes, and the code that Entra returns. */
async function failing(
  t: TestContext,
  requests: readonly (readonly [tenant: string, scope: string, code: number])[],
): Promise<TestBroker> {
  const broker = await world.broker(t, { policy })
  for (const [tenant, scope, code] of requests) {
    emulator.clearFaults()
    emulator.fault({ kind: 'aadsts', at: 'token', code })
    assert.notEqual((await broker.requestToken({ tenant, scope })).status, 200)
  }
  emulator.clearFaults()
  return broker
}

const iso = (seconds: number) => new Date(clock.now() + seconds * 1000).toISOString()
const consent = 7000229
const federation = 700213
const resource = 65001

describe('a failure', () => {
  test('of a tenant has its name, the reason, the codes of Entra and the remedy', async t => {
    const broker = await failing(t, [['contoso', graph, consent]])
    const { failures, next } = await failuresOf(broker)
    assert.equal(next, null)
    const [{ remedy, ...failure } = {}, ...more] = failures
    assert.deepEqual(more, [])
    assert.deepEqual(failure, {
      application: 'default',
      client_id: sample.application,
      agent: null,
      agent_id: null,
      tenant: sample.contoso,
      // Of two names, the first one in the file.
      tenant_name: 'contoso',
      scope: null,
      level: 'tenant',
      code: 'consent_required',
      reason: 'consent',
      codes: [consent],
      presented: null,
      since: iso(0),
      until: iso(45),
      count: 1,
    })
    assert.match(String(remedy), /adminconsent\?client_id=/)
  })

  test('of an application names no tenant and no scope, and one of a key both', async t => {
    const broker = await failing(t, [
      ['contoso', arm, resource],
      [numbered[0] ?? '', graph, federation],
    ])
    const shown = (await failuresOf(broker)).failures.map(failure =>
      ['level', 'tenant', 'tenant_name', 'scope', 'reason'].map(field => failure[field]),
    )
    assert.deepEqual(shown, [
      ['key', sample.contoso, 'contoso', arm, 'consent'],
      ['application', null, null, null, 'federation'],
    ])
  })

  test('of an assertion that Entra does not accept has what was presented to it, without the token', async t => {
    const broker = await failing(t, [['contoso', graph, federation]])
    const [failure] = (await failuresOf(broker)).failures
    assert.deepEqual(failure?.['presented'], {
      issuer: `${emulator.entraUrl}/${sample.homeTenant}/v2.0`,
      subject: sample.identity.objectId,
      audience: sample.audience,
    })
  })

  test('that occurs again counts on since the first one; one whose time is over stays until the next request', async t => {
    const broker = await failing(t, [['contoso', graph, consent]])
    const since = iso(0)
    clock.advance(46)
    const [over] = (await failuresOf(broker)).failures
    assert.deepEqual([over?.['since'], over?.['until'], over?.['count']], [since, iso(-1), 1])
    emulator.fault({ kind: 'aadsts', at: 'token', code: consent })
    await broker.requestToken({ tenant: 'contoso', scope: graph })
    const [again, ...more] = (await failuresOf(broker)).failures
    assert.deepEqual([again?.['since'], again?.['until'], again?.['count'], more], [since, iso(45), 2, []])
  })

  test('is not listed any more after a success, or a purge', async t => {
    const broker = await failing(t, [['contoso', graph, consent]])
    clock.advance(46)
    assert.equal((await broker.requestToken({ tenant: 'contoso', scope: graph })).status, 200)
    assert.deepEqual((await failuresOf(broker)).failures, [])
  })

  test('is listed as often as `/cache` counts it', async t => {
    const broker = await failing(t, [
      ['contoso', arm, resource],
      ['fabrikam', graph, consent],
      [numbered[0] ?? '', graph, consent],
    ])
    const { json } = await broker.get('/cache')
    const counted = (json['failures'] as { count: number }[]).reduce((sum, { count }) => sum + count, 0)
    assert.equal((await failuresOf(broker)).failures.length, counted)
  })
})

describe('the failures of one tenant', () => {
  const all = [
    ['fabrikam', graph, consent],
    ['contoso', arm, resource],
    [numbered[0] ?? '', graph, federation],
  ] as const
  const rows: readonly (readonly [tenant: string, levels: readonly string[], why: string])[] = [
    ['contoso', ['key', 'application'], 'a name: also what fails for every tenant of the application'],
    ['contoso-too', ['key', 'application'], 'another name of the same tenant'],
    [sample.contoso, ['key', 'application'], 'an id'],
    [sample.fabrikam.toUpperCase(), ['tenant', 'application'], 'an id in upper case'],
    [numbered[1] ?? '', ['application'], 'a tenant without a failure of its own'],
    ['unknown', ['application'], 'a name that the policy does not define'],
    ['constructor', ['application'], 'a name like a property of every object'],
  ]
  for (const [tenant, levels, why] of rows)
    test(`${tenant}: ${why}`, async t => {
      const { failures } = await failuresOf(await failing(t, all), `?tenant=${tenant}`)
      assert.deepEqual(
        failures.map(({ level }) => level),
        levels,
      )
    })
})

describe('pages', () => {
  for (const limit of [1, 5, 6, 12, 1000])
    test(`of ${limit}: every failure exactly once, in the order in which they occurred`, async t => {
      const broker = await failing(
        t,
        numbered.map(tenant => [tenant, graph, consent] as const),
      )
      const listed: unknown[] = []
      for (let query: string | undefined = `?limit=${limit}`; query !== undefined;) {
        const { failures, next } = await failuresOf(broker, query)
        assert.ok(failures.length <= limit)
        listed.push(...failures.map(({ tenant }) => tenant))
        query = next === null ? undefined : `?limit=${limit}&cursor=${next}`
        // A request that gets the cached failure does not change the order.
        await broker.requestToken({ tenant: numbered[0] ?? '', scope: graph })
      }
      assert.deepEqual(listed, numbered)
    })
})
