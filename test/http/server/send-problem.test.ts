import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import type { Json } from '../../../emulator/jws.ts'
import { BrokerError } from '../../../src/errors.ts'
import { buildApp, type AppOptions } from '../../../src/http/server/app.ts'
import { problemDetails, type Protocol } from '../../../src/http/server/problems.ts'
import { createLogs } from '../../../src/telemetry/log.ts'
import { parseObject, send } from '../../support/broker.ts'

const apiKey = `tb_${'k'.repeat(43)}AAAAAA`
const jwt = `eyJhbGciOiJSUzI1NiJ9.${'p'.repeat(40)}.${'s'.repeat(40)}`
const internalDetail = 'a bug with details of the inside'
const bug = (): never => {
  throw new Error(`${internalDetail}: ${jwt}`)
}

/** A server whose routes fail and report it in a protocol of the test. */
async function serve(
  t: TestContext,
  protocol: Partial<Protocol>,
  responded: AppOptions['responded'] = () => undefined,
) {
  const lines: Json[] = []
  const counted: string[] = []
  const sink = { write: (line: string) => void lines.push(parseObject(line)), flush: () => undefined }
  const { log } = createLogs('info', sink, [])
  const count: AppOptions['responded'] = (endpoint, outcome) => {
    counted.push(`${endpoint} ${outcome}`)
    responded(endpoint, outcome)
  }
  const app = buildApp({ log, isDraining: () => false, responded: count }, [
    scope => {
      const config = { endpoint: 'tokens', protocol: { ...problemDetails, ...protocol }, below: '/below/' }
      scope.get('/refuses', { config }, () => {
        throw new BrokerError('not_permitted', 'Not permitted.')
      })
      scope.get('/fails', { config }, bug)
      scope.get('/works', (_request, reply) => reply.send({ works: true }))
    },
  ])
  t.after(() => app.close())
  await app.listen({ host: '127.0.0.1', port: 0 })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  const headers = { authorization: `Bearer ${jwt}`, 'x-identity-header': apiKey }
  return { lines, counted, get: (path: string) => send(url + path, { headers }) }
}

const protocols: Readonly<Record<string, Partial<Protocol>>> = {
  'its protocol throws': { writeError: bug },
  'its protocol throws an error of the broker': {
    writeError: () => {
      throw new BrokerError('not_found', internalDetail)
    },
  },
  'its protocol returns a header that HTTP does not allow': {
    writeError: () => ({ status: 403, headers: { 'x-detail': `${internalDetail}\r\nx: y` }, body: '{}' }),
  },
  'its protocol returns no response': { writeError: () => JSON.parse('null') as never },
}

describe('a failed request that cannot be reported is 500 internal_error as problem details, and logged', () => {
  for (const [why, protocol] of Object.entries(protocols))
    for (const path of ['/refuses', '/fails', '/below/unknown'])
      test(`${why}: ${path}`, async t => {
        const { get, lines, counted } = await serve(t, protocol)
        const reply = await get(path)
        const { code, status, request_id: id } = reply.json
        assert.deepEqual([reply.status, code, status], [500, 'internal_error', 500])
        assert.match(String(reply.headers['content-type']), /^application\/problem\+json/)
        assert.equal(reply.headers['cache-control'], 'no-store')
        assert.ok(!reply.text.includes(internalDetail) && !('x-detail' in reply.headers))
        const logged = lines.at(-1)
        assert.deepEqual([logged?.['level'], logged?.['msg']], ['error', 'request failed unexpectedly'])
        assert.ok(typeof id === 'string' && logged?.['request_id'] === id)
        assert.equal(counted.at(-1), `${path === '/below/unknown' ? 'none' : 'tokens'} internal_error`)
        for (const credential of [jwt, apiKey]) assert.ok(!JSON.stringify([lines, reply]).includes(credential))
        assert.deepEqual((await get('/works')).json, { works: true })
      })

  test('the log has the stack of the error that happened while the response was written', async t => {
    const { get, lines } = await serve(t, { writeError: bug })
    await get('/refuses')
    assert.equal(lines.length, 1)
    const err = lines[0]?.['err'] as Json
    assert.match(String(err['message']), new RegExp(internalDetail))
    assert.match(String(err['stack']), /send-problem\.test\.ts/)
  })

  test('counting it throws', async t => {
    const { get, lines } = await serve(t, {}, bug)
    const { status, json } = await get('/refuses')
    assert.deepEqual([status, json['code']], [500, 'internal_error'])
    assert.ok(lines.length > 0 && lines.every(line => line['request_id'] === json['request_id']))
  })
})

test('a failed request that can be reported is reported by its protocol, and counted once', async t => {
  const writeError: Protocol['writeError'] = ({ code }) => ({ status: 418, headers: { 'x-code': code }, body: '{}' })
  const { get, lines, counted } = await serve(t, { writeError })
  const { status, headers } = await get('/refuses')
  assert.deepEqual([status, headers['x-code']], [418, 'not_permitted'])
  assert.deepEqual([lines, counted], [[], ['tokens not_permitted']])
})
