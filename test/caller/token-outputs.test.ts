import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { curlLine, textOfToken } from '../../src/caller/token-outputs.ts'
import { readTokenSettings } from '../../src/caller/token-settings.ts'

const graph = 'https://graph.microsoft.com/.default'
const requested = { tenant: 'contoso', scope: graph, application: 'default' }
const id = '1a2b3c4d-0000-4000-8000-000000000002'
const received = { token: 'eyJ-token', expiresIn: 3000, refreshIn: 2000, tenant: id, scope: graph }
/** A time with milliseconds, which no output has. */
const now = Date.UTC(2026, 0, 31, 9, 5, 7, 999)
const expiresOn = Math.floor(now / 1000) + 3000

test('token: the token alone, on a line', () => {
  assert.equal(textOfToken('token', requested, received, now), 'eyJ-token\n')
})

test('json: the fields of POST /tokens', () => {
  assert.deepEqual(JSON.parse(textOfToken('json', requested, received, now)), {
    access_token: 'eyJ-token',
    token_type: 'Bearer',
    expires_in: 3000,
    expires_on: expiresOn,
    refresh_in: 2000,
    tenant: id,
    scope: graph,
    application: 'default',
  })
})

describe('summary', () => {
  const claims = Buffer.from(JSON.stringify({ roles: ['User.Read.All'], oid: 'secret' })).toString('base64url')
  const shown = {
    token_type: 'Bearer',
    expires_in: 3000,
    expires_on: expiresOn,
    refresh_in: 2000,
    tenant: id,
    scope: graph,
    application: 'default',
  }

  test('has the fields of POST /tokens and the roles, and no part of the token', () => {
    const token = `eyJhbGciOiJSUzI1NiJ9.${claims}.c2lnbmF0dXJl`
    const text = textOfToken('summary', requested, { ...received, token }, now)
    assert.deepEqual(JSON.parse(text), { ...shown, roles: ['User.Read.All'] })
    for (const part of token.split('.')) assert.ok(!text.includes(part))
  })

  test('of an opaque token has no roles', () =>
    assert.deepEqual(JSON.parse(textOfToken('summary', requested, received, now)), shown))
})

test('azure-cli: the fields of az account get-access-token, with the local time', () => {
  const { expiresOn: local, ...others } = JSON.parse(textOfToken('azure-cli', requested, received, now)) as {
    expiresOn: string
  }
  assert.match(local, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.000000$/)
  assert.equal(new Date(local.replace(' ', 'T').slice(0, 19)).getTime(), expiresOn * 1000)
  assert.deepEqual(others, { accessToken: 'eyJ-token', expires_on: expiresOn, tenant: id, tokenType: 'Bearer' })
})

test('exec-credential: RFC 3339 without fractions, which Go parses', () => {
  assert.deepEqual(JSON.parse(textOfToken('exec-credential', requested, received, now)), {
    apiVersion: 'client.authentication.k8s.io/v1',
    kind: 'ExecCredential',
    status: { expirationTimestamp: '2026-01-31T09:55:07Z', token: 'eyJ-token' },
  })
})

describe('terraform: the data source external reads texts only', () => {
  const texts = {
    access_token: 'eyJ-token',
    token_type: 'Bearer',
    expires_in: '3000',
    expires_on: String(expiresOn),
    tenant: id,
    scope: graph,
    application: 'default',
  }
  const rows = [
    ['every field is a text', received, { ...texts, refresh_in: '2000' }],
    ['a field that the broker did not send is absent', { ...received, refreshIn: undefined }, texts],
  ] as const
  for (const [why, given, expected] of rows)
    test(why, () => assert.deepEqual(JSON.parse(textOfToken('terraform', requested, given, now)), expected))
})

test('a response without an id of the tenant: the tenant as it was requested', () => {
  const json = textOfToken('json', requested, { ...received, tenant: undefined, refreshIn: undefined }, now)
  const { tenant, refresh_in: refreshIn } = JSON.parse(json) as Record<string, unknown>
  assert.deepEqual([tenant, refreshIn], ['contoso', undefined])
})

describe('curl', () => {
  const line = (given: Readonly<Record<string, string | boolean>>) =>
    curlLine(readTokenSettings({ broker: 'https://broker.example', tenant: 'contoso', scope: graph, ...given }, {}))
  const body = `-d '{"tenant":"contoso","scope":"${graph}","application":"default"}' https://broker.example/tokens\n`

  test('reads the token of its file, and passes it on standard input', () => {
    const expected = `printf 'authorization: Bearer %s\\n' "$(cat < /run/token)" |\n  curl -sS --fail-with-body -H @- -H 'content-type: application/json' ${body}`
    assert.equal(line({ 'token-file': '/run/token' }), expected)
  })

  test('a path is one word of the shell, whatever is in it', () => {
    assert.ok(line({ 'token-file': `it's $(here)` }).includes(`"$(cat < 'it'\\''s $(here)')"`))
  })

  test('a client certificate needs no header', () => {
    const options = '--cacert ca.pem --cert c.pem --key k.pem'
    const expected = `curl -sS --fail-with-body ${options} -H 'content-type: application/json' ${body}`
    assert.equal(line({ cert: 'c.pem', key: 'k.pem', 'ca-file': 'ca.pem' }), expected)
  })
})
