import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { decodeJws, type Json } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { encodeKey, hashKey } from '../../src/broker/authentication/api-keys.ts'
import { send, startWorld } from '../support/broker.ts'
import { aks, customers, documentsOf, valueAt } from './customers.ts'

/**
 * examples/argo-cd/cluster.yaml, with the request that `argocd-k8s-auth azure` of Argo CD v3.5.1 makes of the environment of
 * the cluster's Secret (cmd/argocd-k8s-auth/commands/azure_cgo.go, with kubelogin v0.2.18): that of azidentity's managed
 * identity on App Service. `npm run test:clients -- argo-cd` makes it with that library.
 */

const [cluster] = documentsOf('argo-cd/cluster.yaml')
const config = JSON.parse(String(valueAt(cluster, 'stringData', 'config'))) as Json
const environment = valueAt(config, 'execProviderConfig', 'env') as Record<string, string>
const apiKey = encodeKey(Buffer.alloc(32, 9))
const world = await startWorld(customers)
const broker = await world.broker(
  { after },
  {
    policy: {
      apiKeys: { 'argo-cd': { sha256: hashKey(apiKey), expires: '2099-01-01' } },
      rules: [
        { name: 'clusters', callers: [{ apiKey: 'argo-cd' }], tenants: ['contoso'], scopes: [`${aks}/.default`] },
      ],
    },
  },
)

function request(tenant = 'contoso') {
  const { pathname } = new URL(environment['IDENTITY_ENDPOINT'] ?? '')
  const query = new URLSearchParams({
    'api-version': '2019-08-01',
    resource: environment['AAD_SERVER_APPLICATION_ID'] ?? '',
  })
  return send(`${broker.url}${pathname.replace('contoso', tenant)}?${query.toString()}`, {
    headers: { 'x-identity-header': apiKey },
  })
}

describe("the Secret of a cluster in a customer's tenant", () => {
  test("names a token endpoint of the broker, which issues a token for that tenant's clusters", async () => {
    const { status, json, text } = await request()
    assert.equal(status, 200, text)
    const claims = decodeJws(String(json['access_token']))?.payload
    assert.deepEqual([claims?.['tid'], claims?.['aud']], [sample.contoso, aks])
    assert.match(String(json['expires_on']), /^\d+$/)
  })

  test('a tenant that the policy does not grant is refused, whatever a cluster names', async () => {
    assert.equal((await request('fabrikam')).status, 403)
  })

  test('is one for Argo CD, verifies the cluster, and runs what is in the image of Argo CD', () => {
    assert.equal(valueAt(cluster, 'metadata', 'labels', 'argocd.argoproj.io/secret-type'), 'cluster')
    assert.equal(valueAt(config, 'tlsClientConfig', 'insecure'), false)
    const { command, args } = valueAt(config, 'execProviderConfig') as Json
    assert.deepEqual([command, args, environment['AAD_LOGIN_METHOD']], ['argocd-k8s-auth', ['azure'], 'msi'])
  })
})
