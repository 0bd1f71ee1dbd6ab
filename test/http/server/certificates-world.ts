import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuthority, type Leaf, type LeafOptions } from '../../../emulator/certificates.ts'
import { type Closing, graph, sampleCaller, send, startWorld } from '../../support/broker.ts'
import type { Json } from '../../../emulator/jws.ts'

export const world = await startWorld()
export const server = createAuthority('broker CA')
export const clients = createAuthority('clients CA')
export const others = createAuthority('other clients CA')
export const spiffe = 'spiffe://prod.example/ns/billing/sa/worker'
export const leaf = (options: LeafOptions = {}, by = clients): Leaf =>
  by.issue({ names: [spiffe], usage: 'client', ...options })
export const worker = leaf()

const rules = [
  {
    name: 'mesh',
    callers: [{ san: 'spiffe://prod.example/ns/billing/sa/*' }, { san: '*.workers.example' }, sampleCaller],
    tenants: ['contoso'],
    scopes: [graph],
  },
]
export const body = JSON.stringify({ tenant: 'contoso', scope: graph })

/** A broker with TLS and `authorities`; `replace` writes others into their file. `more` are further rules. */
export async function start(t: Closing, authorities = clients.caPem, more: readonly Json[] = []) {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const [certFile, keyFile, caFile] = ['tls.crt', 'tls.key', 'ca.crt'].map(name => join(folder, name))
  const own = server.issue()
  await writeFile(certFile ?? '', own.certPem)
  await writeFile(keyFile ?? '', own.keyPem)
  const replace = (pem: string) => writeFile(caFile ?? '', pem)
  await replace(authorities)
  const environment = { TLS_CERT_FILE: certFile ?? '', TLS_KEY_FILE: keyFile ?? '', TLS_CLIENT_CA_FILE: caFile ?? '' }
  const broker = await world.broker(t, {
    policy: { rules: [...rules, ...more] },
    environment: { ...environment, HOST: '127.0.0.1', BROKER_PUBLIC_URL: 'https://broker.example' },
  })
  const requestToken = (presented?: Leaf, headers: Record<string, string> = {}) =>
    send(`${broker.url}/tokens`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body,
      ca: server.caPem,
      ...(presented && { cert: presented.certPem, key: presented.keyPem }),
    })
  return { broker, requestToken, replace, port: Number(new URL(broker.url).port) }
}
