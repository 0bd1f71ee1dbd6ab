import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuthority } from '../../emulator/certificates.ts'
import type { Json } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { type Closing, graph, sampleCaller, type TestBroker, trust, type World } from '../support/broker.ts'
import { freePort } from '../support/ports.ts'

/** A broker as clients outside Azure use it: https with a private CA, at its public URL. */
export interface HttpsBroker extends TestBroker {
  /** `https://localhost:<port>` */
  readonly publicUrl: string
  readonly caFile: string
  /** A file with a valid caller's token. */
  readonly tokenFile: string
  /** Runs an attempt and reports its result, its requests to the broker and its duration. */
  readonly watch: (attempt: () => Promise<unknown>) => Promise<Watched>
}

/** One attempt of a client. */
export interface Watched {
  readonly result: unknown
  /** The thrown error as text; empty if nothing was thrown. */
  readonly error: string
  /** Method and path of each request, in order. */
  readonly requests: readonly string[]
  /** For which the client waited by its own wish: the delays of the timers that ended meanwhile, on any machine. */
  readonly seconds: number
}

const usual = {
  rules: [{ name: 'sample', callers: [sampleCaller], tenants: ['contoso', 'tailspin'], scopes: [graph] }],
}

/**
 * Starts the broker. It reads its own assertion from a file, as on AKS: MSAL supports one managed identity per process,
 * which is that of the client under test.
 *
 * @param policy by default, the sample caller gets tokens of two tenants
 */
export async function startHttpsBroker(t: Closing, world: World, policy: Json = usual): Promise<HttpsBroker> {
  const { emulator } = world
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-clients-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const file = async (name: string, content: string): Promise<string> => {
    await writeFile(join(folder, name), content)
    return join(folder, name)
  }
  const authority = createAuthority('token-broker test CA')
  const { certPem, keyPem } = authority.issue()
  trust(authority.caPem)
  const port = await freePort()
  const publicUrl = `https://localhost:${port}`
  const broker = await world.broker(t, {
    policy,
    environment: {
      PORT: String(port),
      TLS_CERT_FILE: await file('cert.pem', certPem),
      TLS_KEY_FILE: await file('key.pem', keyPem),
      BROKER_PUBLIC_URL: publicUrl,
      // More than a busy machine needs. What the emulator does here fails at once, and its three attempts take half a second.
      BROKER_UPSTREAM_TIMEOUT_MS: '10000',
      BROKER_IDENTITY_SOURCE: 'workload-identity',
      AZURE_TENANT_ID: sample.homeTenant,
      AZURE_FEDERATED_TOKEN_FILE: await file('assertion', await emulator.mintIdentityToken()),
    },
  })
  const seen: string[] = []
  broker.service.app.server.on('request', ({ method, url }: { method?: string; url?: string }) => {
    seen.push(`${method} ${url?.split('?', 1)[0]}`)
  })
  return {
    ...broker,
    publicUrl,
    caFile: await file('ca.pem', authority.caPem),
    tokenFile: await file('token', await emulator.mintCallerToken({}, { expiresIn: 86_400 })),
    watch: async attempt => {
      const first = seen.length
      const delays = watchDelays()
      const outcome = await attempt()
        .then(
          result => ({ result, error: '' }),
          (thrown: unknown) => ({ result: undefined, error: String(thrown) }),
        )
        .finally(delays.end)
      return { ...outcome, requests: seen.slice(first), seconds: delays.ms() / 1000 }
    },
  }
}

/** Adds up the delays of the timers that end from now on, whatever code set them: a limit for them is one for the client. */
function watchDelays() {
  const original = globalThis.setTimeout
  let total = 0
  globalThis.setTimeout = new Proxy(original, {
    apply: (target, self, [act, ms = 0, ...rest]: [(...given: unknown[]) => void, number?, ...unknown[]]) => {
      const counted = (...given: unknown[]): void => {
        total += ms
        act(...given)
      }
      return Reflect.apply(target, self, [counted, ms, ...rest])
    },
  })
  return {
    ms: () => total,
    end: () => {
      globalThis.setTimeout = original
    },
  }
}
