import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { sample } from '../../../emulator/options.ts'
import { dateOf } from '../../../src/http/token-endpoints/identity.ts'
import { graph, type Reply, send, startWorld } from '../../support/broker.ts'
import { secret, startAgent } from '../../agent/world.ts'
import { encode, type Fields } from '../../support/token-endpoints.ts'

/** The identity protocol of 2017-09-01, at the broker and at an agent: `secret`, `clientid`, a date, a slash. */

const world = await startWorld()
const { clock } = world
const key = 'tb_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHabcdef'
const second = '3b000000-0000-4000-8000-00000000000b'
const policy = {
  applications: { default: sample.application, second },
  apiKeys: { erp: { sha256: hash('sha256', key, 'hex'), expires: '2999-01-31' } },
  rules: [
    { name: 'erp', callers: [{ apiKey: 'erp' }], tenants: ['contoso'], scopes: [graph] },
    {
      name: 'sample',
      callers: [{ issuer: 'emulator', subject: 'sample-caller' }],
      tenants: ['contoso'],
      scopes: [graph],
    },
  ],
}
const broker = await world.broker({ after }, { policy })
const agent = await startAgent({ after }, world, broker)
const servers = [
  { what: 'the broker', endpoint: `${broker.url}/identity/contoso/token`, credential: key },
  { what: 'an agent', endpoint: `${agent.url}/identity/token`, credential: secret },
] as const

for (const { what, endpoint, credential } of servers) {
  const request = (path: string, changes: Fields = {}, headers: Record<string, string> = { secret: credential }) =>
    send(
      `${endpoint}${path}?${encode({ resource: 'https://graph.microsoft.com', 'api-version': '2017-09-01', ...changes })}`,
      {
        headers,
      },
    )

  describe(`at ${what}`, () => {
    for (const [path, by] of [
      ['/', 'msrestazure'],
      ['', 'go-autorest'],
    ] as const)
      test(`the response has expires_on as a date, and expires_in after it: as ${by} requests it`, async () => {
        const reply = await request(path)
        assert.equal(reply.status, 200, reply.text)
        const { access_token: token, client_id: _, ...rest } = reply.json
        assert.deepEqual(Object.entries(rest), [
          ['expires_on', dateOf(clock.now() / 1000 + 3599)],
          ['expires_in', '3599'],
          ['resource', 'https://graph.microsoft.com'],
          ['token_type', 'Bearer'],
        ])
        assert.equal(typeof token, 'string')
        assert.match(String(reply.headers['cache-status']), /^token-broker; /)
      })

    test('with Metadata: true it is a number: MSAL for Azure Machine Learning reads no date', async () => {
      const { json } = await request('', {}, { secret: credential, metadata: 'true' })
      assert.equal(json['expires_on'], String(clock.now() / 1000 + 3599))
    })

    test('with X-IDENTITY-HEADER it is a number, whatever the version and the path', async () => {
      const { json } = await request('/', {}, { 'x-identity-header': credential })
      assert.equal(json['expires_on'], String(clock.now() / 1000 + 3599))
    })

    const refused: readonly (readonly [why: string, reply: () => Promise<Reply>, status: number, code: string])[] = [
      ['another secret', () => request('/', {}, { secret: 'nonsense' }), 401, 'invalid_token'],
      ['an empty secret', () => request('/', {}, { secret: '' }), 401, 'invalid_token'],
      [
        'both headers',
        () => request('', {}, { secret: credential, 'x-identity-header': credential }),
        400,
        'invalid_request',
      ],
      [
        'a bearer token too',
        () => request('', {}, { secret: credential, authorization: 'Bearer x' }),
        400,
        'invalid_request',
      ],
      ['no header', () => request('/', {}, {}), 401, 'unauthenticated'],
      ['clientid and client_id', () => request('/', { clientid: second, client_id: second }), 400, 'invalid_request'],
      ['clientid twice', () => request('/', { clientid: [second, second] }), 400, 'invalid_request'],
      ['a clientid that is no GUID', () => request('/', { clientid: 'x' }), 400, 'invalid_request'],
      ['a clientid that is not granted', () => request('/', { clientid: second }), 403, 'not_permitted'],
      ['two slashes', () => request('//'), 400, 'not_found'],
    ]
    for (const [why, reply, status, code] of refused)
      test(`${status} ${code}: ${why}`, async () => {
        const { json, ...sent } = await reply()
        assert.deepEqual([sent.status, json['error'], json['statusCode']], [status, code, status], sent.text)
      })

    test('a POST is 400 and names the path without the slash', async () => {
      const { status, json } = await send(`${endpoint}/`, { method: 'POST', headers: { secret: credential } })
      assert.equal(status, 400)
      assert.match(String(json['message']), /Send this request to GET \/identity\/(\{tenant\}\/)?token\. \(/)
    })
  })
}

test('clientid chooses the application', async () => {
  const query = encode({ resource: graph, clientid: sample.application.toUpperCase() })
  const { json } = await send(`${broker.url}/identity/contoso/token/?${query}`, { headers: { secret: key } })
  assert.equal(json['client_id'], sample.application)
})

const dates: readonly (readonly [date: string, text: string, why: string])[] = [
  ['2026-01-02T03:04:05Z', '1/2/2026 3:04:05 AM +00:00', 'one digit for month, day and hour'],
  ['2026-11-28T00:00:00Z', '11/28/2026 12:00:00 AM +00:00', 'midnight is 12 AM'],
  ['2026-11-28T12:00:00Z', '11/28/2026 12:00:00 PM +00:00', 'noon is 12 PM'],
  ['2026-12-31T23:59:59Z', '12/31/2026 11:59:59 PM +00:00', 'the last second of a year'],
  ['2026-11-28T13:00:09Z', '11/28/2026 1:00:09 PM +00:00', 'two digits for minutes and seconds'],
]
for (const [date, text, why] of dates)
  test(`a date has the form M/d/yyyy h:mm:ss tt +00:00: ${why}`, () => {
    assert.equal(dateOf(Date.parse(date) / 1000), text)
  })
