import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { storeFailures, type StoreFailure } from '../../src/broker/tokens/second-level.ts'
import { startWorld } from '../support/broker.ts'
import type { Snapshot } from '../../web/model/responses.js'
import { findings, verdict } from '../../web/model/verdict.js'
import { readBoard } from './read-board.ts'

const world = await startWorld()
const broker = await world.broker({ after })
await broker.service.warmUp()
/** What the page reads of a broker that is well. */
const { snapshot: well } = await readBoard(broker, world.clock.now())
const iso = (secondsAgo: number): string => new Date(well.now - secondsAgo * 1000).toISOString()

describe('ends', () => {
  const end = (kind: 'api_key' | 'tls', state: 'valid' | 'ends_soon' | 'ended', seconds: number): Snapshot => ({
    ...well,
    health: { ...well.health, ends: [{ kind, name: 'one', file: null, ends_at: iso(-seconds), state }] },
  })
  const rows: readonly (readonly [snapshot: Snapshot, level: string, why: string])[] = [
    [end('tls', 'valid', 3e6), 'ok', 'in a month'],
    [end('tls', 'ends_soon', 82_800), 'attention', 'tomorrow'],
    [end('tls', 'ended', -1), 'failing', 'every connection fails'],
    [end('api_key', 'ended', -1), 'attention', 'one caller fails, maybe on purpose'],
  ]
  for (const [snapshot, level, why] of rows)
    test(`${level}: ${why}`, () => assert.equal(verdict(findings(snapshot)).level, level))
})

describe('Redis that does not respond', () => {
  const down = (failure: NonNullable<Snapshot['health']['shared_cache']>['failure']): Snapshot => ({
    ...well,
    health: {
      ...well.health,
      shared_cache: {
        status: 'failing',
        since: iso(60),
        detail: '',
        failure,
        address: 'redis.example:10000',
        live_replicas: null,
        keys: [],
      },
    },
  })
  const rows: readonly (readonly [failure: StoreFailure | null, error: RegExp, first: RegExp])[] = [
    ['refused', /refused$/, /^Check that Redis runs/],
    ['timeout', /^no response/, /^Check that DNS, firewall/],
    ['name', /DNS$/, /^Check the host in `BROKER_REDIS_URL`/],
    ['tls', /^TLS fails/, /`BROKER_REDIS_CA_FILE`/],
    ['credential', /credential/, /^Check the user and the password/],
    ['closed', /closed$/, /^Check that Redis runs/],
    ['other', /does not respond/, /^Check that Redis runs/],
    [null, /does not respond/, /^Check that Redis runs/],
  ]
  for (const [failure, error, first] of rows)
    test(`${failure}: the error in words, and what to check first`, () => {
      const [found] = findings(down(failure))
      assert.match(found?.facts?.values[1]?.[1] ?? '', error)
      assert.match(found?.actions[0] ?? '', first)
    })

  test('every kind of failure is in the table', () => {
    assert.deepEqual(rows.flatMap(([failure]) => failure ?? []).toSorted(), storeFailures.toSorted())
  })
})

describe('advice for an issuer', () => {
  test('is that for a Kubernetes API server only if the issuer refuses to be read', () => {
    const stepsWith = (detail: string) => {
      const upstreams = well.health.upstreams.map(each =>
        each.kind === 'issuer' ? { ...each, status: 'failing' as const, since: iso(10), detail } : each,
      )
      return findings({ ...well, health: { ...well.health, upstreams } })[0]?.actions.join(' ') ?? ''
    }
    assert.match(stepsWith('https://kubernetes.default.svc/openid/v1/jwks responded HTTP 401'), /`jwksTokenFile`/)
    assert.doesNotMatch(stepsWith('https://idp.example/keys could not be read: connect ECONNREFUSED'), /Kubernetes/)
  })
})

describe('the keys of an issuer that is unavailable', () => {
  const unavailable = (secondsAgo: number | undefined): Snapshot => ({
    ...well,
    health: {
      ...well.health,
      upstreams: well.health.upstreams.map(each =>
        each.kind === 'issuer'
          ? {
              ...each,
              status: 'failing',
              since: iso(10),
              last_success: secondsAgo === undefined ? null : iso(secondsAgo),
            }
          : each,
      ),
    },
  })
  const rows: readonly (readonly [
    secondsAgo: number | undefined,
    level: string,
    from: string | undefined,
    why: string,
  ])[] = [
    [undefined, 'failing', undefined, 'there never were any'],
    [600, 'attention', iso(-3000), 'they are used for an hour'],
    [3599, 'attention', iso(-1), 'for one second more'],
    [3600, 'failing', undefined, 'an hour old'],
  ]
  for (const [secondsAgo, level, from, why] of rows)
    test(`${level}: ${why}`, () => {
      const [found] = findings(unavailable(secondsAgo))
      assert.deepEqual([found?.id, found?.level, found?.from], ['issuer', level, from])
      assert.equal(found?.since, from === undefined ? iso(10) : undefined)
    })
})

test('a replica that drains is for information; one that is not ready is failing', () => {
  assert.equal(verdict(findings({ ...well, health: { ...well.health, ready: false, draining: true } })).level, 'ok')
  assert.equal(verdict(findings({ ...well, health: { ...well.health, ready: false } })).level, 'failing')
})
