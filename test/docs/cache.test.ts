import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createFairQueue, defaultMaxWaiting, foregroundTurns } from '../../src/broker/tokens/fair-queue/fair-queue.ts'
import { failureLevel, failurePeriodMs } from '../../src/broker/tokens/negative-cache/negative-cache-rules.ts'
import {
  freshness,
  latestDue,
  longestWaitMs,
  planLife,
  refreshBackOffMs,
  remainingMs,
  shortLifeSeconds,
} from '../../src/broker/tokens/freshness.ts'
import { keptAfterMs } from '../../src/broker/tokens/negative-cache/negative-cache.ts'
import {
  hedgeIdentityAfterMs,
  longestIdentityBackOffMs,
  minRemainingSeconds,
} from '../../src/broker/tokens/assertion-cache.ts'
import { probeEveryMs, recoveryMs, sameTenantEveryMs } from '../../src/broker/tokens/negative-cache/outage.ts'
import { inBackgroundMs } from '../../src/broker/tokens/negative-cache/records.ts'
import { lookAgainMs } from '../../src/broker/tokens/background-refresh.ts'
import { cacheOutcomes } from '../../src/broker/events.ts'
import { readConfig } from '../../src/config/config.ts'
import { BrokerError, type ErrorCode, type ErrorParts, errorTable, type ReasonOf } from '../../src/errors.ts'
import { longestMinExpiresIn } from '../../src/http/schemas/requests.ts'
import { cacheStatus } from '../../src/http/token-endpoints/token-response.ts'
import { circuitDefaults } from '../../src/outbound/entra/circuit-breaker.ts'
import { readRetryAfter, retryAfterPart } from '../../src/outbound/entra/entra-failure.ts'
import { leastHedges } from '../../src/broker/lib/async/hedge.ts'
import { hedgeAfterMs } from '../../src/outbound/entra/entra.ts'
import { aadstsCodes } from '../../src/outbound/entra/aadsts-codes.ts'
import { maxAgentAssertions } from '../../src/outbound/entra/agent-assertions.ts'
import { firstBackoffMs, maxRetries } from '../../src/outbound/entra/retry.ts'
import type { FailureLevel } from '../../src/reasons/row.ts'
import { identityShare } from '../../src/service/wire.ts'
import { metricTable } from '../../src/telemetry/metric-table.ts'
import { reasons, refusedWith } from '../support/reasons.ts'
import { sectionOf } from './tables.ts'
import { read } from '../support/sources.ts'

const raw = read('docs/cache.md')
const page = raw.replaceAll('stateDiagram-v2', 'stateDiagram').replace(/\s+/g, ' ')

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

/** Milliseconds after which a token of so many seconds is due and expired. `random` 0.5: no jitter; 1: the most. */
function turningPoints(expiresIn: number, random = 0.5) {
  const start = { now: 0, monotonic: 0 }
  const life = planLife({ expiresIn }, start, config.minRemainingSeconds, () => random)
  const end = remainingMs(life, start)
  assert.equal(freshness(life, life.dueBeforeEnd), 'due')
  return { due: end - life.dueBeforeEnd, expired: end - life.minRemaining, end }
}

/** The shortest and the longest time for which a failure is cached, in milliseconds. */
function period(code: ErrorCode, level: FailureLevel, failures = 1, parts: ErrorParts = {}) {
  const error = new BrokerError(code, '', parts)
  return [0, 1].map(random => failurePeriodMs(level, error, failures, () => random)) as [number, number]
}
const range = ([least, most]: [number, number]): string => `${least / 1000} to ${most / 1000} s`
const status = (code: ErrorCode): string => `${errorTable[code].status} \`${code}\``
const levelOf = <Code extends ErrorCode>(code: Code, reason: ReasonOf<Code>) =>
  failureLevel(new BrokerError<ErrorCode>(code, '', { reason }))
const levelsOf = (...codes: readonly number[]) => codes.map(each => failureLevel(refusedWith([each])))

/** How many slots each of so many callers gets if all of them use what they can get. */
function slots(callers: number): number {
  const queue = createFairQueue({ limit: () => config.upstreamConcurrency, overloaded: () => new Error('overloaded') })
  const started = new Map<number, number>()
  for (let n = 0; n < 100 * callers; n++) {
    const caller = n % callers
    const work = () => {
      started.set(caller, (started.get(caller) ?? 0) + 1)
      return new Promise<never>(() => undefined)
    }
    queue.task(work, () => undefined).join(String(caller))
  }
  return Math.max(...started.values())
}

const hour = turningPoints(3600)
const [due, expired, end] = [minutes(hour.due), minutes(hour.expired), minutes(hour.end)]
const short = turningPoints(299)
const backOff = [1, 2, 3].map(failures => refreshBackOffMs(failures, Infinity, () => 1) / 1000)
const pauses = [1, 2, 3, 20].map(failures => period('upstream_unavailable', 'key', failures)[1] / 1000)
const transient = `\`Retry-After\`, and up to ${pauses[0]} s, ${pauses[1]} s, ${pauses[2]} s … ${pauses[3]} s more`
const timeouts = [1, 2, 3, 20].map(n => period('upstream_unavailable', 'key', n, { reason: 'timeout' }))
const [timeout] = timeouts.map(([least]) => least)
const random = timeouts.map(([least, most]) => seconds(most - least))
const permanent = range(period('upstream_rejected', 'key'))
const forApplication = range(period('federation_misconfigured', 'application'))

/** Every statement of the page that has a number, with the numbers of the sources. */
const facts: readonly string[] = [
  `0 min ${due} min ${expired} min ${end} min`,
  `${percent(hour.due / hour.end)} of its life is over`,
  `${config.minRemainingSeconds} s are left`,
  `else for ${percent(hour.due / hour.end)} of its life, or ${short.due / short.end === 0.5 ? 'half' : ''} of a life under ` +
    `${shortLifeSeconds / 60} minutes;`,
  `± ${percent(turningPoints(3600, 1).due / hour.due - 1)}, so that`,
  `never later than ${percent(latestDue)} of the time that it is served`,
  `after up to ${backOff[0]} s, ${backOff[1]} s, ${backOff[2]} s … ${minutes(refreshBackOffMs(99, Infinity, () => 1))} minutes (full jitter), ` +
    `but within a ${longestWaitMs(60_000) === 15_000 ? 'quarter' : ''} of the time for which the token is still served`,
  `\`BROKER_MIN_REMAINING_SECONDS\` (${config.minRemainingSeconds}) are left, or a ${(short.end - short.expired) * 10 === short.end ? 'tenth' : ''} of`,
  `and look again after ${seconds(lookAgainMs)}.`,
  `\`BROKER_CACHE_MAX_ENTRIES\` (${grouped(config.cacheMaxEntries)})`,
  `more than ${minRemainingSeconds} s (or a tenth of its life) left`,
  `\`BROKER_UPSTREAM_TIMEOUT_MS\` (${grouped(config.upstreamTimeoutMs)})`,
  `${errorTable.upstream_unavailable.status} \`upstream_unavailable\`. A caller`,
  `tried up to ${maxRetries} times more (no connection, 408, 429, 5xx, a code for a temporary condition, but not AADSTS50196): after up to ` +
    `${firstBackoffMs} ms, then up to ${firstBackoffMs * 2} ms`,
  `has ${percent(identityShare)} of the time`,
  `within that time, ${leastHedges} exchanges are made once more`,
  `made once more beside the first after ${seconds(hedgeAfterMs)} (to the identity endpoint: ${seconds(hedgeIdentityAfterMs)})`,
  `no response in time | ${status('upstream_unavailable')} | this ${levelOf('upstream_unavailable', 'timeout')} | ` +
    `${seconds(timeout ?? 0)}, and up to ${random[0]}, ${random[1]}, ${random[2]} … ${random[3]} more |`,
  `at a random moment within ${recoveryMs} ms. A 429, AADSTS50196`,
  'no response in time, 408, 5xx, a code for a temporary condition. Each',
  `up to ${seconds(2 * recoveryMs)}, then ${seconds(4 * recoveryMs)}, and so on`,
  `gets its ${errorTable.upstream_unavailable.status} at once, and no request waits for a probe. One probe ${probeEveryMs === 1000 ? 'a second' : ''}`,
  'before a `Retry-After` of a 5xx is over',
  `has one in ${seconds(sameTenantEveryMs)}, and tenants`,
  `the next ${seconds(inBackgroundMs)} belong`,
  // test/broker/recovery/ holds the promise.
  'is served within 3 s, unless Entra limits it (429)',
  `another one is tried after ${seconds(circuitDefaults.probeTimeoutMs)}.`,
  `no connection, 408, 429, 5xx, a code for a temporary condition | ${status('upstream_unavailable')} | this ${levelOf('upstream_unavailable', 'network')} | ${transient} |`,
  `too often (AADSTS50196) | ${status('upstream_unavailable')} | this ${levelsOf(50_196)[0]} | ` +
    `${refusedWith([50_196]).retryAfter} s or ${transient} |`,
  `refused | ${status('federation_misconfigured')} | the ${levelOf('federation_misconfigured', 'federation')}, all its keys | ${forApplication} |`,
  `for an agent identity | ${status('federation_misconfigured')} | the agent identity | ` +
    `${range(period('federation_misconfigured', 'tenant'))} |`,
  `is: until ${minRemainingSeconds} s before its end, or a tenth`,
  `recently used of more than ${grouped(maxAgentAssertions)} is forgotten`,
  `another cloud, or Entra says \`invalid_client\` without a code that is known | ${status('federation_misconfigured')} | ` +
    `the application in this ${levelOf('federation_misconfigured', 'cloud')} | ` +
    `${range(period('federation_misconfigured', 'tenant'))} |`,
  `disabled | ${status('consent_required')} | the application in this ${levelOf('consent_required', 'consent')} | ${permanent} |`,
  `(AADSTS65001, 650056, 501051) | ${status('consent_required')} | this ${levelsOf(65_001)[0]} | ${permanent} |`,
  `(AADSTS90002, 900023, 5000225) | ${status('upstream_rejected')} | the application in this ${levelsOf(90_002)[0]} | ` +
    `${range(period('upstream_rejected', 'tenant'))} |`,
  `another refusal | ${status('upstream_rejected')} | this ${levelOf('upstream_rejected', 'request')} | ${permanent} |`,
  `token | ${status('upstream_invalid')} | this ${levelOf('upstream_invalid', 'unreadable')} | ${range(period('upstream_invalid', 'key'))} |`,
  `unavailable | ${status('identity_unavailable')} | the identity | \`Retry-After\`, and up to ${pauses[0]} s, then ${seconds(longestIdentityBackOffMs)} more |`,
  `full | ${status('upstream_unavailable')}, ${status('overloaded')} | nothing |`,
  `A \`Retry-After\` of more than ${readRetryAfter('86400', 0)} s counts as ${readRetryAfter('86400', 0)} s, and a limit (429) of Entra ` +
    `without one as ${retryAfterPart(429, undefined, 0).retryAfter} s.`,
  `cached, a ${errorTable.upstream_unavailable.status} reports`,
  `for another ${minutes(keptAfterMs)} minutes, the failures in a row`,
  `\`BROKER_UPSTREAM_CONCURRENCY\` (${config.upstreamConcurrency}) fetches`,
  `a queue of ${grouped(defaultMaxWaiting)} places`,
  `alone it gets ${slots(1)} of ${config.upstreamConcurrency} slots and ${grouped(defaultMaxWaiting / 2)} of the places, ` +
    `beside another one ${slots(2)} slots`,
  `one in ${foregroundTurns + 1} while callers wait`,
  `gets ${status('overloaded')}.`,
  `within ${seconds(circuitDefaults.windowMs)}, there were ${circuitDefaults.minExchanges} exchanges or more, and at least ${circuitDefaults.minTenants} ` +
    `tenants and ${circuitDefaults.minShare === 0.5 ? 'half' : ''} of all tenants`,
  'no response in time, 408, 5xx. Other 4xx, 429 too, are responses',
  `get ${errorTable.upstream_unavailable.status} at once. After ${seconds(circuitDefaults.openMs)} one exchange`,
  `opens it for ${seconds(circuitDefaults.openMs)} more`,
  `\`min_expires_in\` (0 to ${longestMinExpiresIn} s)`,
  `the caller gets ${errorTable.upstream_unavailable.status} with \`available_expires_in\``,
]

describe('docs/cache.md', () => {
  test('agrees with the sources', () => {
    for (const fact of facts) assert.ok(page.includes(fact), fact)
  })

  test('has no number besides those of the sources', () => {
    let rest = page
    for (const fact of facts.toSorted((a, b) => b.length - a.length)) rest = rest.replaceAll(fact, '')
    assert.deepEqual(rest.match(/.{0,30}\d.{0,30}/g) ?? [], [])
  })

  test('lists the AADSTS codes that are cached at another level than their class', () => {
    assert.deepEqual(levelsOf(65_001, 650_056, 501_051, 700_016), ['key', 'key', 'key', 'tenant'])
    assert.deepEqual(levelsOf(90_002, 900_023, 500_011), ['tenant', 'tenant', 'key'])
    const moved = [...aadstsCodes].filter(([, { level }]) => level !== undefined).map(([code]) => code)
    assert.deepEqual(new Set(moved), new Set([65_001, 650_056, 501_051, 90_002, 900_023, 5_000_225]))
  })

  test('has a row for every code that is cached, and for no other', () => {
    const cached = reasons.filter(each => each.cachedFor !== 'nothing').map(({ code }) => code)
    // The last column of a row that is not cached is a dash.
    const rows = sectionOf(raw, '## When a fetch fails')
      .split('\n')
      .filter(line => / s( more)? \|$/.test(line))
    const listed = rows.flatMap(row => [...row.matchAll(/\d{3} `(\w+)`/g)].map(([, code]) => code))
    assert.deepEqual(new Set(listed), new Set([...cached, 'identity_unavailable']))
  })

  test('says rightly what is not cached by the negative cache', () => {
    assert.equal(levelOf('overloaded', 'queue'), undefined)
    assert.equal(levelOf('upstream_unavailable', 'circuit_open'), undefined)
    assert.equal(levelOf('identity_unavailable', 'network'), undefined)
  })

  test('lists every Cache-Status, and no other', () => {
    const sent = cacheOutcomes.map(how => cacheStatus(how, '…'))
    const listed = [...raw.matchAll(/\| `(token-broker; .+)` \|$/gm)].map(([, text]) => text)
    assert.deepEqual(new Set(listed), new Set(sent))
    assert.equal(listed.length, 8)
    assert.equal(sent.length, 8)
  })

  test('names metrics and labels that exist', () => {
    const rows = [...raw.matchAll(/^\| .+\? \| (.+) \|$/gm)].map(([, cell = '']) => cell)
    assert.ok(rows.length >= 5)
    for (const [, name = '', label] of rows.join(', ').matchAll(/`(token_broker_\w+)`(?: by `(\w+)`)?/g)) {
      const metric = Object.entries(metricTable).find(([known]) => known === name)?.[1]
      assert.ok(metric, name)
      if (label !== undefined) assert.ok((metric.labels as readonly string[]).includes(label), `${name} by ${label}`)
    }
  })
})
