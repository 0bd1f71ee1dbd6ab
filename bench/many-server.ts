import { randomBytes } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { createAdmission, createAuthenticate } from '../src/broker/authentication/authenticate.ts'
import { createCache } from '../src/broker/tokens/cache.ts'
import { createCertificateVerifier } from '../src/broker/authentication/client-certificates.ts'
import { systemClock as clock } from '../src/broker/lib/clock.ts'
import { createTokenService } from '../src/broker/issue-token.ts'
import { fixedJwks, parseJwks } from '../src/broker/authentication/jwks.ts'
import { createRateLimits } from '../src/broker/authorization/rate-limits.ts'
import { createAuthorize } from '../src/broker/authorization/authorize.ts'
import { parsePolicy } from '../src/broker/policy/file/parse.ts'
import { createActivePolicy, type ActivePolicy } from '../src/broker/authorization/active-policy.ts'
import { createSignatureLimiter } from '../src/broker/authentication/signature-limiter.ts'
import type { Events } from '../src/broker/events.ts'
import { buildApp } from '../src/http/server/app.ts'
import { addTokenEndpoint } from '../src/http/token-endpoints/token-endpoint.ts'
import { tokensEndpoint } from '../src/http/token-endpoints/tokens.ts'
import { createSubscribers } from '../src/service/subscribers.ts'
import { bufferedOutput } from '../src/telemetry/output.ts'
import { audience, mostEntries, scope, tenantOf, tokenBytes, type Order, type Report } from './many-world.ts'

/**
 * The broker's own modules from the socket to the cache, with a source of tokens in the same process, so that the cache
 * can hold a hundred thousand of them. Started and controlled by bench/many.ts.
 */

const home = '0f0e0d0c-0000-4000-8000-000000000004'
const issuerName = 'https://issuer.example'

async function mintCaller() {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid: 'bench', use: 'sig' }
  const token = await new SignJWT({ padding: 'x'.repeat(800) })
    .setProtectedHeader({ alg: 'RS256', kid: 'bench', typ: 'JWT' })
    .setIssuer(issuerName)
    .setAudience(audience)
    .setSubject('bench')
    .setExpirationTime('1d')
    .sign(privateKey)
  return { token, keys: fixedJwks(parseJwks({ keys: [jwk] })) }
}

/** Returns tokens as they come from the network: each is parsed from its own JSON text. */
const source = () => {
  const text = JSON.stringify({ access_token: randomBytes((tokenBytes * 3) / 4).toString('base64url'), more: 'x' })
  const { access_token: token } = JSON.parse(text) as { access_token: string }
  const ids = { traceId: crypto.randomUUID(), correlationId: crypto.randomUUID() }
  return Promise.resolve({ token, expiresIn: 86_400, ...ids })
}

function decidersOf({ admission }: ActivePolicy, { verification }: Events) {
  const certificates = createCertificateVerifier(() => undefined, clock)
  const signatures = createSignatureLimiter(clock)
  const authenticate = createAuthenticate({ admission, certificates, signatures, clock, verification })
  return { authenticate, authorize: createAuthorize(() => home), limits: createRateLimits(clock) }
}

function build(keys: ReturnType<typeof fixedJwks>) {
  const policy = parsePolicy(`
applications: { default: 6f3c0b1e-0000-4000-8000-000000000001 }
issuers: { bench: { issuer: "${issuerName}", audiences: [${audience}] } }
rules:
  - { name: bench, callers: [{ issuer: bench, subject: bench }], tenants: "*", scopes: ["${scope}"] }
`)
  const running = createActivePolicy(policy, clock)
  running.replace(createAdmission(policy, [{ name: 'bench', issuer: issuerName, audiences: [audience], keys }]))
  const sink = bufferedOutput(1)
  const { log, events } = createSubscribers(
    {
      audit: process.env['BROKER_AUDIT'] === 'every' ? 'every' : 'summary',
      logLevel: 'info',
      certificates: false,
      secrets: [],
      upstreams: () => [],
    },
    running,
    sink,
    {
      clock,
      replica: 'bench',
      certificates: () => [],
      isReady: () => true,
      isDraining: () => false,
      cache: () => cache.view.statistics(),
      circuit: () => 'closed',
      secondLevel: () => undefined,
    },
  )
  const cache = createCache(source, {
    clock,
    random: Math.random,
    maxEntries: mostEntries,
    minRemainingSeconds: 60,
    timeoutMs: 5000,
    concurrency: 64,
    events,
  })
  const deciders = decidersOf(running, events)
  const issuer = createTokenService(deciders, cache, events)
  const app = buildApp({ log, isDraining: () => false, responded: events.responded }, [
    scoped => addTokenEndpoint(scoped, issuer, tokensEndpoint()),
  ])
  return { app, cache, issuer }
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const { token, keys } = await mintCaller()
const { app, cache, issuer } = build(keys)
const facts = { requestId: 'fill', endpoint: 'tokens', address: '127.0.0.1' }

/** Fetches tokens until the cache has this many entries. Uses the same path as requests, but without sockets. */
async function fill(entries: number): Promise<void> {
  const caller = await issuer.authenticate(token, facts)
  for (let n = cache.view.statistics().entries; n < entries; n++) {
    await issuer.issue(caller, { tenant: tenantOf(n), scope, application: 'default', minExpiresIn: 0 }, facts)
    // Lets the log be written.
    if (n % 100 === 0) await nextTurn()
  }
}

const report = (): Report => {
  const { user, system } = process.cpuUsage()
  const { entries } = cache.view.statistics()
  return { heapBytes: process.memoryUsage().heapUsed, cpuMs: (user + system) / 1000, entries }
}

async function run({ entries, collect: isClean }: Order): Promise<void> {
  await fill(entries)
  // Weak references need more than one collection.
  if (isClean) for (let n = 0; n < 3; n++) collect()
  process.send?.(report())
}

const url = await app.listen({ host: '127.0.0.1', port: 0 })
process.on('message', (order: Order) => void run(order))
process.once('disconnect', () => process.exit(0))
process.send?.({ url, authorization: `Bearer ${token}` })
