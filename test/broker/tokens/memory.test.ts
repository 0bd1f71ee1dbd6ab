import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createCache } from '../../../src/broker/tokens/cache.ts'
import { createTokenService } from '../../../src/broker/issue-token.ts'
import { createAuthorize } from '../../../src/broker/authorization/authorize.ts'
import { createAudit } from '../../../src/telemetry/audit.ts'
import { createLogs } from '../../../src/telemetry/log.ts'
import { tokenRequest, callerWith, cast, graph, ids, policyOf } from '../../support/callers.ts'
import { movableClock } from '../../support/clock.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
function heapBytes(): number {
  // Weak references need more than one collection.
  for (let n = 0; n < 3; n++) collect()
  return process.memoryUsage().heapUsed
}

const tokenBytes = 1800
/** A token and its ids, each a substring of one long text, as they may come from the network. */
function issued() {
  const [token, traceId, correlationId] = [
    randomBytes((tokenBytes * 3) / 4).toString('base64url'),
    randomUUID(),
    randomUUID(),
  ]
  const text = JSON.stringify({ token, traceId, correlationId, more: 'x'.repeat(8_000) })
  const read = JSON.parse(text) as Record<'token' | 'traceId' | 'correlationId', string>
  return Promise.resolve({
    token: read.token,
    traceId: read.traceId,
    correlationId: read.correlationId,
    expiresIn: 86_400,
  })
}

const rule = { name: 'any', callers: [{ issuer: 'onprem', subject: 'system:serviceaccount:billing:worker' }] }
const policy = policyOf({ ...cast, rules: [{ ...rule, tenants: '*', scopes: [graph] }] })
const caller = await callerWith({}, policy)

/** The data path without HTTP, with the audit log as its subscriber. */
function world(mode: 'every' | 'summary') {
  const clock = movableClock()
  const sink = { write: () => undefined, flush: () => undefined }
  const audit = createAudit(createLogs('info', sink, []), sink, { mode, now: clock.now, policyVersion: () => 'x' })
  const events = { ...audit, negativeCacheHit: () => undefined, verification: () => undefined }
  const cache = createCache(issued, {
    clock,
    random: () => 0.5,
    maxEntries: 20_000,
    minRemainingSeconds: 60,
    timeoutMs: 5000,
    concurrency: 64,
    events,
  })
  const authorize = createAuthorize(() => ids.home)
  const limits = { chargeRequest: () => undefined }
  const issuer = createTokenService({ authenticate: () => caller, authorize, limits }, cache, events)
  const fill = async (from: number, to: number) => {
    for (let n = from; n < to; n++) {
      const tenant = `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
      await issuer.issue(caller, tokenRequest({ tenant }), { requestId: 'r', endpoint: 'tokens', address: '127.0.0.1' })
    }
  }
  return { cache, audit, fill }
}

for (const mode of ['every', 'summary'] as const)
  test(`with BROKER_AUDIT=${mode}, a token and everything that is cached for it take less than 1.6 times its own bytes`, async t => {
    const { cache, audit, fill } = world(mode)
    t.after(() => audit.close())
    // The issuance log keeps ten thousand lines at most, also for a hundred thousand tokens.
    await fill(0, 10_000)
    const before = heapBytes()
    await fill(10_000, 14_000)
    const each = (heapBytes() - before) / 4000
    t.diagnostic(`${Math.round(each)} bytes for a token of ${tokenBytes}`)
    assert.ok(each < 1.6 * tokenBytes, `${each} bytes for each`)
    assert.equal(cache.view.statistics().entries, 14_000)
  })
