import { sample } from '../../emulator/options.ts'
import { aadsts, testFaults, type Planted } from './planted.ts'
import { foreignApplication, startDoctorWorld } from './world.ts'

const world = await startDoctorWorld()

const credential =
  /az ad app federated-credential create --id 30000000-0000-4000-8000-000000000001 --parameters '\{"name":"token-broker","issuer":"https:\/\/localhost:\d+\/10000000-0000-4000-8000-000000000001\/v2\.0","subject":"20000000-0000-4000-8000-00000000000b","audiences":\["api:\/\/AzureADTokenExchange"\]\}'$/

const federationRows: readonly Planted[] = [
  {
    fault: 'a credential with another issuer (AADSTS700211)',
    plant: e => e.setFederatedCredentials(sample.application, [{ issuer: 'https://login.example/v2.0' }]),
    fails: ['federation.credential'],
    says: credential,
    skips: ['consent.token'],
    exchanges: 1,
  },
  {
    fault: 'a credential with another subject (AADSTS700213)',
    plant: e => e.setFederatedCredentials(sample.application, [{ subject: sample.identity.clientId }]),
    fails: ['federation.credential'],
    says: /AADSTS700213[\s\S]*to exactly 20000000-0000-4000-8000-00000000000b[\s\S]*less than ten minutes ago, wait/,
    exchanges: 1,
  },
  {
    fault: 'a credential with another audience (AADSTS700212)',
    plant: e => e.setFederatedCredentials(sample.application, [{ audience: 'api://other' }]),
    fails: ['federation.credential'],
    says: /AADSTS700212[\s\S]*az ad app federated-credential update --id \S+ --federated-credential-id "\$\(az ad app federated-credential list .*\[\?subject==.*"audiences":\["api:\/\/AzureADTokenExchange"\]/,
  },
  {
    fault: 'no credential',
    plant: e => e.setFederatedCredentials(sample.application, []),
    fails: ['federation.credential'],
    says: credential,
  },
  {
    fault: 'twenty credentials, none of which fits (AADSTS70021)',
    plant: e =>
      e.setFederatedCredentials(
        sample.application,
        Array.from({ length: 20 }, (_, n) => ({ subject: `subject-${n}` })),
      ),
    fails: ['federation.credential'],
    says: /at most 20 federated credentials/,
  },
  {
    fault: 'a registration in another tenant than the identity (AADSTS700236)',
    policy: { applications: { default: foreignApplication } },
    fails: ['federation.credential'],
    says: /AADSTS700236[\s\S]*must be registered in the tenant of the managed identity, 10000000-/,
  },
  {
    fault: 'a client id that no tenant knows (AADSTS700016)',
    policy: { applications: { default: '30000000-0000-4000-8000-0000000000ee' } },
    fails: ['federation.credential'],
    says: /none of 2 tenants knows[\s\S]*az ad app show --id 30000000-0000-4000-8000-0000000000ee/,
    skips: ['consent.token'],
  },
  {
    fault: 'a clock that makes Entra refuse the assertion (AADSTS700024)',
    plant: aadsts(700024),
    fails: ['federation.credential'],
    says: /AADSTS700024[\s\S]*Compare the clocks/,
  },
  {
    fault: 'a policy that restricts federated credentials (AADSTS700238)',
    plant: aadsts(700238),
    fails: ['federation.credential'],
    says: /restricts federated credentials/,
  },
]

testFaults(world, federationRows)
