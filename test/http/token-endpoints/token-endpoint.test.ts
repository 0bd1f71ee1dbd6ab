import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import pino from 'pino'
import type { Caller } from '../../../src/broker/authentication/authenticate.ts'
import type { Authorize } from '../../../src/broker/authorization/authorize.ts'
import { createCache } from '../../../src/broker/tokens/cache.ts'
import { createTokenService } from '../../../src/broker/issue-token.ts'
import { BrokerError } from '../../../src/errors.ts'
import { buildApp } from '../../../src/http/server/app.ts'
import { addTokenEndpoint, type TokenEndpoint } from '../../../src/http/token-endpoints/token-endpoint.ts'
import { tokenHeaders } from '../../../src/http/token-endpoints/token-response.ts'
import { send } from '../../support/broker.ts'
import { tokenRequest, callerWith, grantFor } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'

/** A complete endpoint. Every other endpoint is such an object too, in its own file. */
const toy: TokenEndpoint = {
  name: 'toy',
  operationId: 'getToy',
  method: 'GET',
  path: '/toy/:scope',
  below: '/toy/',
  credential: ({ headers }) => (typeof headers['x-toy'] === 'string' ? headers['x-toy'] : undefined),
  readRequest: ({ query }) => {
    if (Object.keys(Object(query)).length > 0) throw new BrokerError('invalid_scope', 'No query here.')
    return tokenRequest()
  },
  writeToken: (reply, { served }) => reply.headers(tokenHeaders(served, served.how)).send(served.token.token),
  protocol: {
    errorSchema: 'ToyError',
    mediaType: 'application/json',
    statusOf: () => 418,
    writeError: ({ code }) => ({ status: 418, headers: { 'content-type': 'text/plain' }, body: `toy: ${code}` }),
  },
}

/** A server with the toy endpoint, and the events that it published. */
async function serve(t: TestContext, authorize: Authorize = (_caller, request) => grantFor(request)) {
  const published: string[] = []
  const caller = await callerWith()
  const authenticate = (credential?: unknown): Caller | Promise<Caller> =>
    credential === undefined
      ? Promise.reject(new BrokerError('unauthenticated', 'Who?'))
      : credential === 'good'
        ? caller
        : Promise.reject(new BrokerError('invalid_token', 'Bad.'))
  const publish =
    (event: string) =>
    ({ endpoint }: { endpoint: string }): void =>
      void published.push(`${event} ${endpoint}`)
  const events = { issued: publish('issued'), refused: publish('refused'), unauthenticated: publish('unauthenticated') }
  const cache = createCache(() => Promise.resolve({ token: 'opaque', expiresIn: 3600 }), {
    clock: movableClock(),
    random: () => 0.5,
    maxEntries: 10,
    minRemainingSeconds: 60,
    timeoutMs: 1000,
    concurrency: 4,
    events: { refreshed: () => undefined, negativeCacheHit: () => undefined },
  })
  const issuer = createTokenService(
    { authenticate, authorize, limits: { chargeRequest: () => undefined } },
    cache,
    events,
  )
  const responded = (endpoint: string, outcome: string) => void published.push(`answered ${endpoint} ${outcome}`)
  const log = pino({ enabled: false })
  const app = buildApp({ log, isDraining: () => false, responded }, [scope => addTokenEndpoint(scope, issuer, toy)])
  t.after(() => app.close())
  return { url: await app.listen({ host: '127.0.0.1', port: 0 }), published }
}
const good = { 'x-toy': 'good' }

test('an endpoint is a value: authentication, cache, audit and metrics come with it', async t => {
  const { url, published } = await serve(t)
  for (const status of ['fwd=miss', 'hit; ttl=3540']) {
    const { text, headers } = await send(`${url}/toy/a`, { headers: good })
    assert.deepEqual([text, headers['cache-status']], ['opaque', `token-broker; ${status}`])
  }
  assert.deepEqual(published, ['issued toy', 'issued toy'])
})

const refusals: readonly (readonly [
  why: string,
  path: string,
  headers: Record<string, string>,
  text: string,
  outcome: string,
])[] = [
  ['without a credential', '/toy/a', {}, 'toy: unauthenticated', 'unauthenticated toy, answered toy unauthenticated'],
  [
    'before its query is checked',
    '/toy/a?x=1',
    {},
    'toy: unauthenticated',
    'unauthenticated toy, answered toy unauthenticated',
  ],
  [
    'with a bad credential',
    '/toy/a',
    { 'x-toy': 'x' },
    'toy: invalid_token',
    'unauthenticated toy, answered toy invalid_token',
  ],
  ['with a bad query', '/toy/a?x=1', good, 'toy: invalid_scope', 'answered toy invalid_scope'],
  ['below its path', '/toy/a/b', good, 'toy: not_found', 'answered none not_found'],
]
for (const [why, path, headers, text, outcome] of refusals)
  test(`errors are in the protocol of the endpoint: ${why}`, async t => {
    const { url, published } = await serve(t)
    const reply = await send(url + path, { headers })
    assert.deepEqual([reply.status, reply.text, published.join(', ')], [418, text, outcome])
  })

test('a refusal by the policy is returned and published', async t => {
  const { url, published } = await serve(t, () => {
    throw new BrokerError('not_permitted', 'No.')
  })
  assert.equal((await send(`${url}/toy/a`, { headers: good })).text, 'toy: not_permitted')
  assert.deepEqual(published, ['refused toy', 'answered toy not_permitted'])
})

test('the error for another method is in the protocol too, with the allowed method', async t => {
  const { url } = await serve(t)
  const { text, headers } = await send(`${url}/toy/a`, { method: 'POST' })
  assert.deepEqual([text, headers.allow], ['toy: method_not_allowed', 'GET'])
})

test('the error for an unknown path is problem details', async t => {
  const { url } = await serve(t)
  assert.equal((await send(`${url}/toys/a`)).json['code'], 'not_found')
})
