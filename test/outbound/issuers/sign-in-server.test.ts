import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import type { IssuerSettings } from '../../../src/broker/policy/model.ts'
import { createSignIn } from '../../../src/outbound/issuers/sign-in-server.ts'
import { directEgress } from '../../../src/outbound/network/egress.ts'
import { send, until } from '../../support/broker.ts'
import { movableClock } from '../../support/clock.ts'

type Document = Readonly<Record<string, unknown>>

/** An issuer whose document is `document` of its URL; `undefined` makes it respond 500. */
async function start(t: TestContext, document: (issuer: string) => Document | undefined, audience = 'token-broker') {
  let requests = 0
  const server = createServer((request, response) => {
    if (request.url !== '/probe') requests += 1
    const content = document(url)
    response.writeHead(content ? 200 : 500).end(JSON.stringify(content))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const clock = movableClock()
  const failures: string[] = []
  let issuer: IssuerSettings | undefined = { name: 'corp', issuer: url, audiences: [audience] }
  const find = createSignIn({
    clientId: 'spa',
    scope: undefined,
    issuer: () => issuer,
    egress: directEgress(false),
    timeoutMs: 5_000,
    clock,
    failed: error => failures.push(String(error)),
  })
  /** The requests so far; one that was under way has arrived meanwhile. */
  const arrived = async (): Promise<number> => {
    for (let nth = 0; nth < 3; nth += 1) await send(`${url}/probe`)
    return requests
  }
  return {
    url,
    clock,
    find,
    failures,
    requests: () => requests,
    arrived,
    set: (next?: IssuerSettings) => (issuer = next),
  }
}

const good = (issuer: string): Document => ({
  issuer,
  authorization_endpoint: `${issuer}/authorize`,
  token_endpoint: `${issuer}/token`,
  userinfo_endpoint: `${issuer}/userinfo`,
  response_modes_supported: ['query', 'fragment'],
  id_token_signing_alg_values_supported: ['RS256'],
})

test('the first call says that nothing is known, and does not wait; later ones have the metadata, and only what the page needs', async t => {
  const { find, url, arrived } = await start(t, good)
  assert.deepEqual(find(), { issuer: url, clientId: 'spa', scope: 'openid', server: undefined })
  await until('fetched', () => find()?.server !== undefined)
  const { userinfo_endpoint: _, ...server } = good(url)
  assert.deepEqual(find()?.server, server)
  for (let nth = 0; nth < 10; nth += 1) find()
  assert.equal(await arrived(), 1)
})

test('it is fetched again after an hour, and while that fails, the last metadata is used', async t => {
  let isGood = true
  const { find, clock, requests, arrived, failures } = await start(t, issuer => (isGood ? good(issuer) : undefined))
  find()
  await until('fetched', () => find()?.server !== undefined)
  isGood = false
  clock.advance(3_599_999)
  find()
  assert.equal(await arrived(), 1)
  clock.advance(1)
  find()
  await until('failed', () => failures.length === 1)
  assert.notEqual(find()?.server, undefined)
  clock.advance(30_000)
  find()
  await until('failed again', () => requests() === 3)
  assert.equal(failures.length, 1, 'reported once')
})

test('a fetch that failed is repeated after 30 s, however often the page is opened', async t => {
  let isGood = false
  const { find, clock, arrived, failures } = await start(t, issuer => (isGood ? good(issuer) : undefined))
  find()
  await until('failed', () => failures.length === 1)
  for (let nth = 0; nth < 10; nth += 1) assert.equal(find()?.server, undefined)
  clock.advance(29_999)
  find()
  assert.equal(await arrived(), 1)
  isGood = true
  clock.advance(1)
  find()
  await until('fetched', () => find()?.server !== undefined)
})

test('a policy without the issuer ends signing in with it; another issuer is asked anew', async t => {
  const { find, set, url } = await start(t, good)
  find()
  await until('fetched', () => find()?.server !== undefined)
  set()
  assert.equal(find(), undefined)
  set({ name: 'corp', issuer: `${url}/other`, audiences: ['a'] })
  assert.equal(find()?.server, undefined)
})

describe('metadata is not used', () => {
  const rows: readonly (readonly [why: string, changes: Document, error: RegExp])[] = [
    ['of another issuer', { issuer: 'https://evil.example' }, /names another issuer/],
    ['without a token endpoint', { token_endpoint: undefined }, /has no token_endpoint/],
    ['with a number in its place', { authorization_endpoint: 1 }, /has no authorization_endpoint/],
    [
      'with a token endpoint over plain http',
      { token_endpoint: 'http://evil.example/token' },
      /token_endpoint of \S+ must be https/,
    ],
    ['with a script as authorization endpoint', { authorization_endpoint: 'javascript:alert(1)' }, /must be https/],
    [
      'with a password in it',
      { token_endpoint: 'https://a:b@evil.example/' },
      /must not contain a user name or a password/,
    ],
  ]
  for (const [why, changes, error] of rows)
    test(why, async t => {
      const { find, failures } = await start(t, issuer => ({ ...good(issuer), ...changes }))
      find()
      await until('failed', () => failures.length === 1)
      assert.match(failures[0] ?? '', error)
      assert.equal(find()?.server, undefined)
    })
})

test('lists that are none, or too long, are left out', async t => {
  const { find } = await start(t, issuer => ({
    ...good(issuer),
    response_modes_supported: 'fragment',
    id_token_signing_alg_values_supported: Array.from({ length: 51 }, () => 'RS256'),
  }))
  find()
  await until('fetched', () => find()?.server !== undefined)
  assert.deepEqual(Object.keys(find()?.server ?? {}), ['issuer', 'authorization_endpoint', 'token_endpoint'])
})

test("Entra's default scope is that of the broker's own API; openid is always there, once", () => {
  const common = { egress: directEgress(false), timeoutMs: 1, clock: movableClock(), failed: () => undefined }
  const scopeOf = (issuer: string, scope?: string): string | undefined =>
    createSignIn({
      ...common,
      clientId: 'spa',
      scope,
      issuer: () => ({ name: 'corp', issuer, audiences: ['7b7a7978-0000-4000-8000-000000000005', 'other'] }),
    })()?.scope
  const entra = 'https://login.microsoftonline.com/0f0e0d0c-0000-4000-8000-000000000004/v2.0'
  assert.equal(scopeOf(entra), 'openid 7b7a7978-0000-4000-8000-000000000005/.default')
  assert.equal(scopeOf(entra, 'api://token-broker/.default'), 'openid api://token-broker/.default')
  assert.equal(scopeOf('https://id.example'), 'openid')
  assert.equal(scopeOf('https://id.example', 'observe openid'), 'openid observe')
})
