import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import pino from 'pino'
import type { Caller } from '../../../src/broker/authentication/authenticate.ts'
import type { Authorize } from '../../../src/broker/authorization/authorize.ts'
import { createCache } from '../../../src/broker/tokens/cache.ts'
import { createTokenIssuer } from '../../../src/broker/issue-token.ts'
import { BrokerError } from '../../../src/errors.ts'
import { buildApp } from '../../../src/http/server/app.ts'
import { addTokenRoute, type Dialect } from '../../../src/http/token-endpoints/token-endpoint.ts'
import { tokenHeaders } from '../../../src/http/token-endpoints/token-response.ts'
import { send } from '../../support/broker.ts'
import { askFor, callerWith, grantFor } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'

/** All that a dialect is: another one is such an object in a file of its own. */
const toy: Dialect<unknown> = {
  endpoint: 'toy',
  method: 'GET',
  path: '/toy/:scope',
  below: '/toy/',
  credential: ({ headers }) => (typeof headers['x-toy'] === 'string' ? headers['x-toy'] : undefined),
  readAsk: ({ query }) => {
    if (Object.keys(Object(query)).length > 0) throw new BrokerError('invalid_scope', 'No query here.')
    return askFor()
  },
  answer: (reply, { served }) => reply.headers(tokenHeaders(served, served.how)).send(served.token.token),
  answerError: ({ code }) => ({ status: 418, headers: { 'content-type': 'text/plain' }, body: `toy: ${code}` }),
}

/** A server with the toy, and the words that were announced. */
async function serve(
  t: TestContext,
  dialect: Dialect<unknown> = toy,
  authorize: Authorize = (_caller, ask) => grantFor(ask),
) {
  const told: string[] = []
  const caller = await callerWith()
  const authenticate = (credential?: string): Caller | Promise<Caller> =>
    credential === undefined
      ? Promise.reject(new BrokerError('unauthenticated', 'Who?'))
      : credential === 'good'
        ? caller
        : Promise.reject(new BrokerError('invalid_token', 'Bad.'))
  const tell =
    (event: string) =>
    ({ endpoint }: { endpoint: string }): void =>
      void told.push(`${event} ${endpoint}`)
  const events = { issued: tell('issued'), refused: tell('refused'), unauthenticated: tell('unauthenticated') }
  const cache = createCache(() => Promise.resolve({ token: 'opaque', expiresIn: 3600 }), {
    clock: movableClock(),
    random: () => 0.5,
    maxEntries: 10,
    minRemainingSeconds: 60,
    timeoutMs: 1000,
    concurrency: 4,
    events: { refreshed: () => undefined, recalled: () => undefined },
  })
  const issuer = createTokenIssuer({ authenticate, authorize, limits: { request: () => undefined } }, cache, events)
  const answered = (endpoint: string, outcome: string) => void told.push(`answered ${endpoint} ${outcome}`)
  const log = pino({ enabled: false })
  const app = buildApp({ log, isDraining: () => false, answered }, [scope => addTokenRoute(scope, issuer, dialect)])
  t.after(() => app.close())
  return { url: await app.listen({ host: '127.0.0.1', port: 0 }), told }
}
const good = { 'x-toy': 'good' }

test('a dialect gets authentication, cache, audit and metrics by being one', async t => {
  const { url, told } = await serve(t)
  for (const status of ['fwd=miss', 'hit; ttl=3540']) {
    const { text, headers } = await send(`${url}/toy/a`, { headers: good })
    assert.deepEqual([text, headers['cache-status']], ['opaque', `token-broker; ${status}`])
  }
  assert.deepEqual(told, ['issued toy', 'issued toy'])
})

const refusals: readonly (readonly [
  why: string,
  path: string,
  headers: Record<string, string>,
  text: string,
  announced: string,
])[] = [
  ['without a credential', '/toy/a', {}, 'toy: unauthenticated', 'unauthenticated toy, answered toy unauthenticated'],
  [
    'before its form is looked at',
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
  ['with a bad form', '/toy/a?x=1', good, 'toy: invalid_scope', 'answered toy invalid_scope'],
  ['below its path', '/toy/a/b', good, 'toy: not_found', 'answered none not_found'],
]
for (const [why, path, headers, text, announced] of refusals)
  test(`a dialect tells its errors in its own words: ${why}`, async t => {
    const { url, told } = await serve(t)
    const reply = await send(url + path, { headers })
    assert.deepEqual([reply.status, reply.text, told.join(', ')], [418, text, announced])
  })

test('what the policy refuses is told and announced as such', async t => {
  const { url, told } = await serve(t, toy, () => {
    throw new BrokerError('not_permitted', 'No.')
  })
  assert.equal((await send(`${url}/toy/a`, { headers: good })).text, 'toy: not_permitted')
  assert.deepEqual(told, ['refused toy', 'answered toy not_permitted'])
})

test('another method is answered in its words, with the method that it has', async t => {
  const { url } = await serve(t)
  const { text, headers } = await send(`${url}/toy/a`, { method: 'POST' })
  assert.deepEqual([text, headers.allow], ['toy: method_not_allowed', 'GET'])
})

test('a path of nobody is answered as a problem', async t => {
  const { url } = await serve(t)
  assert.equal((await send(`${url}/toys/a`)).json['code'], 'not_found')
})
