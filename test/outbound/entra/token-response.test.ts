import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encode, ids } from '../../support/callers.ts'
import { graph, startWorld } from '../../support/broker.ts'
import { sample } from '../../../emulator/options.ts'
import { hostileAuthority } from './authority.ts'

const world = await startWorld()
const { clock } = world

/** The token that Entra issues for contoso and Microsoft Graph, with some claims changed. */
const tokenWith = (claims: object, expiresIn = 3600): string =>
  `e30.${encode({ aud: 'https://graph.microsoft.com', ver: '1.0', tid: sample.contoso, appid: sample.application, exp: clock.now() / 1000 + expiresIn, ...claims })}.c2ln`

/** A broker whose authority responds with this body. `{token}` in a value is a good token. */
async function brokerWith(t: Parameters<typeof hostileAuthority>[0], body: string) {
  const authority = await hostileAuthority(t, ({ method }) => (method === 'POST' ? { status: 200, body } : undefined))
  const broker = await world.broker(t, { environment: { BROKER_AUTHORITY: authority.url, LOG_LEVEL: 'trace' } })
  const posts = () => authority.received.filter(({ method }) => method === 'POST').length
  return { broker, posts }
}

const good = (changes: object = {}) => ({
  token_type: 'Bearer',
  expires_in: 3600,
  access_token: tokenWith({}),
  ...changes,
})

const refused: readonly (readonly [reason: string, body: () => string, why: string])[] = [
  ['malformed_token', () => JSON.stringify(good({ access_token: 12345 })), 'a token that is a number'],
  ['malformed_token', () => JSON.stringify(good({ access_token: null })), 'a token that is null'],
  ['malformed_token', () => JSON.stringify(good({ access_token: { secret: 1 } })), 'a token that is an object'],
  ['malformed_token', () => JSON.stringify(good({ access_token: [tokenWith({})] })), 'a token in a list'],
  ['malformed_token', () => JSON.stringify(good({ access_token: true })), 'a token that is true'],
  ['malformed_token', () => JSON.stringify(good({ access_token: '' })), 'an empty token'],
  ['malformed_token', () => JSON.stringify(good({ access_token: 'opaque\r\nx-evil: 1' })), 'a token with a line break'],
  ['malformed_token', () => JSON.stringify(good({ access_token: 'opaqué' })), 'a token beyond ASCII'],
  ['not_bearer', () => JSON.stringify(good({ token_type: 'MAC' })), 'another type'],
  ['not_bearer', () => JSON.stringify(good({ token_type: undefined })), 'no type'],
  ['no_expiry', () => JSON.stringify(good()).replace('3600', '1e300'), 'a lifetime of 1e300 seconds'],
  ['no_expiry', () => JSON.stringify(good()).replace('3600', '1e999'), 'an endless lifetime'],
  ['no_expiry', () => JSON.stringify(good({ expires_in: 604_801 })), 'a second more than seven days'],
  ['no_expiry', () => JSON.stringify(good({ expires_in: '604801' })), 'the same as a text'],
  ['no_expiry', () => JSON.stringify(good({ expires_in: -1 })), 'a negative lifetime'],
  ['no_expiry', () => JSON.stringify(good({ expires_in: 0 })), 'no lifetime'],
  ['no_expiry', () => JSON.stringify(good({ expires_in: 'NaN' })), 'a lifetime that is no number'],
  ['no_expiry', () => JSON.stringify(good({ expires_in: null })), 'a lifetime that is null'],
  ['no_expiry', () => JSON.stringify(good({ expires_in: [3600] })), 'a lifetime in a list'],
  ['wrong_kind', () => JSON.stringify(good({ access_token: tokenWith({ scp: 'User.Read' }) })), "a user's token"],
  [
    'wrong_tenant',
    () => JSON.stringify(good({ access_token: tokenWith({ tid: ids.other }) })),
    "another tenant's token",
  ],
]
for (const [reason, body, why] of refused)
  test(`${why} is upstream_invalid, ${reason}; it is remembered, and nothing of it is repeated`, async t => {
    const { broker, posts } = await brokerWith(t, body())
    for (let request = 1; request <= 3; request++) {
      const { status, json, text } = await broker.requestToken()
      assert.deepEqual([status, json['code'], json['access_token']], [502, 'upstream_invalid', undefined])
      assert.ok(!text.includes('x-evil') && !text.includes('opaqu'))
    }
    assert.equal(posts(), 1)
    assert.equal(broker.events('token.failed')[0]?.['reason'], reason)
    assert.ok(!broker.logText().includes('x-evil') && !broker.logText().includes('opaqu'))
  })

const week = 604_800
const accepted: readonly (readonly [body: () => object, expiresIn: number, why: string])[] = [
  [() => good(), 3600, 'as Entra writes it'],
  [() => good({ token_type: 'bearer' }), 3600, 'the type in lower case'],
  [() => good({ expires_in: '3600' }), 3600, 'the lifetime as a text'],
  [() => good({ expires_in: week, access_token: tokenWith({}, week) }), week, 'seven days'],
  [() => good({ access_token: 'opaque' }), 3600, 'a token that is not readable'],
  [() => good({ refresh_in: 1e300 }), 3600, 'a refresh_in that cannot be meant is ignored'],
]
for (const [body, expiresIn, why] of accepted)
  test(`a token is served: ${why}`, async t => {
    const { broker } = await brokerWith(t, JSON.stringify(body()))
    const { status, json } = await broker.requestToken({ tenant: 'contoso', scope: graph })
    assert.deepEqual([status, json['expires_in']], [200, expiresIn])
  })
