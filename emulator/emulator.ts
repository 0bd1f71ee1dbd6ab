import type { JSONWebKeySet } from 'jose'
import { randomBytes, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { Callers, type CallerTokenOptions } from './callers.ts'
import { createAuthority } from './certificates.ts'
import { Directory } from './directory.ts'
import { routeEntra } from './entra-routes.ts'
import { type Fault, type FaultPoint, Faults } from './faults.ts'
import { json, Listener, send } from './http.ts'
import { IdentityTokens } from './identity-tokens.ts'
import { createSigningKey, type Json } from './jws.ts'
import { routeLocal } from './local-routes.ts'
import {
  defaultSettings,
  type EmulatorOptions,
  type FederatedCredential,
  type IdentityOptions,
  type Settings,
} from './options.ts'
import { parseSettings } from './settings.ts'
import { type Counts, type RecordedRequest, Traffic } from './traffic.ts'
import type { World } from './world.ts'

/** A running emulator. Entra uses https; the identity endpoint, a caller issuer and `/control` use plain http. */
export interface Emulator {
  /** The authority, `https://localhost:<port>`. Its certificate is signed by the CA in `caPem`. */
  readonly entraUrl: string
  /** `http://127.0.0.1:<port>` */
  readonly localUrl: string
  /** The temporary CA that signed Entra's certificate. */
  readonly caPem: string
  readonly identityEndpoint: string
  /** The value that the identity endpoint requires in `x-identity-header`. It is new at each start. */
  readonly identityHeader: string
  /** The issuer of `mintCallerToken`. `<callerIssuer>/<name>` is another issuer with the same keys. */
  readonly callerIssuer: string
  /** Environment variables for the broker. The process itself must trust `caPem`. */
  environment(): Record<string, string>
  mintCallerToken(claims?: Json, options?: CallerTokenOptions): Promise<string>
  /** Signs with a new key from now on. Resolves to the new kid. */
  rotateCallerKeys(options?: { readonly drop?: boolean }): Promise<string>
  callerJwks(): JSONWebKeySet
  /** Signs a token like those of the identity endpoint; `claims` replace the default ones. */
  mintIdentityToken(claims?: Json): Promise<string>
  /** Makes the identity endpoint issue a new token from now on. */
  renewIdentityToken(): void
  /** Changes the managed identity. Tokens that were issued before do not change. */
  setIdentity(identity: IdentityOptions): void
  /** Changes settings. Throws a TypeError if one is unknown or out of range. */
  configure(settings: Partial<Settings>): void
  /** Replaces an application's credentials; `[]` removes them. */
  setFederatedCredentials(clientId: string, credentials: readonly FederatedCredential[]): void
  /** Grants or revokes a tenant's consent to an application. */
  setConsent(tenant: string, clientId: string, consented: boolean): void
  /** Adds a fault. Throws a TypeError if it is invalid. */
  fault(fault: Fault): void
  clearFaults(): void
  counts(): Counts
  /**
   * Keeps the requests that arrive at an endpoint from now on waiting, until the returned function is called. For tests in
   * this process: unlike latency, it ends by an event and not by the clock.
   */
  hold(at: FaultPoint): () => void
  /** Clears the counts and the recorded requests. */
  resetCounts(): void
  /** The last 200 requests to the token and the identity endpoint, oldest first. */
  requests(): RecordedRequest[]
  /** Closes both servers and all connections, including hung ones. */
  close(): Promise<void>
}

type Route = (request: IncomingMessage, response: ServerResponse, listener: Listener, world: World) => Promise<void>

/** Starts a strict emulator of Entra and of the Container Apps identity endpoint, on loopback only. */
export async function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  const authority = createAuthority()
  const leaf = authority.issue()
  const entraServer = createSecureServer({ cert: leaf.certPem, key: leaf.keyPem })
  const localServer = createServer()
  const entra = new Listener(entraServer, options.ports?.entra ?? 0)
  const local = new Listener(localServer, options.ports?.local ?? 0)
  await entra.listen()
  await local.listen().catch(async (error: unknown) => {
    await entra.close()
    throw error
  })
  const world = await createWorld(options, entra.port, local.port)
  entraServer.on('request', dispatch(routeEntra, entra, world))
  localServer.on('request', dispatch(routeLocal, local, world))
  world.faults.onChange = () => applyRefusals(world.faults, entra, local)
  return assemble(world, authority.caPem, entra, local)
}

async function createWorld(options: EmulatorOptions, entraPort: number, localPort: number): Promise<World> {
  const entraUrl = `https://localhost:${entraPort}`
  const localUrl = `http://127.0.0.1:${localPort}`
  const now = options.now ?? Date.now
  const [entraKey, callers] = await Promise.all([
    createSigningKey('RS256', `entra-${randomUUID()}`),
    Callers.create(`${localUrl}/callers`, now),
  ])
  const directory = new Directory(options, entraUrl, { keys: [entraKey.jwk] })
  const world: World = {
    entraUrl,
    localUrl,
    identityHeader: randomBytes(16).toString('hex'),
    directory,
    entraKey,
    callers,
    identityTokens: new IdentityTokens(directory, entraKey, now),
    faults: new Faults(),
    traffic: new Traffic(),
    holds: new Map(),
    now: () => now() + world.settings.clockAhead * 1000,
    settings: defaultSettings,
  }
  return world
}

function dispatch(route: Route, listener: Listener, world: World) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    // A client that disconnects while its body is read ends up here too. It gets no response.
    route(request, response, listener, world).catch((error: unknown) => {
      if (response.headersSent) response.destroy()
      else send(response, json(500, { error: `the emulator failed: ${String(error)}` }))
    })
  }
}

function applyRefusals(faults: Faults, entra: Listener, local: Listener): void {
  if (faults.refuses('token', 'discovery')) entra.refuse()
  else entra.accept()
  if (faults.refuses('identity', 'callers')) local.refuse()
  else local.accept()
}

function hold({ holds }: World, at: FaultPoint): () => void {
  const { promise, resolve } = Promise.withResolvers<void>()
  holds.set(at, promise)
  return () => {
    if (holds.get(at) === promise) holds.delete(at)
    resolve()
  }
}

function assemble(world: World, caPem: string, entra: Listener, local: Listener): Emulator {
  const { entraUrl, localUrl, identityHeader, directory, callers, identityTokens, faults, traffic } = world
  const identityEndpoint = `${localUrl}/msi/token`
  return {
    entraUrl,
    localUrl,
    caPem,
    identityEndpoint,
    identityHeader,
    callerIssuer: `${localUrl}/callers`,
    environment: () => ({
      BROKER_AUTHORITY: entraUrl,
      BROKER_UNSAFE_AUTHORITY: 'true',
      IDENTITY_ENDPOINT: identityEndpoint,
      IDENTITY_HEADER: identityHeader,
      BROKER_IDENTITY_CLIENT_ID: directory.identity.clientId,
    }),
    mintCallerToken: (claims, tokenOptions) => callers.mint(claims, tokenOptions),
    rotateCallerKeys: rotation => callers.rotate(rotation),
    callerJwks: () => callers.jwks(),
    mintIdentityToken: async claims => (await identityTokens.mint(claims, world.settings.identityTokenLife)).token,
    renewIdentityToken: () => identityTokens.forget(),
    setIdentity: identity => {
      directory.identity = { ...directory.identity, ...identity }
      identityTokens.forget()
    },
    configure: settings => {
      world.settings = { ...world.settings, ...parseSettings(settings) }
    },
    setFederatedCredentials: (clientId, credentials) => directory.setFederatedCredentials(clientId, credentials),
    setConsent: (tenant, clientId, consented) => directory.setConsent(tenant, clientId, consented),
    fault: fault => faults.add(fault),
    clearFaults: () => faults.clear(),
    counts: () => traffic.counts(),
    hold: at => hold(world, at),
    resetCounts: () => traffic.reset(),
    requests: () => traffic.requests(),
    close: async () => {
      await Promise.all([entra.close(), local.close()])
    },
  }
}
