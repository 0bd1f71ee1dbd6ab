import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { parse } from 'yaml'
import { agentReasons, tenantReasons } from '../../scripts/monitoring/request-errors.ts'
import { reasons } from '../support/reasons.ts'
import { read } from '../support/sources.ts'
import { alerts } from './alert-rules.ts'

interface InhibitRule {
  readonly source_matchers: readonly string[]
  readonly target_matchers: readonly string[]
  readonly equal: readonly string[]
}
type Labels = Readonly<Record<string, string>>

const [, block = ''] = /^```yaml\n(inhibit_rules:\n[\s\S]*?)^```$/m.exec(read('docs/alerts.md')) ?? []
const { inhibit_rules: rules } = parse(block) as { readonly inhibit_rules: readonly InhibitRule[] }

/** Whether labels match, by the notation of https://prometheus.io/docs/alerting/latest/configuration/#matcher. An absent label is empty. */
const matches = (labels: Labels, matchers: readonly string[]): boolean =>
  matchers.every(matcher => {
    const [, name = '', operator = '', value = ''] = /^(\w+) (=~|=|!=|!~) "(.*)"$/.exec(matcher) ?? []
    assert.notEqual(name, '', `not a matcher: ${matcher}`)
    const found = labels[name] ?? ''
    const isEqual = operator.includes('~') ? new RegExp(`^(?:${value})$`).test(found) : found === value
    return operator.startsWith('!') ? !isEqual : isEqual
  })

/** The alerts that Alertmanager sends messages of. */
const sent = (firing: readonly Labels[]): readonly Labels[] =>
  firing.filter(
    target =>
      !rules.some(
        ({ source_matchers: source, target_matchers: targets, equal }) =>
          matches(target, targets) &&
          firing.some(
            each => matches(each, source) && equal.every(label => (each[label] ?? '') === (target[label] ?? '')),
          ),
      ),
  )

const named = (alertname: string, labels: Labels = {}): Labels => ({
  alertname: `TokenBroker${alertname}`,
  job: 'token-broker',
  ...labels,
})

describe('the inhibit rules of docs/alerts.md', () => {
  test('name alerts that exist, each of which has the labels that must be equal', () => {
    for (const { source_matchers: source, target_matchers: targets, equal } of rules)
      for (const matchers of [source, targets]) {
        const found = alerts.filter(({ alert }) =>
          matches(
            { alertname: alert },
            matchers.filter(matcher => matcher.startsWith('alertname ')),
          ),
        )
        const words =
          matchers
            .join()
            .match(/[A-Z]\w+/g)
            ?.filter(word => word !== 'TokenBroker') ?? []
        assert.equal(found.length, words.length, matchers.join())
        for (const { alert, expr } of found)
          for (const label of equal)
            assert.match(expr, new RegExp(`by \\((?:\\w+, )*${label}\\b|^token_broker:`), alert)
      }
  })

  test('name the reasons of single tenants and agent identities as the alerts do', () => {
    const listed = new Set(block.match(/(?<=reason [!=]~ ")[^"]+/g))
    const ofTenants = tenantReasons.replace(`|${agentReasons}`, '')
    assert.deepEqual(listed, new Set([tenantReasons, ofTenants, agentReasons]))
    for (const reason of tenantReasons.split('|')) {
      const rows = reasons.filter(row => row.reason === reason)
      assert.ok(
        rows.length > 0 && rows.every(({ ownTrouble, cachedFor }) => !ownTrouble && cachedFor !== 'application'),
      )
    }
  })

  test('never suppress what callers notice, nor another critical alert', () => {
    for (const { alert, labels } of alerts.filter(rule => rule.labels.severity === 'critical'))
      for (const { target_matchers: targets } of rules)
        assert.ok(!matches({ ...labels, alertname: alert }, targets), alert)
  })

  const upstream = (kind: string) => named('UpstreamDown', { kind })
  const refused = (reason: string) => named('NegativeCacheHitsHigh', { reason })
  const rows: readonly (readonly [cause: string, firing: readonly Labels[], messages: readonly Labels[]])[] = [
    [
      'the federated credential was deleted',
      [
        named('FederationMisconfigured'),
        named('RequestErrorsHigh'),
        named('ExchangeErrorsHigh'),
        named('RefreshesFailing'),
        named('TokensAtRisk'),
        refused('federation'),
        upstream('authority'),
      ],
      [named('FederationMisconfigured'), named('RequestErrorsHigh')],
    ],
    [
      'the identity endpoint is unavailable, while tokens are cached',
      [named('IdentityUnavailable'), named('TokensAtRisk'), named('RefreshesFailing'), named('TokenExpiryImminent')],
      [named('IdentityUnavailable'), named('TokenExpiryImminent')],
    ],
    [
      'Entra does not respond, and an issuer is unavailable too: that is another cause',
      [named('CircuitOpen'), named('ExchangeErrorsHigh'), upstream('authority'), upstream('issuer')],
      [named('CircuitOpen'), upstream('issuer')],
    ],
    [
      'Entra responds with errors, while tokens are cached, and a tenant has no consent: that is another cause',
      [
        named('ExchangeErrorsHigh'),
        upstream('authority'),
        named('RefreshesFailing'),
        refused('server_error'),
        refused('consent'),
      ],
      [named('ExchangeErrorsHigh'), refused('consent')],
    ],
    [
      'tenants without consent, in an environment without another problem',
      [named('TenantErrorsHigh'), refused('consent'), refused('network')],
      [named('TenantErrorsHigh'), refused('network')],
    ],
    [
      'the same in another job',
      [named('TenantErrorsHigh', { job: 'staging' }), refused('consent')],
      [named('TenantErrorsHigh', { job: 'staging' }), refused('consent')],
    ],
    [
      'Entra rejects one agent identity, and is slow: that is another cause',
      [
        named('AgentIdentityRejected'),
        named('ExchangesSlow'),
        named('TokensAtRisk'),
        upstream('authority'),
        refused('agent_identity'),
        refused('network'),
      ],
      [
        named('AgentIdentityRejected'),
        named('ExchangesSlow'),
        named('TokensAtRisk'),
        upstream('authority'),
        refused('network'),
      ],
    ],
    [
      'exchanges fail, and Entra rejects one agent identity: that is another cause',
      [named('ExchangeErrorsHigh'), refused('server_error'), refused('agent_identity')],
      [named('ExchangeErrorsHigh'), refused('agent_identity')],
    ],
    ['tokens at risk, without a known cause', [named('TokensAtRisk')], [named('TokensAtRisk')]],
  ]
  for (const [cause, firing, messages] of rows) test(cause, () => assert.deepEqual(sent(firing), messages))

  const isInstalled = spawnSync('amtool', ['--version']).status === 0
  test('amtool accepts them', { skip: !isInstalled && 'amtool is not in PATH' }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'token-broker-test-'))
    after(() => rmSync(folder, { recursive: true, force: true }))
    const file = join(folder, 'alertmanager.yml')
    writeFileSync(file, `route: { receiver: none }\nreceivers: [{ name: none }]\n${block}`)
    const { status, stderr } = spawnSync('amtool', ['check-config', file], { encoding: 'utf8' })
    assert.equal(status, 0, stderr)
  })
})
