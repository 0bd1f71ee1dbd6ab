import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAudit } from '../../src/telemetry/audit.ts'
import { createLogs } from '../../src/telemetry/log.ts'
import { callerWith, grantFor } from '../support/callers.ts'
import { noon } from '../support/clock.ts'

/** Texts of a caller's token that look like credentials, as a careless issuer may put them there. */
const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl-_0'
const secret = 'a-secret-of-the-broker-itself'
const caller = await callerWith({ sub: `system:serviceaccount:${jwt}${secret}:worker`, jti: jwt })
const request = { requestId: 'r-1', endpoint: 'tokens', address: '192.0.2.7' }
const token = { token: jwt, fingerprint: 'abc', traceId: secret, correlationId: undefined }

for (const [mode, messages] of [
  ['every', ['token issued', 'token issued']],
  ['summary', ['token issued', 'token issued repeatedly']],
] as const)
  test(`no line of a token that was issued has a JWT or a secret in it: BROKER_AUDIT=${mode}`, () => {
    const written: string[] = []
    const sink = { write: (line: string) => void written.push(line), flush: () => undefined }
    const options = { mode, now: () => noon, policyVersion: () => 'x' }
    const audit = createAudit(createLogs('info', sink, [secret]), sink, options)
    for (const how of ['miss', 'hit'] as const) audit.issued(request, grantFor({}, caller), token, how)
    audit.close()
    const lines = written.map(line => JSON.parse(line) as Readonly<Record<string, unknown>>)
    assert.deepEqual(
      lines.map(({ event, msg }) => [event, msg]),
      messages.map(message => ['token.issued', message]),
    )
    for (const line of written) {
      assert.ok(!line.includes('eyJ') && !line.includes(secret), line)
      assert.match(line, /"sub(?:ject)?":"system:serviceaccount:\[redacted jwt\]/)
      assert.match(line, /"upstream":\{[^}]*\[redacted\]/)
    }
  })
