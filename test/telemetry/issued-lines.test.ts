import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { everyIssuance, summarizedIssuance } from '../../src/telemetry/issued-lines.ts'
import { callerWith, grantFor } from '../support/callers.ts'
import { noon } from '../support/clock.ts'

const caller = await callerWith()
const request = { requestId: 'r-1', endpoint: 'tokens', address: '192.0.2.7' }
const tokenOf = (fingerprint: string, traceId: string) => ({
  token: 'a token',
  fingerprint,
  traceId,
  correlationId: undefined,
})

interface Line {
  readonly tenant: string
  readonly token: string
  readonly upstream: { readonly trace_id: string }
  readonly request_id: string
  readonly cache: string
}

function written() {
  const lines: Line[] = []
  const sink = { write: (line: string) => void lines.push(JSON.parse(line) as Line), flush: () => undefined }
  return { lines, sink }
}

describe('lines whose texts are kept from one request to the next', () => {
  test('name the token of each request, and the exchange it came from', () => {
    const { lines, sink } = written()
    const { issued } = everyIssuance(sink, line => line)
    const grant = grantFor({}, caller)
    const tokens = [
      ['one', 'first'],
      ['one', 'first'],
      ['two', 'second'],
      // The same token again, from another exchange.
      ['two', 'third'],
      ['one', 'first'],
    ] as const
    tokens.forEach(([token, trace], nth) =>
      issued({ ...request, requestId: `r-${nth}` }, grant, tokenOf(token, trace), 'hit'),
    )
    assert.deepEqual(
      lines.map(line => [line.token, line.upstream.trace_id, line.request_id]),
      tokens.map((token, nth) => [...token, `r-${nth}`]),
    )
  })

  test('are those of their own grant, however many grants there are', () => {
    const { lines, sink } = written()
    const { issued } = everyIssuance(sink, line => line)
    const tenants = Array.from({ length: 5000 }, (_, n) => `40000000-0000-4000-8000-${String(n).padStart(12, '0')}`)
    const grants = tenants.map(tenant => grantFor({ tenant }, caller))
    for (let round = 0; round < 2; round++)
      for (const grant of grants) issued(request, grant, tokenOf(`token of ${grant.tenant}`, 'trace'), 'hit')
    assert.equal(lines.length, 10_000)
    for (const [n, line] of lines.entries()) {
      const tenant = tenants[n % tenants.length]
      assert.deepEqual([line.tenant, line.token], [tenant, `token of ${tenant}`])
    }
  })

  test('have no text of the caller or the upstream that was not scrubbed, in either mode', () => {
    for (const create of [everyIssuance, summarizedIssuance]) {
      const { lines, sink } = written()
      const scrubbed: string[] = []
      const log = create(
        sink,
        line => {
          scrubbed.push(line)
          return line.replaceAll('secret', '[redacted]')
        },
        () => noon,
      )
      const grant = grantFor({}, caller)
      for (let n = 0; n < 3; n++) log.issued(request, grant, tokenOf('one', 'a secret trace'), 'hit')
      log.close()
      assert.ok(lines.length > 0 && lines.every(line => line.upstream.trace_id === 'a [redacted] trace'))
      assert.ok(scrubbed.some(text => text.includes(grant.tenant)))
    }
  })
})
