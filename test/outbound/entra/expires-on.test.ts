import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, describe, test } from 'node:test'
import { dateOf } from '../../../src/http/token-endpoints/identity.ts'
import { readExpiresOn } from '../../../src/outbound/entra/expires-on.ts'
import { BrokerError } from '../../../src/errors.ts'

const inAnHour = Date.UTC(2026, 4, 20, 13)
const seconds = inAnHour / 1000

const read: readonly [value: unknown, time: number | undefined, why: string][] = [
  [seconds, inAnHour, 'a number'],
  [String(seconds), inAnHour, 'digits, as Container Apps writes them'],
  [`${seconds}.5`, inAnHour + 500, 'with a fraction'],
  ['5/20/2026 1:00:00 PM +00:00', inAnHour, 'the protocol of 2017-09-01'],
  ['05/20/2026 13:00:00 +00:00', inAnHour, 'with 24 hours, as App Service on Linux writes it'],
  ['5/20/2026 12:30:00 AM +00:00', Date.UTC(2026, 4, 20, 0, 30), 'half an hour after midnight'],
  ['5/20/2026 12:30:00 PM +00:00', Date.UTC(2026, 4, 20, 12, 30), 'half an hour after noon'],
  ['2026-05-20T13:00:00Z', inAnHour, 'RFC 3339'],
  ['2026-05-20T15:00:00.000+02:00', inAnHour, 'RFC 3339 with an offset'],
  [undefined, undefined, 'absent'],
  [null, undefined, 'null'],
  ['', undefined, 'empty'],
  [0, undefined, '1970'],
  ['0', undefined, '1970, as digits'],
  [3600, undefined, 'the remaining seconds'],
  ['86399', undefined, 'the remaining seconds, as digits'],
  [-seconds, undefined, 'before 1970'],
  [Number.NaN, undefined, 'no number'],
  ['1e9', undefined, 'no digits'],
  ['2/30/2026 1:00:00 PM +00:00', undefined, 'a day that does not exist'],
  ['5/20/2026 13:00:00 PM +00:00', undefined, 'an hour that does not exist'],
  ['13/1/2026 1:00:00 PM +00:00', undefined, 'a month that does not exist'],
  ['20/5/2026 1:00:00 PM +00:00', undefined, 'the day before the month'],
  ['5/20/2026 1:00:00 PM', undefined, 'without an offset: whose time is it?'],
  ['1/1/1970 12:00:00 AM +00:00', undefined, '1970, as a date'],
  ['tomorrow', undefined, 'a word'],
  ['9'.repeat(1000), undefined, 'a long text'],
  [{ seconds }, undefined, 'an object'],
]
describe('expires_on of an identity endpoint', () => {
  for (const [value, time, why] of read)
    test(`${JSON.stringify(value)?.slice(0, 40)}: ${why}`, () => assert.equal(readExpiresOn(value), time))

  test("is read as the broker's own identity endpoint writes a date", () => {
    for (const hour of [0, 1, 11, 12, 13, 23]) {
      const at = Date.UTC(2026, 11, 31, hour, 5, 9)
      assert.equal(readExpiresOn(dateOf(at / 1000)), at)
    }
  })
})

/** The endpoint's next `expires_on`. MSAL reads the two variables once per process. */
let expiresOn: unknown
const server = createServer((_request, response) => {
  const body = { access_token: 'token', expires_on: expiresOn, resource: 'api://x', token_type: 'Bearer' }
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
})
await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
after(() => server.close())
const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}/msi/token`
process.env['IDENTITY_ENDPOINT'] = endpoint
process.env['IDENTITY_HEADER'] = 'header'
const { managedIdentity } = await import('../../../src/outbound/entra/managed-identity.ts')
const fetchAssertion = managedIdentity(
  { clientId: '20000000-0000-4000-8000-000000000001', audience: 'api://x', endpoint },
  { now: () => inAnHour - 3_600_000 },
)

describe('a response of the identity endpoint', () => {
  for (const good of [seconds, String(seconds), '5/20/2026 1:00:00 PM +00:00', '2026-05-20T13:00:00.000Z'])
    test(`with expires_on ${JSON.stringify(good)} is used`, async () => {
      expiresOn = good
      assert.deepEqual(await fetchAssertion(AbortSignal.timeout(10_000)), { token: 'token', expiresAt: inAnHour })
    })

  const refused: readonly [value: unknown, remedy: RegExp, why: string][] = [
    [undefined, /clock of this machine is not the cause/, 'absent'],
    ['', /is not the cause/, 'empty'],
    ['0', /is not the cause/, 'zero'],
    ['3600', /is not the cause/, 'the remaining seconds'],
    ['in an hour', /is not the cause/, 'no date'],
    [inAnHour, /^Compare the clock .* If it is right, check/, 'milliseconds, or a clock that is far behind'],
  ]
  for (const [value, remedy, why] of refused)
    test(`with expires_on ${JSON.stringify(value)} (${why}) is unusable, with a remedy that is true`, async () => {
      expiresOn = value
      await assert.rejects(fetchAssertion(AbortSignal.timeout(10_000)), (thrown: unknown) => {
        assert.ok(thrown instanceof BrokerError)
        assert.deepEqual([thrown.code, thrown.reason], ['identity_unavailable', 'unusable'])
        assert.match(thrown.parts.remedy ?? '', remedy)
        return true
      })
    })
})
