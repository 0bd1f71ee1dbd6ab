import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, describe, test } from 'node:test'
import * as oauth from 'oauth4webapi'
import { SignInError, startAttempt } from '../../web/sign-in/flow.js'

/** Responses of an issuer that a real one does not give. */

type Body = Readonly<Record<string, unknown>>
let respond: (nonce: string) => Body = () => ({})
let exchanges: URLSearchParams[] = []

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    exchanges.push(new URLSearchParams(Buffer.concat(chunks).toString()))
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(respond(nonce)))
  })
})
await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
after(() => {
  server.close()
  server.closeAllConnections()
})
const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const metadata = { issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token` }
const redirectUri = 'http://127.0.0.1/dashboard'
let nonce = ''

async function start(changes: Body = {}) {
  exchanges = []
  const settings = { clientId: 'spa', scope: 'openid observe', server: { ...metadata, ...changes } }
  const attempt = await startAttempt(oauth, settings, redirectUri)
  const { searchParams: asked } = new URL(attempt.url)
  nonce = asked.get('nonce') ?? ''
  const answer = (more: Readonly<Record<string, string>> = {}) =>
    new URLSearchParams({ code: 'c', state: attempt.state, ...more })
  return { ...attempt, asked, answer }
}

/** An ID token. Nothing checks its signature: it comes from the token endpoint itself. */
function idToken(changes: Body = {}): string {
  const now = Math.floor(Date.now() / 1000)
  const claims = { iss: issuer, aud: 'spa', sub: 'ada', iat: now, exp: now + 300, nonce, ...changes }
  const part = (value: Body) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'RS256' })}.${part(claims)}.c2lnbmF0dXJl`
}
const good = (): Body => ({ access_token: 'at', token_type: 'Bearer', id_token: idToken() })

describe('the request', () => {
  test('has PKCE, a state and a nonce, which are new each time, and wants the response behind the #', async () => {
    const [first, second] = [await start(), await start()]
    const { state, nonce: firstNonce, code_challenge: challenge, ...rest } = Object.fromEntries(first.asked)
    assert.deepEqual(rest, {
      response_type: 'code',
      client_id: 'spa',
      redirect_uri: redirectUri,
      scope: 'openid observe',
      code_challenge_method: 'S256',
      response_mode: 'fragment',
    })
    for (const [name, value] of Object.entries({ state, nonce: firstNonce, code_challenge: challenge })) {
      assert.match(value ?? '', /^[\w-]{43}$/, name)
      assert.notEqual(second.asked.get(name), value, name)
    }
  })

  test('wants it in the query only if the issuer can do nothing else', async () => {
    assert.equal((await start({ response_modes_supported: ['query'] })).asked.get('response_mode'), null)
    assert.equal(
      (await start({ response_modes_supported: ['query', 'fragment'] })).asked.get('response_mode'),
      'fragment',
    )
  })

  test('keeps parameters that the authorization endpoint has already', async () => {
    const { asked } = await start({ authorization_endpoint: `${issuer}/authorize?p=policy` })
    assert.equal(asked.get('p'), 'policy')
  })
})

test('a code is exchanged with the verifier, without a secret, and once only', async () => {
  respond = good
  const { finish, answer, asked } = await start()
  assert.equal(await finish(answer()), 'at')
  const [sent] = exchanges
  assert.equal(await oauth.calculatePKCECodeChallenge(sent?.get('code_verifier') ?? ''), asked.get('code_challenge'))
  assert.deepEqual(
    [...(sent?.keys() ?? [])].toSorted((a, b) => a.localeCompare(b)),
    ['client_id', 'code', 'code_verifier', 'grant_type', 'redirect_uri'],
  )
  await assert.rejects(finish(answer()), /already used/)
  assert.equal(exchanges.length, 1)
})

describe('is refused before the code is exchanged', () => {
  const rows: readonly (readonly [why: string, changes: Record<string, string>, error: RegExp])[] = [
    ['another state', { state: 'forged' }, /state/],
    ['the response of another issuer (mix-up)', { iss: 'https://evil.example' }, /iss/],
    [
      'a refusal',
      { error: 'access_denied', error_description: '<img src=x>' },
      /^SignInError: access_denied|access_denied: <img src=x>/,
    ],
    ['a token in the address (implicit flow)', { token: 'x' }, /implicit/],
  ]
  for (const [why, changes, error] of rows)
    test(why, async () => {
      respond = good
      const { finish, answer } = await start()
      await assert.rejects(finish(answer(changes)), (thrown: unknown) => {
        assert.ok(thrown instanceof SignInError)
        assert.match(thrown.message, error)
        return true
      })
      assert.equal(exchanges.length, 0)
    })
})

describe('is refused after the exchange', () => {
  const rows: readonly (readonly [why: string, respond: () => Body, error: RegExp])[] = [
    ['an ID token for another attempt', () => ({ ...good(), id_token: idToken({ nonce: 'other' }) }), /nonce/],
    ['an ID token without a nonce', () => ({ ...good(), id_token: idToken({ nonce: undefined }) }), /nonce/],
    ['an ID token for another client', () => ({ ...good(), id_token: idToken({ aud: 'other' }) }), /aud/],
    ['an ID token of another issuer', () => ({ ...good(), id_token: idToken({ iss: 'https://evil.example' }) }), /iss/],
    ['no ID token', () => ({ ...good(), id_token: undefined }), /id_token/],
    ['a token that is not a bearer', () => ({ ...good(), token_type: 'DPoP' }), /token_type|dpop/i],
    ['no access token', () => ({ ...good(), access_token: undefined }), /access_token/],
  ]
  for (const [why, body, error] of rows)
    test(why, async () => {
      respond = body
      const { finish, answer } = await start()
      await assert.rejects(finish(answer()), (thrown: unknown) => {
        assert.ok(thrown instanceof SignInError)
        assert.match(thrown.message, error)
        return true
      })
    })
})

test('a token endpoint that does not respond is reported in words', async () => {
  const { finish, answer } = await start({ token_endpoint: 'http://127.0.0.1:9/token' })
  await assert.rejects(finish(answer()), /did not respond to this page/)
})

test('a token endpoint over plain http gets no code, except on this machine', async () => {
  const { finish, answer } = await start({ token_endpoint: 'http://id.example/token' })
  await assert.rejects(finish(answer()), /only requests to HTTPS/)
})
