import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  callerText,
  clientText,
  clockTime,
  count,
  duration,
  figure,
  latency,
  limitText,
  listed,
  plural,
  targetText,
  whenText,
} from '../../web/model/format.js'

const now = Date.parse('2026-11-28T03:12:45.678Z')

describe('numbers', () => {
  const rows: readonly (readonly [shown: string, text: string, why: string])[] = [
    [count(0), '0', 'zero'],
    [count(1_234_567), '1,234,567', 'separators'],
    [plural(1, 'tenant'), '1 tenant', 'one'],
    [plural(0, 'tenant'), '0 tenants', 'none'],
    [plural(12_000, 'tenant'), '12,000 tenants', 'many'],
    [figure(undefined), '–', 'no value'],
    [figure(Number.NaN), '–', 'no value either'],
    [figure(12.3456), '12.3', 'three digits'],
    [figure(0.001234), '0.00123', 'three digits of a small one'],
  ]
  for (const [shown, text, why] of rows) test(`${text}: ${why}`, () => assert.equal(shown, text))
})

describe('a duration', () => {
  const rows: readonly (readonly [seconds: number, text: string, why: string])[] = [
    [-5, '0 s', 'never negative'],
    [0.9, '0 s', 'rounded down: no time is promised that is not there'],
    [89, '89 s', 'seconds up to a minute and a half'],
    [90, '1 min', 'then minutes'],
    [5399, '89 min', 'up to an hour and a half'],
    [5400, '1 h', 'then hours'],
    [129_599, '35 h', 'up to a day and a half'],
    [129_600, '1 day', 'then days'],
    [172_800, '2 days', 'more than one'],
    [1_209_600, '14 days', 'two weeks'],
  ]
  for (const [seconds, text, why] of rows)
    test(`${seconds} s is ${text}: ${why}`, () => assert.equal(duration(seconds), text))
})

describe('a latency', () => {
  const rows: readonly (readonly [seconds: number | undefined, text: string])[] = [
    [undefined, '–'],
    [Number.NaN, '–'],
    [0, '0 ms'],
    [0.0123, '12.3 ms'],
    [0.9994, '999 ms'],
    [1, '1 s'],
    [4.567, '4.57 s'],
  ]
  for (const [seconds, text] of rows) test(`${seconds} s is ${text}`, () => assert.equal(latency(seconds), text))
})

describe('a moment', () => {
  test('of today is the time in UTC', () => assert.equal(clockTime('2026-11-28T01:02:03.999Z', now), '01:02:03'))
  test('of another day has its date', () => assert.equal(clockTime('2026-11-27T23:59:59Z', now), '2026-11-27 23:59'))
  test('in milliseconds', () => assert.equal(clockTime(now, now), '03:12:45'))
  test('that is none is a dash', () => assert.equal(clockTime('soon', now), '–'))
})

describe('when something is so', () => {
  const rows: readonly (readonly [finding: Parameters<typeof whenText>[0], text: string, why: string])[] = [
    [{}, '', 'nothing is known'],
    [{ since: '2026-11-28T03:12:00Z' }, 'since 03:12:00 UTC (less than a minute)', 'seconds would change each round'],
    [{ since: '2026-11-28T03:00:00Z' }, 'since 03:00:00 UTC (at least 12 min)', 'minutes'],
    [{ since: '2026-11-28T03:11:40Z' }, 'since 03:11:40 UTC (at least 1 min)', 'one of them'],
    [{ since: '2026-11-28T01:30:00Z' }, 'since 01:30:00 UTC (at least 1 h)', 'hours'],
    [{ since: '2026-11-26T03:00:00Z' }, 'since 2026-11-26 03:00 UTC (at least 2 days)', 'another day'],
    [{ from: '2026-11-28T04:00:00Z' }, 'from 04:00:00 UTC (in 47 min)', 'in the future'],
    [
      { from: '2026-11-28T04:00:00Z', since: '2026-11-28T03:00:00Z' },
      'from 04:00:00 UTC (in 47 min)',
      'the effect counts',
    ],
  ]
  for (const [finding, text, why] of rows) test(`${text}: ${why}`, () => assert.equal(whenText(finding, now), text))
})

describe('a limit', () => {
  const rows: readonly (readonly [reason: string, count: number, seconds: number, text: string])[] = [
    ['requests', 60, 60, '60 requests per minute'],
    ['requests', 1, 1, '1 request per second'],
    ['exchanges', 1000, 3600, '1,000 new tokens per hour'],
    ['tenant', 1, 86_400, '1 new token per day'],
    ['tenant', 5, 90, '5 new tokens per 90 s'],
  ]
  for (const [reason, number, seconds, text] of rows)
    test(text, () => assert.equal(limitText(reason, { count: number, seconds }), text))
})

describe('a list', () => {
  const rows: readonly (readonly [items: readonly string[], text: string])[] = [
    [[], ''],
    [['a'], 'a'],
    [['a', 'b'], 'a and b'],
    [['a', 'b', 'c'], 'a, b and c'],
    [['a', 'b', 'c', 'd'], 'a, b, c and 1 more'],
    [Array.from({ length: 5003 }, (_, nth) => `t${nth}`), 't0, t1, t2 and 5,000 more'],
  ]
  for (const [items, text] of rows) test(`of ${items.length}: ${text}`, () => assert.equal(listed(items), text))
})

describe('a caller', () => {
  const rows: readonly (readonly [caller: Readonly<Record<string, string>>, text: string])[] = [
    [{ kind: 'jwt', issuer: 'entra', subject: 'abc' }, 'abc (issuer entra)'],
    [{ kind: 'apiKey', key: 'erp', expires: '2027-01-31' }, 'API key erp'],
    [{ kind: 'certificate', name: 'spiffe://a/b', fingerprint: 'ff' }, 'certificate of spiffe://a/b'],
    [{ kind: 'secret' }, 'secret'],
    [{ kind: 'later', what: 'ever' }, 'later ever'],
  ]
  for (const [caller, text] of rows) test(text, () => assert.equal(callerText(caller), text))
})

describe('whose token it is', () => {
  const ofApplication = { application: 'default', client_id: 'id', agent: null, agent_id: null }
  const rows: readonly (readonly [client: Parameters<typeof clientText>[0], text: string, why: string])[] = [
    [ofApplication, 'default', 'an application'],
    [{ ...ofApplication, application: null }, 'id', 'one that the policy no longer has'],
    [{ ...ofApplication, agent: 'helper', agent_id: 'agent-id' }, 'helper (default)', 'an agent identity'],
    [{ ...ofApplication, agent_id: 'agent-id' }, 'agent-id (default)', 'one that the policy no longer has'],
  ]
  for (const [client, text, why] of rows) test(`${text}: ${why}`, () => assert.equal(clientText(client), text))
})

describe('what a token is requested for', () => {
  const rows: readonly (readonly [target: Parameters<typeof targetText>[0], text: string])[] = [
    [{ scope: 'graph', application: 'default', agent: null }, 'graph, application default'],
    [{ scope: 'graph', application: 'assistants', agent: 'helper' }, 'graph, agent identity helper'],
    [{ scope: null, application: 'default', agent: null }, 'application default'],
    [{ scope: 'graph', application: null, agent: null }, 'graph'],
    [{ scope: null, application: null, agent: null }, ''],
  ]
  for (const [target, text] of rows)
    test(`is ${text || 'nothing, if nothing is known'}`, () => assert.equal(targetText(target), text))
})
