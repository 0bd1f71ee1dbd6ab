import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { Agent, request } from 'node:https'
import type { Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { Leaf } from '../../../emulator/certificates.ts'
import { until } from '../../support/broker.ts'
import { body, leaf, server, start, world } from './certificates-world.ts'

const { emulator, clock } = world
const day = 86_400
/** A certificate that ends in `seconds` by the test's clock, which only moves forward, and is valid now in any case. */
const endingIn = (seconds: number, from?: number): Leaf => {
  const ahead = (clock.now() - Date.now()) / 1000
  return leaf({ days: (ahead + seconds) / day, ...(from !== undefined && { from: from / day }) })
}
/** Moves the clock to some milliseconds before the end of a certificate; negative: after it. */
const moveTo = ({ certPem }: Leaf, beforeEnd: number): void =>
  clock.advance((new X509Certificate(certPem).validToDate.getTime() - beforeEnd - clock.now()) / 1000)

/** Sends requests over one connection, as long as the broker keeps it. */
function connect(t: TestContext, port: number, { certPem: cert, keyPem: key }: Leaf) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  return async (headers: Readonly<Record<string, string>> = {}, text = body) => {
    const { promise, resolve, reject } = Promise.withResolvers<{
      readonly status: number
      readonly closes: boolean
      readonly reused: boolean
      readonly socket: Socket
    }>()
    const options = { host: '127.0.0.1', port, path: '/tokens', method: 'POST', agent, ca: server.caPem, cert, key }
    const sent = request({ ...options, headers: { 'content-type': 'application/json', ...headers } }, response => {
      const { socket } = response
      response.resume().on('end', () => {
        const closes = response.headers.connection === 'close'
        resolve({ status: response.statusCode ?? 0, closes, reused: sent.reusedSocket, socket })
      })
    })
    sent.on('error', reject)
    sent.end(text)
    return promise
  }
}

// First, while the clock is the real one: this certificate lives for 100 seconds.
test('a connection is kept until the last tenth of the life of its certificate, and then closed with its response', async t => {
  const { port } = await start(t)
  const certificate = endingIn(90, -10)
  const send = connect(t, port, certificate)
  assert.partialDeepStrictEqual(await send(), { status: 200, closes: false, reused: false })
  moveTo(certificate, 11_000)
  assert.partialDeepStrictEqual(await send(), { status: 200, closes: false, reused: true })
  moveTo(certificate, 9_000)
  assert.partialDeepStrictEqual(await send(), { status: 200, closes: true })
})

test('of a certificate that lives for days, only the last minute counts', async t => {
  const { port } = await start(t)
  const certificate = endingIn(day)
  const send = connect(t, port, certificate)
  assert.partialDeepStrictEqual(await send(), { status: 200, closes: false, reused: false })
  moveTo(certificate, 61_000)
  assert.partialDeepStrictEqual(await send(), { status: 200, closes: false, reused: true })
  moveTo(certificate, 60_000)
  assert.partialDeepStrictEqual(await send(), { status: 200, closes: true })
})

test('an idle connection is closed without a request; one in use is not, but after its response', async t => {
  const { port } = await start(t)
  const certificate = endingIn(day)
  const [idle, used] = [connect(t, port, certificate), connect(t, port, certificate)]
  const { socket } = await idle()
  assert.equal((await used()).status, 200)
  emulator.resetCounts()
  const release = emulator.hold('token')
  t.after(release)
  // The cached token has expired too.
  moveTo(certificate, 61_000)
  const underWay = used()
  await until('the exchange', () => emulator.counts().maxConcurrentTokenRequests > 0)
  moveTo(certificate, 30_000)
  await until('the idle connection is closed', () => socket.closed)
  release()
  assert.partialDeepStrictEqual(await underWay, { status: 200, closes: true, reused: true })
})

test('the 401 for a certificate that has ended closes the connection', async t => {
  const { port } = await start(t)
  const certificate = endingIn(day)
  const send = connect(t, port, certificate)
  assert.equal((await send()).status, 200)
  moveTo(certificate, -1)
  // A response before the body has arrived would close the connection too.
  assert.partialDeepStrictEqual(await send({}, ''), { status: 401, closes: true })
})

test('a connection whose callers send tokens is kept: its certificate does not count', async t => {
  const { port } = await start(t)
  const certificate = endingIn(day)
  const send = connect(t, port, certificate)
  moveTo(certificate, -1)
  const authorization = `Bearer ${await emulator.mintCallerToken()}`
  assert.partialDeepStrictEqual(await send({ authorization }), { status: 200, closes: false })
  assert.partialDeepStrictEqual(await send({ authorization }), { status: 200, closes: false, reused: true })
})
