import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text as readText } from 'node:stream/consumers'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { createAuthority } from '../../emulator/certificates.ts'
import type { TokenRequest } from '../../src/broker/policy/model.ts'
import type { BrokerError } from '../../src/errors.ts'
import { parentBroker, checkReachable } from '../../src/agent/parent-broker.ts'
import { directEgress } from '../../src/outbound/network/egress.ts'
import { type CredentialFiles, readCredential } from '../../src/caller/workload-credential.ts'
import { encode, graph, grantFor, ids } from '../support/callers.ts'
import { movableClock } from '../support/clock.ts'

const unreachable = { code: 'upstream_unavailable', reason: 'network' }
const good = {
  access_token: 'eyJ-a-token',
  token_type: 'Bearer',
  expires_in: 3000,
  refresh_in: 2000,
  tenant: ids.contoso,
  scope: graph,
  application: 'default',
}

interface Response {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}
interface Seen {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

const listen = async (t: TestContext, server: Server): Promise<number> => {
  const { promise, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', resolve)
  await promise
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

const write = (response: ServerResponse, { status = 200, headers = {}, body = good }: Response): void => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(typeof body === 'string' ? body : JSON.stringify(body))
}

/** A stand-in for a broker that sends the given response, and a source that uses it. */
async function parent(t: TestContext, reply: Response | ((response: ServerResponse) => void) = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-parent-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const file = (name: string) => join(folder, name)
  await writeFile(file('token'), 'workload-token\n')
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    void readText(request).then(body => {
      seen.push({ method: request.method, url: request.url, headers: request.headers, body })
      if (typeof reply === 'function') reply(response)
      else write(response, reply)
    })
  })
  const url = `http://127.0.0.1:${await listen(t, server)}`
  const files: CredentialFiles = {
    tokenFile: file('token'),
    apiKeyFile: undefined,
    certificate: undefined,
    caFile: undefined,
  }
  const reported: string[] = []
  const make = (changes: Partial<CredentialFiles> = {}, at = url) =>
    parentBroker({
      url: at,
      egress: directEgress(false),
      credential: () => readCredential({ ...files, ...changes }),
      clock: movableClock(),
      upstreamCalled: ({ kind, name }, _seconds, error) =>
        void reported.push(`${kind} ${name} ${error?.reason ?? 'ok'}`),
    })
  const fetch = (request: Partial<TokenRequest> = {}, signal = AbortSignal.timeout(5000), source = make()) =>
    source(grantFor(request), signal)
  return { url, server, seen, reported, file, make, fetch }
}

test('a token request is that of any caller, with the credential of the workload', async t => {
  const { fetch, seen, reported, url } = await parent(t)
  assert.deepEqual(await fetch(), { token: 'eyJ-a-token', expiresIn: 3000, refreshIn: 2000 })
  const [request] = seen
  assert.deepEqual([request?.method, request?.url], ['POST', '/tokens'])
  assert.equal(request?.headers.authorization, 'Bearer workload-token')
  assert.equal(request?.headers['content-type'], 'application/json')
  assert.deepEqual(JSON.parse(request?.body ?? ''), { tenant: ids.contoso, scope: graph, application: 'default' })
  assert.deepEqual(reported, [`authority ${url} ok`])
})

test('the credential is read for every request: it rotates', async t => {
  const { fetch, seen, file } = await parent(t)
  await fetch()
  await writeFile(file('token'), 'the-next-token')
  await fetch()
  assert.deepEqual(
    seen.map(({ headers }) => headers.authorization),
    ['Bearer workload-token', 'Bearer the-next-token'],
  )
})

const unreadable: readonly (readonly [why: string, content: string | undefined])[] = [
  ['it is not there yet', undefined],
  ['it is empty', ' \n'],
  ['it has two lines, which would be two headers', 'one\r\nx-evil: two'],
  ['it is huge', 'x'.repeat(300_000)],
]
for (const [why, content] of unreadable)
  test(`without a valid credential there is no request, and its content is not reported: ${why}`, async t => {
    const { fetch, seen, file } = await parent(t)
    await rm(file('token'))
    if (content !== undefined) await writeFile(file('token'), content)
    await assert.rejects(fetch(), (thrown: BrokerError) => {
      assert.equal(thrown.code, 'identity_unavailable')
      assert.ok(!String(thrown.cause).includes('evil'))
      return true
    })
    assert.deepEqual(seen, [])
  })

test('an API key is sent in the place of a token', async t => {
  const { fetch, seen, file, make } = await parent(t)
  await writeFile(file('key'), 'tb_key')
  await fetch({}, undefined, make({ tokenFile: undefined, apiKeyFile: file('key') }))
  assert.equal(seen[0]?.headers.authorization, 'Bearer tb_key')
})

test('refresh_in of a broker that is replacing its token does not cause a refresh at once', async t => {
  const { fetch } = await parent(t, { body: { ...good, refresh_in: 0 } })
  assert.equal((await fetch()).refreshIn, 15)
})

test('a token may live for seven days, and a time of its refresh that cannot be meant counts for nothing', async t => {
  const body = JSON.stringify({ ...good, expires_in: 604_800 }).replace('2000', '1e999')
  const { fetch } = await parent(t, { body })
  assert.deepEqual(await fetch(), { token: 'eyJ-a-token', expiresIn: 604_800 })
})

test('a token that ends this second is worth another try, not an error for good', async t => {
  const { fetch } = await parent(t, { body: { ...good, expires_in: 0 } })
  await assert.rejects(fetch(), { code: 'upstream_unavailable', reason: 'expired' })
})

describe('a response that is not for the request is discarded', () => {
  const wrong: readonly (readonly [why: string, body: unknown, reason: string])[] = [
    ['another scope', { ...good, scope: 'https://vault.azure.net/.default' }, 'wrong_audience'],
    ['another tenant', { ...good, tenant: ids.fabrikam }, 'wrong_tenant'],
    ['another application', { ...good, application: 'other' }, 'wrong_application'],
    ['no token', { ...good, access_token: undefined }, 'unusable'],
    ['an empty token', { ...good, access_token: '' }, 'malformed_token'],
    ['a token that is a number', { ...good, access_token: 12345 }, 'malformed_token'],
    ['a token with a second line', { ...good, access_token: 'x\r\nx-evil: 1' }, 'malformed_token'],
    ['another type', { ...good, token_type: 'MAC' }, 'not_bearer'],
    ["a user's token", { ...good, access_token: `e30.${encode({ scp: 'User.Read' })}.x` }, 'wrong_kind'],
    ['no expiry', { ...good, expires_in: undefined }, 'unusable'],
    ['an expiry as text', { ...good, expires_in: '3000' }, 'unusable'],
    ['a token that has expired', { ...good, expires_in: -1 }, 'unusable'],
    ['an expiry that is infinite', JSON.stringify(good).replace('3000', '1e999'), 'unusable'],
    ['an expiry of more than seven days', { ...good, expires_in: 604_801 }, 'unusable'],
    ['an expiry that is no whole number', { ...good, expires_in: 3000.5 }, 'unusable'],
    ['a list', [good], 'unusable'],
    ['a page', '<html>', 'unusable'],
  ]
  for (const [why, body, reason] of wrong)
    test(why, async t => {
      const { fetch } = await parent(t, { body })
      await assert.rejects(fetch(), { code: 'upstream_invalid', reason })
    })
})

test('a refusal is passed on, after one request to the broker', async t => {
  const { fetch, seen, reported, url } = await parent(t, {
    status: 403,
    body: { code: 'not_permitted', detail: 'No.' },
  })
  await assert.rejects(fetch(), { code: 'not_permitted', message: 'No.' })
  assert.equal(seen.length, 1)
  assert.deepEqual(reported, [`authority ${url} broker`])
})

test('a redirect is not followed', async t => {
  const { fetch, seen } = await parent(t, { status: 307, headers: { location: '/elsewhere' }, body: '' })
  await assert.rejects(fetch(), { code: 'upstream_invalid', reason: 'redirect' })
  assert.equal(seen.length, 1)
})

describe('an unavailable broker is upstream_unavailable', () => {
  test('nothing listens', async t => {
    const { fetch, server } = await parent(t)
    server.close()
    server.closeAllConnections()
    await assert.rejects(fetch(), { code: 'upstream_unavailable', reason: 'network' })
  })
  const silent: readonly (readonly [why: string, respond: (response: ServerResponse) => void])[] = [
    ['it never responds', () => undefined],
    ['it stops in the middle of its response', response => void response.write('{"access_token":')],
  ]
  for (const [why, respond] of silent)
    test(`${why}, and the deadline ends it`, async t => {
      const { fetch } = await parent(t, respond)
      await assert.rejects(fetch({}, AbortSignal.timeout(50)), { code: 'upstream_unavailable', reason: 'timeout' })
    })
  test('its response is larger than the limit', async t => {
    const { fetch } = await parent(t, response => void response.write('x'.repeat(600_000)))
    await assert.rejects(fetch(), { code: 'upstream_unavailable', reason: 'network' })
  })
})

test('over https, only a broker with a certificate of the CA file gets the credential', async t => {
  const { file, make, fetch } = await parent(t)
  const [authority, other] = [createAuthority(), createAuthority()]
  const { certPem, keyPem } = authority.issue()
  let requests = 0
  const server = createTlsServer({ cert: certPem, key: keyPem }, (_request, response) => {
    requests++
    write(response, {})
  })
  const url = `https://localhost:${await listen(t, server)}`
  await writeFile(file('ca'), authority.caPem)
  await writeFile(file('other'), other.caPem)
  assert.equal((await fetch({}, undefined, make({ caFile: file('ca') }, url))).expiresIn, 3000)
  for (const caFile of [file('other'), undefined])
    await assert.rejects(fetch({}, undefined, make({ caFile }, url)), unreachable)
  assert.equal(requests, 1)
})

describe('a broker is reachable', () => {
  const credential = () => Promise.resolve({ bearer: undefined, tls: {} })
  for (const [status, isReachable] of Object.entries({ 200: true, 404: true, 500: false, 503: false }))
    test(`${isReachable ? '' : 'not '}when it responds ${status}`, async t => {
      const { url, seen } = await parent(t, { status: Number(status) })
      const reach = checkReachable({ url, egress: directEgress(false), credential }, AbortSignal.timeout(5000))
      await (isReachable ? reach : assert.rejects(reach))
      assert.deepEqual([seen[0]?.method, seen[0]?.url, seen[0]?.headers.authorization], ['GET', '/livez', undefined])
    })
})
