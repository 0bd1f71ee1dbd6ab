import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { createAuthority } from '../../emulator/certificates.ts'
import type { Json } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import {
  type Closing,
  graph,
  observers,
  policyOf,
  sampleCaller,
  type TestBroker,
  trust,
  until,
  type World,
} from '../support/broker.ts'
import { MemoryStore } from '../support/memory-second-level.ts'

/** One thing that is broken on purpose. */
export interface PlantedFault {
  /** Starts a broker that is well, or whose fault is there from the start. */
  readonly start: (t: Closing) => Promise<TestBroker>
  /** Breaks one thing, after the broker has issued a token for contoso. */
  readonly plant: (broker: TestBroker) => Promise<unknown>
}

/** The names of {@link plantedFaults}. */
export type FaultName =
  | 'the federated credential is wrong'
  | 'a tenant has revoked its consent'
  | 'Entra is slow'
  | 'the identity endpoint is unavailable'
  | 'Redis is gone'
  | 'the new policy is refused'
  | "an issuer's keys are unavailable"
  | 'the TLS certificate ends tomorrow'
  | 'one caller is at its limit'
  | "the broker's clock is wrong"

/** The rule of the sample caller, with a limit where that is the fault. */
export const sampleRule: Json = {
  name: 'sample',
  callers: [sampleCaller],
  tenants: ['contoso', 'fabrikam', 'tailspin'],
  scopes: [graph],
}

/**
 * Ten things that can be broken, one at a time. The files that they need are removed at the end of the test file.
 * @param others rules besides those of the sample caller and of the observers
 */
export async function plantedFaults(
  world: World,
  others: readonly Json[] = [],
): Promise<Readonly<Record<FaultName, PlantedFault>>> {
  const { emulator, clock } = world
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  after(() => rm(folder, { recursive: true, force: true }))
  const rules = [sampleRule, observers, ...others]
  const audiences = ['token-broker']
  const jwksFile = join(folder, 'jwks.json')
  // Keys from a file: the user of the page is authenticated during every outage.
  await writeFile(jwksFile, JSON.stringify(emulator.callerJwks()))
  const onprem = { issuer: `${emulator.callerIssuer}/onprem`, audiences, jwksUri: `${emulator.callerIssuer}/jwks` }
  const issuers = { emulator: { issuer: emulator.callerIssuer, audiences, jwksFile }, onprem }
  const policy = { issuers, rules }
  const start = (t: Closing) => world.broker(t, { policy })
  const redis = new MemoryStore(clock).replica()
  /** The number of requests that the emulator has received, also of those that it holds. */
  const requests = () => emulator.requests().length

  return {
    'the federated credential is wrong': {
      start,
      plant: async broker => {
        emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
        await broker.requestToken({ tenant: 'fabrikam', scope: graph })
      },
    },
    'a tenant has revoked its consent': {
      start: t => {
        t.after(() => {
          emulator.setConsent(sample.fabrikam, sample.application, true)
        })
        return start(t)
      },
      plant: async broker => {
        emulator.setConsent(sample.fabrikam, sample.application, false)
        await broker.requestToken({ tenant: 'fabrikam', scope: graph })
      },
    },
    'Entra is slow': {
      start,
      plant: async broker => {
        for (let nth = 0; nth < 3; nth++) {
          clock.advance(4000)
          const before = requests()
          const release = emulator.hold('token')
          const request = broker.requestToken()
          await until('the exchange has begun', () => requests() > before)
          clock.advance(4)
          release()
          await request
        }
      },
    },
    'the identity endpoint is unavailable': {
      start: async t => {
        const broker = await start(t)
        emulator.configure({ identityTokenLife: 600 })
        emulator.renewIdentityToken()
        return broker
      },
      plant: async broker => {
        emulator.fault({ kind: 'reset', at: 'identity' })
        clock.advance(900)
        await broker.requestToken({ tenant: 'fabrikam', scope: graph })
      },
    },
    'Redis is gone': {
      start: async t => {
        const environment = {
          BROKER_REDIS_URL: 'rediss://redis.example:10000',
          BROKER_CACHE_KEY_FILE: join(folder, 'cache-keys'),
        }
        return world.broker(t, { policy, secondLevel: redis, environment })
      },
      plant: () => {
        redis.cutOff()
        return Promise.resolve()
      },
    },
    'the new policy is refused': {
      start: async t => {
        const file = join(folder, 'policy.yaml')
        await writeFile(file, JSON.stringify({ ...policyOf(emulator), ...policy }))
        return world.broker(t, { policy, environment: { BROKER_POLICY_FILE: file } })
      },
      plant: async broker => {
        const file = join(folder, 'policy.yaml')
        await writeFile(file, 'rules: nonsense')
        await utimes(file, 0, 0)
        await broker.service.reload()
      },
    },
    "an issuer's keys are unavailable": {
      start,
      plant: async broker => {
        const request = async () => {
          const token = await emulator.mintCallerToken({}, { issuer: `${emulator.callerIssuer}/onprem` })
          await broker.requestToken(undefined, { token })
        }
        await request()
        emulator.fault({ kind: 'reset', at: 'callers' })
        // Then keys are fetched again on use.
        clock.advance(360)
        await request()
      },
    },
    'the TLS certificate ends tomorrow': {
      start: async t => {
        const authority = createAuthority('a CA')
        // By the broker's clock.
        const days = 1 + (clock.now() - Date.now()) / 86_400_000
        const { certPem, keyPem } = authority.issue({ days })
        trust(authority.caPem)
        const [TLS_CERT_FILE, TLS_KEY_FILE] = [join(folder, 'tls.pem'), join(folder, 'tls-key.pem')]
        await Promise.all([writeFile(TLS_CERT_FILE, certPem), writeFile(TLS_KEY_FILE, keyPem)])
        return world.broker(t, { policy, environment: { TLS_CERT_FILE, TLS_KEY_FILE } })
      },
      plant: () => Promise.resolve(),
    },
    'one caller is at its limit': {
      start: t =>
        world.broker(t, { policy: { issuers, rules: [{ ...sampleRule, requestLimit: '2/m' }, observers, ...others] } }),
      plant: async broker => {
        for (let nth = 0; nth < 4; nth++) await broker.requestToken()
      },
    },
    "the broker's clock is wrong": {
      start,
      plant: async broker => {
        emulator.configure({ clockAhead: 250 })
        clock.advance(4000)
        await broker.requestToken()
      },
    },
  }
}
