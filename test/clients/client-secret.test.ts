import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { ClientSecretCredential, EnvironmentCredential } from '@azure/identity'
import { decodeJws } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { graph, startWorld } from '../support/broker.ts'
import { startHttpsBroker } from './https-broker.ts'

/** The unchanged `@azure/identity`, with an API key as its client secret. */
const world = await startWorld()
const key = 'tb_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHabcdef'
const broker = await startHttpsBroker({ after }, world, {
  apiKeys: { erp: { sha256: hash('sha256', key, 'hex'), expires: '2999-01-31' } },
  rules: [{ name: 'erp', callers: [{ apiKey: 'erp' }], tenants: ['contoso'], scopes: [graph] }],
})
const { publicUrl: authorityHost } = broker
const options = { authorityHost, disableInstanceDiscovery: true }
const discovery = 'GET /contoso/v2.0/.well-known/openid-configuration'
const post = 'POST /contoso/oauth2/v2.0/token'

const credentials: readonly (readonly [
  name: string,
  make: (secret: string) => { getToken: (scope: string) => Promise<{ token: string } | null> },
])[] = [
  ['ClientSecretCredential', secret => new ClientSecretCredential('contoso', sample.application, secret, options)],
  [
    'EnvironmentCredential',
    secret => {
      process.env['AZURE_CLIENT_SECRET'] = secret
      return new EnvironmentCredential({ disableInstanceDiscovery: true })
    },
  ],
]
before(() => {
  Object.assign(process.env, {
    AZURE_TENANT_ID: 'contoso',
    AZURE_CLIENT_ID: sample.application,
    AZURE_AUTHORITY_HOST: authorityHost,
  })
})

for (const [name, make] of credentials)
  describe(`${name} with an API key as its secret`, () => {
    test('gets a token of the right tenant', async () => {
      const { result, error, requests } = await broker.watch(() => make(key).getToken(graph))
      assert.equal(error, '')
      assert.equal(decodeJws((result as { token: string }).token)?.payload['tid'], sample.contoso)
      assert.deepEqual(requests, [discovery, post])
      assert.partialDeepStrictEqual(broker.events('token.issued').at(-1), { caller: { kind: 'apiKey', key: 'erp' } })
    })

    test('reports what to send in place of a secret that is no API key, after one attempt', async () => {
      const { error, requests, seconds } = await broker.watch(() => make('a-secret-of-Entra').getToken(graph))
      assert.match(error, /invalid_client: .*The client secret is not an API key of this broker\. Send an API key/)
      assert.ok(!error.includes('a-secret-of-Entra'))
      assert.deepEqual(requests, [discovery, post])
      assert.ok(seconds < 2, `${seconds} s`)
    })
  })
