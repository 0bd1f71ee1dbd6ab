import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { type Reply, send, startWorld } from '../../support/broker.ts'
import { secret, startAgent } from '../../agent/world.ts'
import { sendRaw } from '../server/raw.ts'

/** SDKs retry 404 and 410 for up to a minute, and then report something else. */

const world = await startWorld()
const broker = await world.broker({ after })
const agent = await startAgent({ after }, world, broker)
const withMetadata = await startAgent({ after }, world, broker, ['--metadata'])

const paths = [
  '/',
  '//',
  '/identity',
  '/identity/',
  '/msi/token',
  '//identity/contoso/token',
  '//identity/token',
  '/Identity/contoso/token',
  '/Identity/token',
  '/identity/contoso/token/x',
  '/identity/contoso/token%2f',
  '//metadata/identity/oauth2/token',
  '/Metadata/identity/oauth2/token',
  '/metadata/instance',
  '/oauth2/token',
  '/tokens',
  '/%zz',
  '/nothing?resource=https://graph.microsoft.com',
]
const identity = /GET \/identity\/\{tenant\}\/token/
const local = /GET \/identity\/token/
const metadata = /GET \/metadata\/identity\/oauth2\/token/
const headers = {
  'X-IDENTITY-HEADER': secret,
  'x-identity-header': 'wrong',
  secret,
  Metadata: 'True',
  metadata: 'true',
}
const servers: readonly (readonly [what: string, url: string, right: RegExp, ofMetadata: RegExp])[] = [
  ['the broker', broker.url, identity, identity],
  ['an agent', agent.url, local, local],
  ['an agent with --metadata', withMetadata.url, local, metadata],
]

function assertIdentityError({ status, json, text }: Reply, right: RegExp | undefined): void {
  assert.equal(status, 400, text)
  assert.equal(json['statusCode'], 400, text)
  assert.ok(['not_found', 'method_not_allowed', 'invalid_request'].includes(String(json['error'])), text)
  if (right) assert.match(String(json['message']), right)
}

describe('a request of the identity protocol to a wrong path is 400 and names the right one', () => {
  for (const [what, url, right, ofMetadata] of servers)
    for (const [name, value] of Object.entries(headers))
      test(`at ${what}, with ${name}: ${value === secret ? 'the secret' : value}`, async () => {
        for (const path of paths) {
          const reply = await send(url, { path, headers: { [name]: value } })
          const expected = /^metadata$/i.test(name) ? ofMetadata : right
          assertIdentityError(reply, path === '/%zz' ? undefined : expected)
        }
        const posted = await send(url, { path: '/identity/contoso/token/', method: 'POST', headers: { [name]: value } })
        assertIdentityError(posted, /^metadata$/i.test(name) ? ofMetadata : right)
      })
  for (const [what, url] of servers)
    test(`at ${what}, also if the request is malformed`, async () => {
      const request = `GET /nothing HTTP/1.1\r\nHost: a b\r\nMetadata: true\r\nConnection: close\r\n\r\n`
      assertIdentityError(await sendRaw(url, request), undefined)
    })
})

test('a request without these headers is 404 and 405 as before', async () => {
  for (const { url } of [broker, agent]) {
    assert.equal((await send(`${url}/nothing`)).status, 404)
    assert.equal((await send(`${url}/tokens`)).status, 405)
  }
})

test('a request with these headers to another route is a request to that route', async () => {
  for (const { url } of [broker, agent]) {
    const all = { 'x-identity-header': secret, metadata: 'true' }
    assert.equal((await send(`${url}/livez`, { headers: all })).status, 200)
    assert.equal((await send(`${url}/tokens`, { method: 'POST', headers: all })).json['code'], 'unauthenticated')
  }
})

for (const value of ['true', 'True', 'TRUE'])
  test(`Metadata: ${value} is accepted`, async () => {
    const path = '/metadata/identity/oauth2/token?resource=https://graph.microsoft.com'
    assert.equal((await withMetadata.send(path, { headers: { metadata: value } })).status, 200)
  })
for (const value of ['', 'false', 'truee', 'true, true'])
  test(`Metadata: ${value || '(empty)'} is not`, async () => {
    const path = '/metadata/identity/oauth2/token?resource=https://graph.microsoft.com'
    assert.equal((await withMetadata.send(path, { headers: { metadata: value } })).status, 400)
  })
