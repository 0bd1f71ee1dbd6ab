import { ClientAssertionCredential, ManagedIdentityCredential } from '@azure/identity'
import { fastify } from 'fastify'
import { createRemoteJWKSet, jwtVerify } from 'jose'

/**
 * The server that `npm run bench:compare` compares the broker with. It uses long-lived credentials and the cache of the
 * Azure SDK, with the managed identity's token as client assertion. It authenticates no callers and permits everything.
 * CREDENTIALS=one means one credential for all tenants, any other value one credential per tenant. VERIFY=jose verifies
 * callers' JWTs with the library `jose`, as its documentation shows.
 */
const setting = (name: string): string => {
  const value = process.env[name]
  if (value === undefined) throw new Error(`${name} is missing`)
  return value
}

const identity = new ManagedIdentityCredential({ clientId: setting('BROKER_IDENTITY_CLIENT_ID') })
const assertion = async () => (await identity.getToken('api://AzureADTokenExchange')).token
const create = (tenant: string) =>
  new ClientAssertionCredential(tenant, setting('APPLICATION'), assertion, {
    authorityHost: setting('BROKER_AUTHORITY'),
    disableInstanceDiscovery: true,
    additionallyAllowedTenants: ['*'],
  })

const shared = setting('CREDENTIALS') === 'one' ? create(setting('HOME_TENANT')) : undefined
const credentials = new Map<string, ClientAssertionCredential>()
function credentialOf(tenant: string): ClientAssertionCredential {
  const known = shared ?? credentials.get(tenant)
  if (known) return known
  const created = create(tenant)
  credentials.set(tenant, created)
  return created
}

const issuer = setting('ISSUER')
const keys = createRemoteJWKSet(new URL(setting('JWKS')))
const verify = async (authorization = ''): Promise<void> => {
  await jwtVerify(authorization.replace(/^Bearer /, ''), keys, { issuer, audience: 'token-broker' })
}

const app = fastify({ keepAliveTimeout: 245_000 })
app.post<{ Body: { tenant: string; scope: string } }>(
  '/tokens',
  async ({ headers, body: { tenant, scope } }, reply) => {
    if (process.env['VERIFY'] === 'jose') await verify(headers.authorization)
    const { token, expiresOnTimestamp } = await credentialOf(tenant).getToken(scope, { tenantId: tenant })
    return reply
      .header('cache-control', 'no-store')
      .send({ access_token: token, expires_on: expiresOnTimestamp / 1000 })
  },
)
app.get('/metrics', () => {
  const { user, system } = process.cpuUsage()
  return `process_cpu_seconds_total ${(user + system) / 1e6}`
})
process.once('SIGTERM', () => process.exit(0))
await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT']) })
