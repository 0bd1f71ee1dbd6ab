import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { graph, startWorld } from '../../support/broker.ts'
import { jwtBearer, encode } from '../../support/token-endpoints.ts'
import { sample } from '../../../emulator/options.ts'
import { secret, startAgent } from '../../agent/world.ts'
import { sendRaw } from './raw.ts'

const world = await startWorld()
const broker = await world.broker({ after }, { environment: { MANAGEMENT_PORT: '0' } })
const agent = await startAgent({ after }, world, broker)
const token = await world.emulator.mintCallerToken()
const body = JSON.stringify({ tenant: 'contoso', scope: graph })
const form = encode({
  grant_type: 'client_credentials',
  client_id: sample.application,
  scope: graph,
  client_assertion: token,
  client_assertion_type: jwtBearer,
})

/** What reaches each listener with a good credential: method, path, host, headers, body. */
const resource = '?resource=https%3A%2F%2Fgraph.microsoft.com'
const json = (credential: string) => `Authorization: Bearer ${credential}\r\nContent-Type: application/json\r\n`
const urlencoded = 'Content-Type: application/x-www-form-urlencoded\r\n'
const targets = [
  ['the broker', broker.url, 'POST', '/tokens', json(token), body],
  ['the broker', broker.url, 'GET', `/identity/contoso/token${resource}`, `X-IDENTITY-HEADER: ${token}\r\n`, ''],
  ['the broker', broker.url, 'POST', '/contoso/oauth2/v2.0/token', urlencoded, form],
  ['the management listener', broker.managementUrl, 'GET', '/livez', '', ''],
  ['the agent', agent.url, 'POST', '/tokens', json(secret), body],
  ['the agent', agent.url, 'GET', `/identity/token${resource}`, `X-IDENTITY-HEADER: ${secret}\r\n`, ''],
] as const
type Target = (typeof targets)[number]

interface Change {
  readonly host?: string
  readonly version?: string
  readonly path?: (path: string) => string
}

const sendTo = ([, url, method, path, headers, text]: Target, change: Change) => {
  const { host = 'Host: 127.0.0.1:8081\r\n', version = 'HTTP/1.1', path: changed = same => same } = change
  const length = text === '' ? '' : `Content-Length: ${text.length}\r\n`
  return sendRaw(
    url,
    `${method} ${changed(path)} ${version}\r\n${host}Connection: close\r\n${headers}${length}\r\n${text}`,
  )
}

const hosts = (...values: readonly string[]): Change => ({ host: values.map(value => `Host: ${value}\r\n`).join('') })
/** Percent-encodes a letter of the last part of the path. */
const encoded = (path: string): string =>
  path.replace(/t(?=oken|ez|$)|z(?=$)/, letter => (letter === 't' ? '%74' : '%7A'))
const refused: readonly (readonly [what: string, change: Change])[] = [
  ['two hosts', hosts('127.0.0.1', 'localhost')],
  ['the same host twice', hosts('127.0.0.1', '127.0.0.1')],
  ['an empty host', hosts('')],
  ['a host with a blank', hosts('127.0.0.1 localhost')],
  ['a host with a comma', hosts('127.0.0.1,localhost')],
  ['a host with a user name', hosts('localhost@127.0.0.1')],
  ['a host with a scheme', hosts('http://127.0.0.1')],
  ['a host with a path', hosts('127.0.0.1/')],
  ['a host with a port that is no number', hosts('127.0.0.1:http')],
  ['a host with two ports', hosts('127.0.0.1:80:80')],
  ['an IPv6 address without its brackets', hosts('::1')],
  ['no host', { host: '' }],
  ['HTTP/2.0', { version: 'HTTP/2.0' }],
  ['HTTP/0.9', { version: 'HTTP/0.9' }],
  ['an encoded letter in the path', { path: encoded }],
  ['a fragment', { path: path => `${path}#a` }],
  ['the authority of another server', { path: path => `http://evil.example${path}` }],
  ['the authority of another port', { path: path => `http://127.0.0.1:1${path}` }],
  ['an authority with a user name', { path: path => `http://a@127.0.0.1:8081${path}` }],
  ['an authority that is empty', { path: path => `http://${path}` }],
]
const accepted: readonly (readonly [what: string, change: Change])[] = [
  ['a host with a port', {}],
  ['a host without a port', hosts('127.0.0.1')],
  ['a name in another case', hosts('LocalHost')],
  ['an IPv6 address', hosts('[::1]:8081')],
  ['HTTP/1.0', { version: 'HTTP/1.0' }],
  ['an absolute target with the same authority', { path: path => `http://127.0.0.1:8081${path}` }],
]
describe('a request that can be read in two ways', () => {
  for (const target of targets) {
    const [where, , method, path] = target
    for (const [what, change] of refused)
      test(`is refused: ${what}, ${method} ${path.split('?', 1).join()} of ${where}`, async () => {
        const { status, text } = await sendTo(target, change)
        assert.match(`${status} ${text}`, /^400 .*invalid_request/)
      })
    for (const [what, change] of accepted)
      test(`is not: ${what}, ${method} ${path.split('?', 1).join()} of ${where}`, async () => {
        const { status, text } = await sendTo(target, change)
        assert.equal(status, 200, text)
      })
  }
})

test('a wrong method at an absolute target is 405', async () => {
  const reply = await sendRaw(broker.url, 'GET http://x/tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  assert.equal(reply.status, 405, reply.text)
})
