import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import type { Json } from '../../emulator/jws.ts'
import type { Emulator } from '../../emulator/emulator.ts'
import { sample } from '../../emulator/options.ts'
import { testFaults, type Planted } from './planted.ts'
import { clusterApplication, clusterToken, idsOf, startDoctorWorld, textOf } from './world.ts'

const world = await startDoctorWorld()

const identityFault =
  (kind: 'hung' | 'wrong-audience' | 'version-1' | 'wrong-application' | 'expired' | 'no-expiry' | 'server-error') =>
  (e: Emulator) =>
    e.fault({ kind, at: 'identity' })
const identityRows: readonly Planted[] = [
  {
    fault: 'no identity endpoint: no identity, a lifecycle without this container, or assigned after the start',
    environment: {
      IDENTITY_ENDPOINT: '',
      IDENTITY_HEADER: '',
      CONTAINER_APP_NAME: 'broker',
      CONTAINER_APP_REVISION: 'broker--7',
    },
    fails: ['identity.endpoint'],
    says: /None or Init[\s\S]*assigned after this replica started[\s\S]*identitySettings[\s\S]*az containerapp identity assign --name broker[\s\S]*revision restart --name broker --resource-group GROUP --revision broker--7/,
    skips: ['identity.token', 'identity.claims', 'federation.credential', 'consent.token'],
    exchanges: 0,
  },
  {
    fault: 'no identity endpoint, on a machine that is no container of the broker',
    environment: { IDENTITY_ENDPOINT: '', IDENTITY_HEADER: '' },
    fails: ['identity.endpoint'],
    says: /Run this in the container of the broker\.[\s\S]*revision restart --name APP --resource-group GROUP --revision REVISION/,
  },
  {
    fault: 'the variables of AKS workload identity, but the settings of a managed identity',
    environment: { IDENTITY_ENDPOINT: '', IDENTITY_HEADER: '', AZURE_FEDERATED_TOKEN_FILE: '/token' },
    fails: ['identity.endpoint'],
    says: /BROKER_IDENTITY_SOURCE=workload-identity/,
  },
  {
    fault: 'AKS without the webhook',
    environment: { BROKER_IDENTITY_SOURCE: 'workload-identity', KUBERNETES_SERVICE_HOST: '10.0.0.1' },
    fails: ['identity.endpoint'],
    says: /AZURE_TENANT_ID[\s\S]*--enable-workload-identity\nkubectl rollout restart/,
  },
  {
    fault: 'AKS with a token file that does not exist',
    environment: {
      BROKER_IDENTITY_SOURCE: 'workload-identity',
      AZURE_TENANT_ID: sample.homeTenant,
      AZURE_FEDERATED_TOKEN_FILE: '/nowhere/token',
    },
    fails: ['identity.token'],
    says: /ENOENT[\s\S]*AZURE_FEDERATED_TOKEN_FILE/,
  },
  {
    fault: 'an identity endpoint that refuses connections',
    plant: e => e.fault({ kind: 'refused', at: 'identity' }),
    // The emulator's issuer is on the same port.
    fails: ['identity.token', 'issuers.keys'],
    says: /could not be reached \(ECONNREFUSED\)[\s\S]*restart the replica/,
    skips: ['identity.claims', 'federation.credential'],
  },
  {
    fault: 'an identity endpoint that hangs',
    environment: { BROKER_UPSTREAM_TIMEOUT_MS: '400' },
    plant: identityFault('hung'),
    fails: ['identity.token'],
    says: /did not respond within 320 ms/,
  },
  {
    fault: 'an identity that the app does not have',
    environment: { BROKER_IDENTITY_CLIENT_ID: '20000000-0000-4000-8000-0000000000ff' },
    fails: ['identity.token'],
    says: /HTTP 400[\s\S]*BROKER_IDENTITY_CLIENT_ID[\s\S]*az identity list/,
  },
  {
    fault: 'IDENTITY_HEADER of another replica',
    plant: e => e.fault({ kind: 'client-error', at: 'identity', status: 401 }),
    fails: ['identity.token'],
    says: /HTTP 401[\s\S]*The platform sets IDENTITY_ENDPOINT and IDENTITY_HEADER/,
  },
  {
    fault: 'an assertion for another audience',
    plant: identityFault('wrong-audience'),
    fails: ['identity.claims'],
    says: /is for api:\/\/wrong-audience, and not for api:\/\/AzureADTokenExchange/,
    skips: ['federation.credential'],
  },
  {
    fault: 'an assertion of v1.0 for an API of your own',
    environment: { BROKER_IDENTITY_AUDIENCE: 'api://30000000-0000-4000-8000-0000000000cc' },
    plant: identityFault('version-1'),
    fails: ['identity.claims'],
    says: /an API of your own[\s\S]*--id 30000000-0000-4000-8000-0000000000cc --set api\.requestedAccessTokenVersion=2/,
  },
  {
    fault: 'an assertion of v1.0',
    plant: identityFault('version-1'),
    fails: ['identity.claims'],
    says: /v1\.0 token \(issuer https:\/\/sts\.windows\.net[\s\S]*something else responds/,
  },
  {
    fault: 'an assertion of another identity',
    plant: identityFault('wrong-application'),
    fails: ['identity.claims'],
    says: /of another identity: its client id is 00000000-/,
  },
  {
    fault: 'an assertion that has ended',
    plant: identityFault('expired'),
    fails: ['identity.claims'],
    says: /ended at \d{4}-/,
  },
  {
    fault: 'an identity endpoint with a server error',
    plant: identityFault('server-error'),
    fails: ['identity.token'],
    says: /HTTP 503/,
  },
]

testFaults(world, identityRows)

describe('on Kubernetes', () => {
  const examine = async (t: TestContext, claims: Json = {}) => {
    const file = await world.file(t, await clusterToken(claims))
    const environment = { BROKER_IDENTITY_SOURCE: 'workload-identity', AZURE_TENANT_ID: sample.homeTenant }
    return world.examine(t, {
      policy: { applications: { default: clusterApplication } },
      environment: { ...environment, AZURE_FEDERATED_TOKEN_FILE: file },
    })
  }

  test('the token of the service account is the assertion', async t => {
    const report = await examine(t)
    assert.deepEqual(idsOf(report, 'failed'), [])
    assert.match(
      textOf(report, 'identity.claims'),
      /issuer https:\/\/cluster\.example, subject system:serviceaccount:broker:token-broker, audience api:/,
    )
  })

  test('a service account without a credential: the command has its issuer, subject and audience', async t => {
    const report = await examine(t, { sub: 'system:serviceaccount:broker:other' })
    assert.deepEqual(idsOf(report, 'failed'), ['federation.credential'])
    const expected =
      /"issuer":"https:\/\/cluster\.example","subject":"system:serviceaccount:broker:other","audiences":\["api:\/\/AzureADTokenExchange"\]/
    assert.match(textOf(report, 'federation.credential'), expected)
  })
})
