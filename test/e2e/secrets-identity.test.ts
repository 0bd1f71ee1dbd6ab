import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { startWorld } from '../support/broker.ts'
import { Leaks } from './leaks.ts'

const world = await startWorld()
const { emulator, clock } = world

/** An identity endpoint that repeats the secret of the request; set before MSAL reads the environment. */
let say: (header: string) => { status: number; type: string; body: string } = () => ({
  status: 500,
  type: '',
  body: '',
})
const server = createServer((request, response) => {
  const { status, type, body } = say(String(request.headers['x-identity-header']))
  response.writeHead(status, { 'content-type': type }).end(body)
})
await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
after(() => {
  server.close()
  server.closeAllConnections()
})
const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}/msi/token`
process.env['IDENTITY_ENDPOINT'] = endpoint

const json = (status: number, fields: object) => ({ status, type: 'application/json', body: JSON.stringify(fields) })
const page = (status: number, text: string) => ({ status, type: 'text/html', body: `<html>${text}</html>` })
const token = 'opaque-identity-token-that-no-scrubber-can-recognise'
const rows: readonly (readonly [what: string, say: typeof say])[] = [
  ['the secret in an error message', header => json(400, { statusCode: 400, message: `bad header ${header}` })],
  ['the secret as the error', header => json(401, { error: header, error_description: header })],
  ['the secret on a page with status 502', header => page(502, header)],
  ['the secret on a page with status 200', header => page(200, header)],
  ['the secret in broken JSON', header => ({ status: 200, type: 'application/json', body: `{"x":"${header}",` })],
  ['the secret as the correlation id', header => json(500, { message: 'x', correlationId: header })],
  ['a token in broken JSON', () => ({ status: 200, type: 'application/json', body: `{"access_token":"${token}",` })],
  ['a token without an expiry', () => json(200, { access_token: token, token_type: 'Bearer' })],
  ['a token that has expired', () => json(200, { access_token: token, expires_on: '1', token_type: 'Bearer' })],
  ['a token beside an error', () => json(400, { access_token: token, message: token, error: token })],
]
const broker = await world.broker({ after }, { environment: { LOG_LEVEL: 'trace', IDENTITY_ENDPOINT: endpoint } })
for (const [what, response] of rows)
  test(`no secret in a response of the identity endpoint appears: ${what}`, async () => {
    const leaks = new Leaks()
    leaks.secret('IDENTITY_HEADER', emulator.identityHeader)
    leaks.secret('the token of the identity', token)
    say = response
    // After that, the previous failure is no longer cached.
    clock.advance(301)
    const reply = await broker.requestToken()
    assert.deepEqual([reply.status, reply.json['code']], [503, 'identity_unavailable'])
    leaks.response('the response', reply)
    leaks.output('the log', broker.logText())
    assert.deepEqual(leaks.found(), [])
  })
