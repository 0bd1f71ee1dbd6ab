import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, type TestContext } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as fc from 'fast-check'
import { graph, sampleCaller, startWorld } from '../../support/broker.ts'
import { runs } from '../../support/runs.ts'

/** A broker and arbitrary requests to it, shared by the fuzz tests. */

/** Requests of each half: these take some seconds in CI. */
const requests = runs(1_500)
const respondWithinMs = 5_000
const growthMb = 8

const world = await startWorld()
const apiKeys = {
  erp: { sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', expires: '2999-01-01' },
}
const rules = [
  {
    name: 'a',
    callers: [sampleCaller, { apiKey: 'erp' }],
    tenants: ['contoso', 'fabrikam'],
    scopes: [graph],
    requestLimit: '1000000/s',
  },
  { name: 'b', callers: [{ apiKey: 'erp' }], permissions: ['observe'] },
]
// Both peers are one process. A trusted proxy may send more headers, so that more code is tried.
const environment = {
  BROKER_TRUSTED_PROXIES: '127.0.0.1',
  BROKER_PUBLIC_URL: 'https://broker.example',
  LOG_LEVEL: 'fatal',
}
const broker = await world.broker({ after }, { policy: { apiKeys, rules }, environment })
export const good = await world.emulator.mintCallerToken({}, { expiresIn: 86_400 })

export const text = fc.oneof(
  fc.string({ unit: 'binary-ascii', maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.constantFrom('', ' ', '"', '\u0000', '\u2028', '%', '%00', '../', 'null', '[]', '{}', '*', '::1', '__proto__'),
)
export const printable = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map(code => String.fromCharCode(code)),
  maxLength: 80,
})
const jwtLike = fc
  .tuple(fc.jsonValue({ maxDepth: 2 }), fc.jsonValue({ maxDepth: 2 }), fc.base64String({ maxLength: 90 }))
  .map(([head, body, sign]) =>
    [head, body]
      .map(part => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .concat(sign)
      .join('.'),
  )
export const credential = fc.oneof(
  { weight: 4, arbitrary: fc.constant(good) },
  { weight: 4, arbitrary: fc.constant('abc') },
  { weight: 1, arbitrary: jwtLike },
  { weight: 1, arbitrary: printable },
)
export const scheme = fc.constantFrom('Bearer ', 'bearer ', 'Bearer', 'Basic ', '')
const port = Number(new URL(broker.url).port)

/** What the broker sent until it closed the connection. */
function send(raw: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const socket = connect(port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.setTimeout(respondWithinMs, () => socket.destroy(new Error('no response in time')))
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  // A response that is sent before the request is read to its end comes with a reset; the response is asserted below.
  socket.on('error', error => ('code' in error ? undefined : reject(error)))
  socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')))
  socket.end(raw)
  return promise
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
async function heapMb(): Promise<number> {
  await new Promise(resolve => setTimeout(resolve, 20))
  collect()
  return process.memoryUsage().heapUsed / 2 ** 20
}

/**
 * Sends arbitrary requests, some at a time. All get a response in time, never 5xx, and memory does not grow.
 *
 * @param often statuses that must be frequent; otherwise the test tried too little
 */
export async function fuzz(t: TestContext, request: fc.Arbitrary<string>, often: readonly string[]): Promise<void> {
  const statuses = new Map<string, number>()
  const half = async (seed: number): Promise<void> => {
    const samples = fc.sample(request, { numRuns: requests, seed })
    for (let at = 0; at < samples.length; at += 16) {
      const some = samples.slice(at, at + 16)
      const responses = await Promise.all(some.map(send))
      for (const [nth, response] of responses.entries()) {
        const status = /^HTTP\/1\.1 (\d{3}) /.exec(response)?.[1] ?? 'none'
        const what = `${status} for ${JSON.stringify(some[nth])}: ${response.slice(0, 600)}`
        assert.match(status, /^[234]\d\d$|^none$/, what)
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
      }
    }
  }
  const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31)
  t.diagnostic(`FUZZ_SEED=${seed}`)
  await broker.service.warmUp()
  await half(seed)
  const before = await heapMb()
  await half(seed + 1)
  const later = await heapMb()
  t.diagnostic(`${JSON.stringify(Object.fromEntries(statuses))}, heap ${before.toFixed(1)} → ${later.toFixed(1)} MiB`)
  for (const status of often)
    assert.ok((statuses.get(status) ?? 0) > runs(20), `hardly ever ${status}: the test tried too little`)
  assert.ok((statuses.get('none') ?? 0) < requests / 20, 'too many requests got no response')
  assert.ok(later - before < growthMb)
  assert.equal((await broker.requestToken(undefined, { token: good })).status, 200)
}
