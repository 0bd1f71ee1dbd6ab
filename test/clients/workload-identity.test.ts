import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { ClientAssertionCredential, ManagedIdentityCredential, WorkloadIdentityCredential } from '@azure/identity'
import { decodeJws } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { graph, startWorld, until } from '../support/broker.ts'
import { startHttpsBroker } from './https-broker.ts'

/** The unchanged `@azure/identity`, configured for the broker in each way that it supports. */
const world = await startWorld()
const { emulator, clock } = world
const broker = await startHttpsBroker({ after }, world)
const { publicUrl: authorityHost } = broker

interface Credential {
  readonly getToken: (scope: string, options?: { enableCae?: boolean }) => Promise<{ token: string } | null>
}
interface Configuration {
  readonly name: string
  readonly environment: Readonly<Record<string, string>>
  readonly make: (tenantId: string) => Credential
  /** The SDK's requests before its first token request. */
  readonly reads: readonly string[]
}
const discovery = ['GET /TENANT/v2.0/.well-known/openid-configuration']
const disableInstanceDiscovery = true
const configurations: readonly Configuration[] = [
  {
    name: 'WorkloadIdentityCredential through the token proxy of AKS',
    environment: { AZURE_KUBERNETES_TOKEN_PROXY: authorityHost, AZURE_KUBERNETES_CA_FILE: broker.caFile },
    make: tenantId => new WorkloadIdentityCredential({ enableAzureProxy: true, tenantId }),
    reads: [],
  },
  {
    name: 'WorkloadIdentityCredential with AZURE_AUTHORITY_HOST',
    environment: { AZURE_AUTHORITY_HOST: authorityHost },
    make: tenantId => new WorkloadIdentityCredential({ disableInstanceDiscovery, tenantId }),
    reads: discovery,
  },
  {
    name: 'ClientAssertionCredential with authorityHost',
    environment: {},
    make: tenantId =>
      new ClientAssertionCredential(tenantId, sample.application, () => readFile(broker.tokenFile, 'utf8'), {
        authorityHost,
        disableInstanceDiscovery,
      }),
    reads: discovery,
  },
]
const always = { AZURE_CLIENT_ID: sample.application, AZURE_FEDERATED_TOKEN_FILE: broker.tokenFile }
const used = ['AZURE_KUBERNETES_TOKEN_PROXY', 'AZURE_KUBERNETES_CA_FILE', 'AZURE_AUTHORITY_HOST', 'AZURE_TENANT_ID']

for (const { name, environment, make, reads } of configurations)
  describe(name, () => {
    before(async () => {
      for (const variable of used) delete process.env[variable]
      Object.assign(process.env, always, environment)
      emulator.clearFaults()
      emulator.configure({ expiresIn: 3599 })
      // The clock has moved, so the token must be new.
      await writeFile(broker.tokenFile, await emulator.mintCallerToken())
    })
    const requestToken = (credential: Credential, scope = graph) => broker.watch(() => credential.getToken(scope))
    const requestsAt = (tenant: string, posts = 1) => [
      ...reads.map(path => path.replace('TENANT', tenant)),
      ...Array.from({ length: posts }, () => `POST /${tenant}/oauth2/v2.0/token`),
    ]
    const tokenOf = (result: unknown) => (result as { token: string }).token

    for (const tenant of ['contoso', sample.contoso])
      test(`gets a token of the right tenant, named as ${tenant}`, async () => {
        const { result, error, requests } = await requestToken(make(tenant))
        assert.equal(error, '')
        assert.equal(decodeJws(tokenOf(result))?.payload['tid'], sample.contoso)
        assert.deepEqual(requests, requestsAt(tenant))
      })

    test('gets a token although it declares support for claims challenges, as every Azure SDK client does', async () => {
      const credential = make('contoso')
      const { error } = await broker.watch(() => credential.getToken(graph, { enableCae: true }))
      assert.equal(error, '')
      assert.deepEqual(
        emulator.requests().filter(({ form }) => 'claims' in form),
        [],
      )
    })

    const refused: readonly (readonly [why: string, tenant: string, scope: string, error: RegExp])[] = [
      ['a scope that is not granted', 'contoso', 'https://vault.azure.net/.default', /unauthorized_client: .*No rule/],
      ['an unknown tenant', 'nowhere', graph, /unauthorized_client: .*No rule of the policy/],
      ['a tenant without consent', 'tailspin', graph, /invalid_client: .*AADSTS7000229: .*adminconsent/],
    ]
    for (const [why, tenant, scope, expected] of refused)
      test(`reports the error of ${why}, after one attempt`, async () => {
        const { error, requests, seconds } = await requestToken(make(tenant), scope)
        assert.match(error, expected)
        assert.deepEqual(requests, requestsAt(tenant))
        assert.ok(seconds < 2, `${seconds} s`)
      })

    test('if the broker returns 503, it sends four requests within ten seconds, fails, and recovers immediately', async () => {
      const credential = make('contoso')
      clock.advance(3600)
      await writeFile(broker.tokenFile, await emulator.mintCallerToken())
      emulator.fault({ kind: 'reset', at: 'token' })
      const { error, requests, seconds } = await requestToken(credential)
      assert.match(error, /temporarily_unavailable: .*Entra could not be reached/)
      assert.deepEqual(requests, requestsAt('contoso', 4))
      assert.ok(seconds < 10, `${seconds} s`)
      emulator.clearFaults()
      // The time for which the broker caches the failure.
      clock.advance(5)
      // MSAL blocks the key for the Retry-After time, which was one second.
      await until('a token', async () => (await requestToken(credential)).error === '')
    })

    test('gets a fresh token after the first has expired', async () => {
      emulator.configure({ expiresIn: 200 })
      clock.advance(3600)
      await writeFile(broker.tokenFile, await emulator.mintCallerToken())
      const credential = make('contoso')
      const first = await requestToken(credential)
      clock.advance(200)
      const second = await requestToken(credential)
      assert.deepEqual([first.error, second.error], ['', ''])
      assert.notEqual(tokenOf(first.result), tokenOf(second.result))
      assert.equal(second.requests.at(-1), 'POST /contoso/oauth2/v2.0/token')
    })
  })

test('ManagedIdentityCredential uses the same endpoint if the variables of AKS are set', async () => {
  Object.assign(process.env, always, { AZURE_AUTHORITY_HOST: authorityHost, AZURE_TENANT_ID: sample.contoso })
  await writeFile(broker.tokenFile, await emulator.mintCallerToken())
  const { error, requests } = await broker.watch(() =>
    new ManagedIdentityCredential(sample.application).getToken(graph),
  )
  assert.equal(error, '')
  assert.equal(requests.at(-1), `POST /${sample.contoso}/oauth2/v2.0/token`)
})
