import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import type { Json } from '../../emulator/jws.ts'
import { panels as rows } from '../contract/dashboard-file.ts'
import { graph, policyOf, startWorld, until } from '../support/broker.ts'
import { startPrometheus, withoutPrometheus, type Series } from '../support/prometheus.ts'

/** The dashboard's queries and the rules in a real Prometheus, which scrapes a broker with planted faults. */

/** Panels without data in this scenario, by title, and why. */
const empty: Readonly<Record<string, string>> = {
  'First token unusable in': 'no token is at risk',
  'Redis now': 'the broker has no Redis',
  'Latency of Entra now': 'no exchange succeeds between two scrapes',
  'Slow cached tokens': 'fewer than 100 cached tokens were issued',
  'Redis and its replicas': 'the broker has no Redis',
  'Look-ups in Redis': 'the broker has no Redis',
  Refreshes: 'no token is old enough to be refreshed',
}

describe('a real Prometheus that scrapes a broker with planted faults', { skip: withoutPrometheus }, async () => {
  if (withoutPrometheus !== false) return
  const world = await startWorld()
  const { clock } = world
  /** Seconds by which the clock moves whenever a broker reads it: so long does each of its steps take. */
  let slowness = 0
  const { monotonic } = clock
  clock.monotonic = () => {
    clock.advance(slowness)
    return monotonic()
  }
  const apiKeys = { erp: { sha256: 'a'.repeat(64), expires: '2099-01-01' } }
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  after(() => rm(folder, { recursive: true, force: true }))
  const TLS_CLIENT_CA_FILE = join(folder, 'ca.crt')
  await writeFile(TLS_CLIENT_CA_FILE, world.emulator.caPem)
  const proxied = { BROKER_TRUSTED_PROXIES: '127.0.0.2', BROKER_CLIENT_CERT_HEADER: 'client-cert', TLS_CLIENT_CA_FILE }
  const environment = { MANAGEMENT_PORT: '0', ...proxied }
  const { rules } = policyOf(world.emulator)
  const limited = { name: 'limited', callers: [{ issuer: 'emulator', subject: 'limited' }], requestLimit: '1/m' }
  const grants = { tenants: ['contoso'], scopes: [graph] }
  const policy = { apiKeys, rules: [...(rules as Json[]), { ...limited, ...grants }] }
  const broker = await world.broker({ after }, { policy, environment })
  const target = new URL(broker.managementUrl).host
  const api = await startPrometheus({ after }, { static_configs: [{ targets: [target] }] })
  const query = (expr: string) => api(`query?query=${encodeURIComponent(expr)}`)
  const found = async (expr: string): Promise<readonly Series[]> => (await query(expr)).data?.result ?? []

  /** One request of each kind: issued, without consent, denied, not authenticated, over a limit, and Entra fails. */
  const plantFaults = async (): Promise<void> => {
    const of = (tenant: string) => ({ tenant, scope: graph })
    await broker.requestToken(of('contoso'))
    await broker.requestToken(of('contoso'))
    await broker.requestToken(of('tailspin'))
    await broker.requestToken({ tenant: 'contoso', scope: 'https://vault.azure.net/.default' })
    await broker.requestToken(of('contoso'), { token: 'x.y.z' })
    const ofLimited = await world.emulator.mintCallerToken({ sub: 'limited' })
    for (let nth = 0; nth < 2; nth++) await broker.requestToken(of('contoso'), { token: ofLimited })
    world.emulator.fault({ kind: 'server-error', at: 'token' })
    await broker.requestToken(of('fabrikam'))
    world.emulator.clearFaults()
  }
  await plantFaults()
  await until('a first scrape', async () => (await found('token_broker_denials_total')).length > 0)
  // Counters rise between scrapes from here on.
  await plantFaults()
  for (const recorded of ['availability_errors', 'slow_cached_tokens'])
    await until('the recorded rules', async () => (await found(`token_broker:${recorded}:ratio_rate1h`)).length > 0)
  await until('two scrapes', async () => (await found('rate(token_broker_negative_cache_hits_total[1m])')).length > 0)

  for (const { title, queries } of rows)
    for (const expr of queries)
      test(`${title}: ${expr.slice(0, 70)}`, async () => {
        const filled = expr
          .replaceAll('$job', 'token-broker')
          .replaceAll('$instance', '.+')
          .replaceAll('$__rate_interval', '1m')
        assert.doesNotMatch(filled, /\$/)
        const { status, error = status, data } = await query(filled)
        assert.equal(status, 'success', error)
        assert.equal(data?.result.length === 0, title in empty, JSON.stringify(data?.result))
      })

  test('every rule is evaluated without an error', async () => {
    const all = async () => (await api('rules')).data?.groups.flatMap(group => group.rules) ?? []
    await until('all are evaluated', async () => (await all()).every(({ health }) => health !== 'unknown'))
    const failed = (await all()).filter(({ health }) => health !== 'ok')
    assert.deepEqual(failed, [])
    assert.ok((await all()).length > 20)
  })

  test('cached tokens that take too long use up the objective of latency, and its alert begins to wait', async () => {
    const share = async () => {
      const [first] = await found('token_broker:slow_cached_tokens:ratio_rate5m')
      return Number(first?.value[1])
    }
    const pending = 'ALERTS{alertname="TokenBrokerLatencyBurnsFast",alertstate="pending"}'
    assert.equal(await share(), 0)
    assert.deepEqual(await found(pending), [])
    slowness = 0.03
    for (let sent = 0; sent < 20; sent += 1) await broker.requestToken({ tenant: 'contoso', scope: graph })
    slowness = 0
    await until('it is pending', async () => (await found(pending)).length > 0)
    assert.ok((await share()) > 0.144, String(await share()))
  })

  test('alerts without a waiting time fire on their fault, and others do not', async () => {
    for (let sent = 0; sent < 300; sent += 1) await broker.requestToken({ tenant: 'tailspin', scope: graph })
    const firing = async (pattern: string) =>
      (await found(`group by (alertname) (ALERTS{alertstate="firing",alertname${pattern}})`)).length
    const expected = ['TokenBrokerNegativeCacheHitsHigh', 'TokenBrokerTenantErrorsHigh']
    for (const alert of expected) await until(`${alert} fires`, async () => (await firing(`="${alert}"`)) === 1)
    // The certificate of the emulator's CA ends within days.
    const known = [...expected, 'TokenBrokerCertificateExpiringSoon'].join('|')
    assert.equal(await firing(`!~"${known}"`), 0)
  })
})
