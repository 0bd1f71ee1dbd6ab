import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createTurns } from '../../src/broker/tokens/fair-queue.ts'
import { type FailureLevel, failureLevel, failurePeriodMs } from '../../src/broker/tokens/negative-cache-rules.ts'
import { freshness, longestWaitMs, planLife, refreshBackOffMs, remainingMs } from '../../src/broker/tokens/freshness.ts'
import { forgottenAfterMs } from '../../src/broker/tokens/negative-cache.ts'
import { readConfig } from '../../src/config/config.ts'
import { BrokerError, type ErrorCode, type ErrorParts, errorTable } from '../../src/errors.ts'
import { longestMinExpiresIn } from '../../src/http/schemas/requests.ts'
import { readRetryAfter, retryAfterPart } from '../../src/outbound/entra/entra-failure.ts'
import { metricTable } from '../../src/telemetry/metric-table.ts'
import { reasonsInSources } from '../contract/docs-reasons.ts'
import { sectionOf } from './tables.ts'
import { read } from '../support/sources.ts'

const raw = read('docs/cache.md')
const page = raw.replaceAll('stateDiagram-v2', 'stateDiagram').replace(/\s+/g, ' ')

/** A number that stands in a source file as `name = …` or `name: …`, in the source's own unit. */
function constant(path: string, name: string): number {
  const found = new RegExp(`\\b${name}(?: =|:) ([\\d_.]+(?: \\* [\\d_.]+)*),?$`, 'm').exec(read(path))?.[1]
  assert.ok(found !== undefined, `${path} has no number ${name}`)
  return found.split(' * ').reduce((product, factor) => product * Number(factor.replaceAll('_', '')), 1)
}

const grouped = (value: number): string => value.toLocaleString('en')
const seconds = (ms: number): string => `${ms / 1000} s`
const minutes = (ms: number): number => ms / 60_000
const percent = (share: number): string => `${Math.round(share * 100)} %`

const config = readConfig({
  BROKER_POLICY_FILE: 'policy.yaml',
  BROKER_IDENTITY_CLIENT_ID: '20000000-0000-4000-8000-000000000001',
  IDENTITY_ENDPOINT: 'http://127.0.0.1/msi/token',
  IDENTITY_HEADER: 'header',
})

/** Milliseconds after which a token of so many seconds is due, and expired; without jitter, or with the most of it. */
function turningPoints(expiresIn: number, random = 0.5) {
  const asked = { now: 0, monotonic: 0 }
  const life = planLife({ expiresIn }, asked, config.minRemainingSeconds, () => random)
  const end = remainingMs(life, asked)
  assert.equal(freshness(life, life.dueBeforeEnd), 'due')
  return { due: end - life.dueBeforeEnd, expired: end - life.minRemaining, end }
}

/** How long a failure is remembered, at least and at most, in milliseconds. */
function period(code: ErrorCode, level: FailureLevel, failures = 1, parts: ErrorParts = {}) {
  const error = new BrokerError(code, '', parts)
  return [0, 1].map(random => failurePeriodMs(level, error, failures, () => random)) as [number, number]
}
const range = ([least, most]: [number, number]): string => `${least / 1000} to ${most / 1000} s`
const status = (code: ErrorCode): string => `${errorTable[code].status} \`${code}\``
const levelOf = (code: ErrorCode, parts: ErrorParts = {}) => failureLevel(new BrokerError(code, '', parts))
const codesOf = (code: ErrorCode, ...codes: readonly number[]) =>
  codes.map(each => levelOf(code, { upstream: { codes: [each] } }))

/** How many slots each of so many callers gets, if all of them ask for everything. */
function slots(callers: number): number {
  const turns = createTurns({ limit: config.upstreamConcurrency, overloaded: () => new Error('overloaded') })
  const begun = new Map<number, number>()
  for (let n = 0; n < 100 * callers; n++) {
    const caller = n % callers
    const work = () => {
      begun.set(caller, (begun.get(caller) ?? 0) + 1)
      return new Promise<never>(() => undefined)
    }
    turns.flight(work, () => undefined).join(String(caller))
  }
  return Math.max(...begun.values())
}

const hour = turningPoints(3600)
const [due, expired, end] = [minutes(hour.due), minutes(hour.expired), minutes(hour.end)]
const short = turningPoints(299)
const backOff = [1, 2, 3].map(failures => refreshBackOffMs(failures, Infinity, () => 1) / 1000)
const pauses = [1, 2, 3, 20].map(failures => period('upstream_unavailable', 'key', failures)[1] / 1000)
const circuit = (name: string) => constant('src/outbound/entra/circuit-breaker.ts', name)
const turns = (name: string) => constant('src/broker/tokens/fair-queue.ts', name)
const retry = constant('src/outbound/entra/retry.ts', 'firstPauseMs')
const transient = `\`Retry-After\`, and up to ${pauses[0]} s, ${pauses[1]} s, ${pauses[2]} s … ${pauses[3]} s more`
const permanent = range(period('upstream_rejected', 'key'))
const forApplication = range(period('federation_misconfigured', 'application'))

/** Everything with a number in it that the page says, made of the sources. */
const facts: readonly string[] = [
  `0 min ${due} min ${expired} min ${end} min`,
  `${percent(hour.due / hour.end)} of its life is over`,
  `${config.minRemainingSeconds} s are left`,
  `else for ${percent(hour.due / hour.end)} of its life, or ${short.due / short.end === 0.5 ? 'half' : ''} of a life under ` +
    `${constant('src/broker/tokens/freshness.ts', 'shortLifeSeconds') / 60} minutes;`,
  `± ${percent(turningPoints(3600, 1).due / hour.due - 1)}, so that`,
  `never later than ${percent(constant('src/broker/tokens/freshness.ts', 'latestDue'))} of the time that it is served`,
  `after up to ${backOff[0]} s, ${backOff[1]} s, ${backOff[2]} s … ${minutes(refreshBackOffMs(99, Infinity, () => 1))} minutes (full jitter), ` +
    `but within a ${longestWaitMs(60_000) === 15_000 ? 'quarter' : ''} of the time for which the token is still served`,
  `\`BROKER_MIN_REMAINING_SECONDS\` (${config.minRemainingSeconds}) are left, or a ${(short.end - short.expired) * 10 === short.end ? 'tenth' : ''} of`,
  `\`BROKER_CACHE_MAX_ENTRIES\` (${grouped(config.cacheMaxEntries)})`,
  `more than ${constant('src/broker/tokens/assertion-cache.ts', 'minRemainingSeconds')} s (or a tenth of its life) left`,
  `\`BROKER_UPSTREAM_TIMEOUT_MS\` (${grouped(config.upstreamTimeoutMs)})`,
  `${errorTable.upstream_unavailable.status} \`upstream_unavailable\`. A caller`,
  `tried up to ${constant('src/outbound/entra/retry.ts', 'maxRetries')} times more (no connection, 408, 429, 5xx): after up to ` +
    `${retry} ms, then up to ${retry * 2} ms`,
  `has ${percent(constant('src/service/wire.ts', 'identityShare'))} of the time`,
  `no answer in time, 408, 429, 5xx, a code that says that it passes | ${status('upstream_unavailable')} | this ${levelOf('upstream_unavailable')} | ${transient} |`,
  `refused | ${status('federation_misconfigured')} | the ${levelOf('federation_misconfigured')}, all its keys | ${forApplication} |`,
  `another cloud, or Entra says \`invalid_client\` without a code that is known | ${status('federation_misconfigured')} | ` +
    `the application in this ${levelOf('federation_misconfigured', { reason: 'cloud' })} | ` +
    `${range(period('federation_misconfigured', 'tenant'))} |`,
  `disabled | ${status('consent_required')} | the application in this ${levelOf('consent_required')} | ${permanent} |`,
  `(AADSTS65001, 650056, 501051) | ${status('consent_required')} | this ${codesOf('consent_required', 65_001)[0]} | ${permanent} |`,
  `(AADSTS90002, 900023) | ${status('upstream_rejected')} | the application in this ${codesOf('upstream_rejected', 90_002)[0]} | ` +
    `${range(period('upstream_rejected', 'tenant'))} |`,
  `another refusal | ${status('upstream_rejected')} | this ${levelOf('upstream_rejected')} | ${permanent} |`,
  `token | ${status('upstream_invalid')} | this ${levelOf('upstream_invalid')} | ${range(period('upstream_invalid', 'key'))} |`,
  `away | ${status('identity_unavailable')} | the identity | ${transient} |`,
  `full | ${status('upstream_unavailable')}, ${status('overloaded')} | nobody |`,
  `A \`Retry-After\` of more than ${readRetryAfter('86400', 0)} s is taken for ${readRetryAfter('86400', 0)} s, and a limit (429) of Entra ` +
    `without one for one with ${retryAfterPart(429, undefined, 0).retryAfter} s.`,
  `remembered, a ${errorTable.upstream_unavailable.status} tells`,
  `asks for another ${minutes(forgottenAfterMs)} minutes, the failures in a row`,
  `\`BROKER_UPSTREAM_CONCURRENCY\` (${config.upstreamConcurrency}) fetches`,
  `a queue of ${grouped(turns('defaultMaxWaiting'))} places`,
  `alone it gets ${slots(1)} of ${config.upstreamConcurrency} slots and ${grouped(turns('defaultMaxWaiting') / 2)} of the places, ` +
    `beside another one ${slots(2)} slots`,
  `one in ${turns('foregroundTurns') + 1} while callers wait`,
  `gets ${status('overloaded')}.`,
  `within ${seconds(circuit('windowMs'))}, there were ${circuit('minExchanges')} exchanges or more, and at least ${circuit('minTenants')} ` +
    `tenants and ${circuit('minShare') === 0.5 ? 'half' : ''} of all tenants`,
  'no answer in time, 5xx. Refusals (4xx) and 429 are answers',
  `get ${errorTable.upstream_unavailable.status} at once. After ${seconds(circuit('openMs'))} one exchange`,
  `opens it for ${seconds(circuit('openMs'))} more`,
  `\`min_expires_in\` (0 to ${longestMinExpiresIn} s)`,
  `the caller gets ${errorTable.upstream_unavailable.status} with \`available_expires_in\``,
]

describe('docs/cache.md', () => {
  test('says what the sources say', () => {
    for (const fact of facts) assert.ok(page.includes(fact), fact)
  })

  test('has no number that the sources do not have', () => {
    let rest = page
    for (const fact of facts.toSorted((a, b) => b.length - a.length)) rest = rest.replaceAll(fact, '')
    assert.deepEqual(rest.match(/.{0,30}\d.{0,30}/g) ?? [], [])
  })

  test('the codes that are remembered elsewhere than their class are these', () => {
    assert.deepEqual(codesOf('consent_required', 65_001, 650_056, 501_051, 700_016), ['key', 'key', 'key', 'tenant'])
    assert.deepEqual(codesOf('upstream_rejected', 90_002, 900_023, 500_011), ['tenant', 'tenant', 'key'])
    const listed = [...read('src/broker/tokens/negative-cache-rules.ts').matchAll(/^ {2}\[(\d+), '/gm)].map(
      ([, code]) => Number(code),
    )
    assert.deepEqual(new Set(listed), new Set([65_001, 650_056, 501_051, 90_002, 900_023]))
  })

  test('has a row for every code that is remembered, and for no other', () => {
    const remembered = [...reasonsInSources()].flatMap(pair => {
      const [code = '', reason = ''] = pair.split(' ')
      return levelOf(code as ErrorCode, { reason }) ? [code] : []
    })
    // The last column of what is remembered nowhere is a dash.
    const rows = sectionOf(raw, '## When a fetch fails')
      .split('\n')
      .filter(line => / s( more)? \|$/.test(line))
    const listed = rows.flatMap(row => [...row.matchAll(/\d{3} `(\w+)`/g)].map(([, code]) => code))
    assert.deepEqual(new Set(listed), new Set([...remembered, 'identity_unavailable']))
  })

  test('what is remembered for nobody is remembered nowhere', () => {
    assert.equal(levelOf('overloaded'), undefined)
    assert.equal(levelOf('upstream_unavailable', { reason: 'circuit_open' }), undefined)
    assert.equal(levelOf('identity_unavailable'), undefined)
  })

  test('lists every Cache-Status there is, and no other', () => {
    const answered = [
      ...read('src/http/token-endpoints/token-response.ts').matchAll(/return [`'](token-broker; .+)[`']/g),
    ].flatMap(([, text = '']) => {
      const shown = text.replace('${ttl}', '…')
      return shown.includes('${how}') ? ['due', 'refresh-failed'].map(how => shown.replace('${how}', how)) : [shown]
    })
    const listed = [...raw.matchAll(/\| `(token-broker; .+)` \|$/gm)].map(([, text]) => text)
    assert.deepEqual(new Set(listed), new Set(answered))
    assert.equal(listed.length, 7)
    assert.equal(answered.length, 7)
  })

  test('names metrics that there are, by labels that they have', () => {
    const rows = [...raw.matchAll(/^\| .+\? \| (.+) \|$/gm)].map(([, cell = '']) => cell)
    assert.ok(rows.length >= 5)
    for (const [, name = '', label] of rows.join(', ').matchAll(/`(token_broker_\w+)`(?: by `(\w+)`)?/g)) {
      const metric = Object.entries(metricTable).find(([known]) => known === name)?.[1]
      assert.ok(metric, name)
      if (label !== undefined) assert.ok((metric.labels as readonly string[]).includes(label), `${name} by ${label}`)
    }
  })
})
