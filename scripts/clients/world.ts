import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { createAuthority, type Leaf } from '../../emulator/certificates.ts'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import { sample } from '../../emulator/options.ts'
import { settingsOf } from '../../test/agent/flags.ts'
import { wireAgent } from '../../src/agent/wire.ts'
import { encodeKey, hashKey } from '../../src/broker/authentication/api-keys.ts'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { readConfig } from '../../src/config/config.ts'
import { type Service, wire } from '../../src/service/wire.ts'
import { freePort } from '../../test/support/ports.ts'
import { codeOf } from '../../src/errors.ts'

/** The scopes that the cases use, all for the tenant contoso. */
export const scopes = {
  granted: 'https://graph.microsoft.com/.default',
  forbidden: 'https://vault.azure.net/.default',
  /** Granted, but requested only while Entra is down, so that no token for it is ever cached. */
  down: 'https://management.azure.com/.default',
} as const

/** The life of tokens in seconds. It is short, so that clients get a fresh one during the run. */
export const tokenLife = 6

/** A broker over https with a private CA, two agents, and what clients need to use them. */
export interface World {
  readonly emulator: Emulator
  /** `https://localhost:<port>` */
  readonly broker: string
  /** Origins of agents for contoso and for a tenant that the broker does not know. */
  readonly agents: { readonly contoso: string; readonly nowhere: string }
  readonly secret: string
  readonly caFile: string
  readonly tokenFile: string
  readonly token: string
  /** The file of an API key that has the rights of the token. */
  readonly apiKeyFile: string
  /** That key. */
  readonly apiKey: string
  /** Azure Resource Manager of a tenant without subscriptions, for `az login`, `https://localhost:<port>`. */
  readonly resourceManager: string
  /** An API that responds with the `Authorization` header it got, `https://localhost:<port>`. */
  readonly api: string
  /** The number of requests so far, to the broker and to the agents. */
  readonly requestCounts: () => { readonly broker: number; readonly agent: number }
  readonly close: () => Promise<void>
}

const secret = 'a-local-secret-of-256-bits-for-the-examples-only'
const silent = { write: () => undefined, flush: () => undefined }

/** Starts the emulator, the broker and the agents. */
export async function startWorld(): Promise<World> {
  const emulator = await startEmulator()
  Object.assign(process.env, emulator.environment())
  emulator.configure({ expiresIn: tokenLife })
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), emulator.caPem])
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-clients-'))
  const file: WriteFile = async (name, content) => {
    await writeFile(join(folder, name), content)
    return join(folder, name)
  }
  const authority = createAuthority('token-broker examples CA')
  const token = await emulator.mintCallerToken()
  const apiKey = encodeKey(randomBytes(32))
  const files = {
    caFile: await file('ca.pem', authority.caPem),
    tokenFile: await file('token', token),
    apiKeyFile: await file('api-key', apiKey),
  }
  const counts = { broker: 0, agent: 0 }
  const resourceManager = await startServer(authority.issue(), noSubscriptions)
  const api = await startServer(authority.issue(), echo)
  const main = await startBroker(emulator, apiKey, authority.issue(), file)
  count(main.service, () => counts.broker++)
  const agents = {
    contoso: await startAgent(main.url, 'contoso', files),
    nowhere: await startAgent(main.url, 'nowhere', files),
  }
  for (const { service } of Object.values(agents)) count(service, () => counts.agent++)
  return {
    emulator,
    broker: main.url,
    agents: { contoso: agents.contoso.url, nowhere: agents.nowhere.url },
    secret,
    token,
    apiKey,
    ...files,
    resourceManager: resourceManager.url,
    api: api.url,
    requestCounts: () => ({ ...counts }),
    close: async () => {
      await Promise.all([...Object.values(agents), main].map(({ service }) => service.close()))
      resourceManager.close()
      api.close()
      await emulator.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

type WriteFile = (name: string, content: string) => Promise<string>

const count = ({ app }: Pick<Service, 'app'>, counted: () => void) => app.server.on('request', counted)

const noSubscriptions: RequestListener = (_, response) => {
  response.setHeader('content-type', 'application/json').end('{"value":[]}')
}
const echo: RequestListener = ({ headers }, response) => void response.end(headers.authorization)

/** An API that clients call with their tokens. */
async function startServer({ certPem, keyPem }: Leaf, respond: RequestListener) {
  const server = createServer({ cert: certPem, key: keyPem }, respond)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  return { url: `https://localhost:${port}`, close: () => void server.close() }
}

/** Its own URL is in its settings, so the port is chosen before. Another process may take it meanwhile: then another one is. */
async function startBroker(...parts: readonly [Emulator, string, Leaf, WriteFile]) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startBrokerAt(await freePort(), ...parts)
    } catch (thrown) {
      if (codeOf(thrown) !== 'EADDRINUSE' || attempt === 5) throw thrown
    }
  }
}

async function startBrokerAt(
  port: number,
  emulator: Emulator,
  apiKey: string,
  { certPem, keyPem }: Leaf,
  file: WriteFile,
) {
  const url = `https://localhost:${port}`
  const config = readConfig({
    ...emulator.environment(),
    PORT: String(port),
    HOST: '127.0.0.1',
    TLS_CERT_FILE: await file('cert.pem', certPem),
    TLS_KEY_FILE: await file('key.pem', keyPem),
    BROKER_PUBLIC_URL: url,
    BROKER_POLICY_FILE: 'in-memory',
  })
  const service = await wire(config, parsePolicy(JSON.stringify(policyFor(emulator, apiKey))), silent)
  await service.app.listen({ host: config.host, port })
  return { service, url }
}

async function startAgent(broker: string, tenant: string, { tokenFile, caFile }: Pick<World, 'tokenFile' | 'caFile'>) {
  const flags = ['--broker', broker, '--tenant', tenant, '--token-file', tokenFile, '--ca-file', caFile]
  const service = await wireAgent(
    settingsOf([...flags, '--metadata', '--sidecar', '--secret-file', 'none']),
    secret,
    silent,
  )
  return { service, url: await service.app.listen({ host: '127.0.0.1', port: 0 }) }
}

const policyFor = (emulator: Emulator, apiKey: string) => ({
  applications: { default: sample.application },
  tenants: { contoso: sample.contoso },
  scopes: { graph: scopes.granted, vault: scopes.forbidden, arm: scopes.down },
  issuers: { emulator: { issuer: emulator.callerIssuer, audiences: ['token-broker'] } },
  apiKeys: { examples: { sha256: hashKey(apiKey), expires: '2099-01-01' } },
  rules: [
    {
      name: 'examples',
      callers: [{ issuer: 'emulator', subject: 'sample-caller' }, { apiKey: 'examples' }],
      tenants: ['contoso'],
      scopes: [scopes.granted, scopes.down],
    },
  ],
})
