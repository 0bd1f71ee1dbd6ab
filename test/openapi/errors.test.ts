import assert from 'node:assert/strict'
import { after, describe, type TestContext, test } from 'node:test'
import type { Fault } from '../../emulator/faults.ts'
import { isObject, type Json } from '../../emulator/jws.ts'
import { sendRaw } from '../http/server/raw.ts'
import { graph, type Reply, send, type TestBroker, until } from '../support/broker.ts'
import { eventLoop } from '../support/event-loop.ts'
import {
  assertDocumented,
  codesOf,
  document,
  isOfOthers,
  type Operation,
  operationOf,
  operations,
  problemsOf,
  resolve,
} from './document.ts'
import { afterBadCredentials, requestInCrowd, brokerOptions, documentedWorld } from './world.ts'

/** Causes every error of the document. Each must be as the document describes it, with the text of the example. */

const world = await documentedWorld()
const { emulator, clock } = world
const fresh = (t: TestContext, environment = {}, late = false) =>
  world.broker(t, { ...brokerOptions(world, environment), loop: eventLoop(late) })

/** The documented errors that occurred, such as `issueToken invalid_tenant`. */
const occurred = new Set<string>()
/** Every problem that occurred. */
const problems: Json[] = []

/** Asserts that a response is the documented error with this code, in the words of one of its examples. */
function assertError(operation: Operation, code: string, reply: Reply): void {
  assert.equal(reply.json['code'], code, reply.text)
  assertDocumented(operation, reply)
  const examples = problemsOf(operation.responses[reply.status] ?? operation.responses['default'] ?? {})
  const details = examples.filter(example => example['code'] === code).map(({ detail }) => detail)
  assert.ok(
    details.includes(reply.json['detail']),
    `"${String(reply.json['detail'])}" is not "${details.join('" or "')}"`,
  )
  occurred.add(`${operation.operationId} ${code}`)
  problems.push(reply.json)
}

/** The one part that a test can break from outside: authentication reads the clock. */
async function withBrokenClock<T>(act: () => Promise<T>): Promise<T> {
  const { monotonic } = clock
  clock.monotonic = () => {
    throw new Error('a bug')
  }
  try {
    return await act()
  } finally {
    clock.monotonic = monotonic
  }
}

type Provoke = (broker: TestBroker) => Promise<Reply>
const token = { tenant: 'contoso', scope: graph }
const withFault =
  (fault: Fault): Provoke =>
  broker => {
    emulator.fault(fault)
    return broker.requestToken()
  }
const json = { 'content-type': 'application/json' }
/** A request that is a part of a trace has its id in the error. */
const traced = { ...json, traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' }
/** The caller of the examples, to which the policy grants nothing. */
const billing = 'system:serviceaccount:billing:worker'
const expired = async () => ({ token: await emulator.mintCallerToken({}, { expiresIn: -60 }) })

const limited = (limit: 'requestLimit' | 'exchangeLimit') => async (broker: TestBroker) => {
  const credential = { token: await emulator.mintCallerToken({ sub: `limited-${limit.toLowerCase()}` }) }
  await broker.requestToken(token, credential)
  return broker.requestToken({ ...token, tenant: 'tailspin' }, credential)
}

const tokenErrors: readonly (readonly [code: string, provoke: Provoke])[] = [
  ['invalid_request', broker => broker.requestToken({ tenantId: 'contoso', scope: graph })],
  ['invalid_tenant', broker => broker.requestToken({ ...token, tenant: 'Contoso' })],
  ['invalid_scope', broker => broker.requestToken({ ...token, scope: 'https://graph.microsoft.com' })],
  ['unauthenticated', broker => broker.requestToken(token, { headers: traced })],
  ['invalid_token', async broker => broker.requestToken(token, await expired())],
  ['issuer_unavailable', withFault({ kind: 'server-error', at: 'callers' })],
  [
    'not_permitted',
    async broker => broker.requestToken(token, { token: await emulator.mintCallerToken({ sub: billing }) }),
  ],
  ['consent_required', broker => broker.requestToken({ ...token, tenant: 'tailspin' })],
  ['too_large', broker => broker.requestToken(JSON.stringify(token).padEnd(16 * 1024 + 1))],
  [
    'unsupported_media_type',
    async broker => {
      const authorization = `Bearer ${await emulator.mintCallerToken()}`
      return broker.requestToken(token, { headers: { authorization, 'content-type': 'text/plain' } })
    },
  ],
  ['upstream_rejected', withFault({ kind: 'aadsts', at: 'token', code: 90002 })],
  ['federation_misconfigured', withFault({ kind: 'aadsts', at: 'token', code: 700213 })],
  ['upstream_invalid', withFault({ kind: 'wrong-tenant', at: 'token' })],
  ['upstream_unavailable', withFault({ kind: 'throttled', at: 'token', retryAfter: 5 })],
  [
    'upstream_unavailable',
    broker => {
      emulator.configure({ expiresIn: 600 })
      return broker.requestToken({ ...token, min_expires_in: 900 })
    },
  ],
  ['identity_unavailable', withFault({ kind: 'reset', at: 'identity' })],
  ['rate_limited', limited('requestLimit')],
  ['rate_limited', limited('exchangeLimit')],
  ['rate_limited', broker => afterBadCredentials(world, credential => broker.requestToken(token, credential))],
  [
    'overloaded',
    async broker => {
      await until('that load is shed', async () => (await broker.requestToken()).status === 503)
      return broker.requestToken()
    },
  ],
  ['internal_error', broker => withBrokenClock(() => broker.requestToken())],
]

describe('POST /tokens', () => {
  for (const [code, provoke] of tokenErrors) {
    test(code, async t => {
      assertError(operationOf('issueToken'), code, await provoke(await fresh(t, {}, code === 'overloaded')))
    })
  }
})

test('POST /tokens: overloaded', async t => {
  const broker = await fresh(t, { BROKER_UPSTREAM_CONCURRENCY: '1', BROKER_UPSTREAM_TIMEOUT_MS: '60000' })
  assertError(operationOf('issueToken'), 'overloaded', await requestInCrowd(broker, world))
})

/** A request to an operations endpoint, as an operator unless another token is given. */
async function operate(
  { url }: TestBroker,
  { method, path }: Operation,
  query = '',
  credential?: string,
): Promise<Reply> {
  const authorization = `Bearer ${credential ?? (await emulator.mintCallerToken({ sub: 'dashboard' }))}`
  return send(`${url}${path}${query}`, { method, ...(credential !== '' && { headers: { authorization } }) })
}

const operated = operations.filter(
  each => !isOfOthers(each) && each.operationId !== 'issueToken' && each.security.length > 0,
)
const operatorErrors = (operation: Operation): readonly (readonly [code: string, provoke: Provoke])[] => [
  ['unauthenticated', broker => operate(broker, operation, '', '')],
  ['invalid_token', async broker => operate(broker, operation, '', (await expired()).token)],
  ['not_permitted', async broker => operate(broker, operation, '', await emulator.mintCallerToken({ sub: billing }))],
  [
    'issuer_unavailable',
    broker => {
      emulator.fault({ kind: 'server-error', at: 'callers' })
      return operate(broker, operation)
    },
  ],
  ['rate_limited', broker => afterBadCredentials(world, ({ token: bad }) => operate(broker, operation, '', bad))],
  ['internal_error', broker => withBrokenClock(() => operate(broker, operation))],
]

for (const operation of operated) {
  describe(`${operation.method} ${operation.path}`, () => {
    for (const [code, provoke] of operatorErrors(operation)) {
      test(code, async t => assertError(operation, code, await provoke(await fresh(t))))
    }
  })
}

test('DELETE /tokens with a malformed query, or without a filter', async t => {
  const broker = await fresh(t)
  const purge = operationOf('purgeTokens')
  assertError(purge, 'invalid_request', await operate(broker, purge))
  assertError(purge, 'invalid_request', await operate(broker, purge, '?all=true&tenant=contoso'))
  assertError(purge, 'invalid_tenant', await operate(broker, purge, '?tenant=Contoso'))
  assertError(purge, 'invalid_scope', await operate(broker, purge, '?scope=https://graph.microsoft.com'))
})

const lists = ['listCacheEntries', 'listCacheFailures', 'listDecisions']

test('a list with a malformed query', async t => {
  const broker = await fresh(t)
  for (const operation of lists.map(operationOf)) {
    assertError(operation, 'invalid_request', await broker.get(`${operation.path}?limit=0`))
    assertError(operation, 'invalid_tenant', await broker.get(`${operation.path}?tenant=Contoso`))
  }
})

test('GET /.well-known/oauth-authorization-server without BROKER_PUBLIC_URL', async t => {
  const { url } = await fresh(t)
  assertError(operationOf('getOAuthMetadata'), 'not_found', await send(`${url}/.well-known/oauth-authorization-server`))
})

test('GET /docs/{file} for a file that is not part of the page', async t => {
  const { url } = await fresh(t)
  assertError(operationOf('getDocsAsset'), 'not_found', await send(`${url}/docs/package.json`))
})

test('GET /dashboard/{folder}/{file} for a file that is not part of the page', async t => {
  const { url } = await fresh(t)
  const operation = operationOf('getDashboardPart')
  assertError(operation, 'not_found', await send(`${url}/dashboard/view/package.json`))
})

test('a request without Host to any path', async t => {
  const { url } = await fresh(t)
  for (const operation of operations.filter(
    each => each.operationId !== 'issueToken' && (!isOfOthers(each) || each.operationId === 'getOAuthMetadata'),
  )) {
    const request = `${operation.method} ${operation.path.replace('{file}', 'start.js')} HTTP/1.1\r\nConnection: close\r\n\r\n`
    const reply = await sendRaw(url, request)
    // These have their own examples for this code.
    if ([...lists, 'purgeTokens'].includes(operation.operationId)) assertDocumented(operation, reply)
    else assertError(operation, 'invalid_request', reply)
  }
})

after(() => {
  const documented = operations.flatMap(operation => codesOf(operation).map(code => `${operation.operationId} ${code}`))
  const failing = ({ operationId }: Operation) => [`${operationId} internal_error`]
  const open = operations.filter(({ security }) => security.length === 0)
  assert.deepEqual(
    documented.filter(error => !occurred.has(error)).toSorted(),
    // A route without any upstream fails for a bug only; test/http/operations/docs.test.ts has that of a missing file.
    open
      .filter(each => each.operationId !== 'getOpenIdConfiguration')
      .flatMap(failing)
      .toSorted(),
    'documented, but did not occur',
  )

  const { properties = {} } = document.components.schemas['Problem'] ?? {}
  const membersOf = (values: readonly unknown[]) =>
    [...new Set(values.filter(isObject).flatMap(Object.keys))].toSorted()
  assert.deepEqual(membersOf(problems), Object.keys(properties).toSorted())
  const upstream = resolve(properties['upstream']) as { properties: Json }
  assert.deepEqual(membersOf(problems.map(problem => problem['upstream'])), Object.keys(upstream.properties).toSorted())
})
