import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { generateKeyPairSync } from 'node:crypto'
import { Provider, type Configuration } from 'oidc-provider'
import type { Closing } from './broker.ts'

/** The dashboard's client id at the issuer, and the audience of its tokens for the broker. */
export const [dashboardClient, audience] = ['8c8b8a89-0000-4000-8000-000000000007', 'token-broker'] as const
/** The subject of everyone who signs in. */
export const person = 'ada'
/** In Entra's tokens, the user's object id. */
export const objectId = '5d1f0000-0000-4000-8000-00000000000d'

/** The broker's scopes; the second is what the page requests of Entra. */
const scopes = `observe ${audience}/.default`
/** What the issuer calls the broker (RFC 8707). */
const resource = 'https://broker.example'

/** A real authorization server, where people sign in without a password. */
export interface TestIssuer {
  readonly issuer: string
  /** What it does from now on; the default is to sign everyone in. */
  readonly behave: (behaviour: Partial<Behaviour>) => void
  /** Paths of the requests so far, without queries. */
  readonly paths: () => readonly string[]
}

interface Behaviour {
  /** Whether the person refuses. */
  readonly denies: boolean
  /** Before anyone is signed in, this must have happened. */
  readonly waitsFor: Promise<void>
  /** Audience of access tokens. */
  readonly audience: string
}

/**
 * Starts `oidc-provider` on localhost: to browsers that is another site than 127.0.0.1, where the broker is.
 *
 * @param redirectUris of the dashboard's client
 * @param tenant makes it an issuer of Entra, with delegated tokens of this tenant (v2.0)
 */
export async function startIssuer(
  closing: Closing,
  redirectUris: readonly string[],
  tenant?: string,
): Promise<TestIssuer> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  closing.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const mount = tenant === undefined ? '' : `/${tenant}/v2.0`
  const issuer = `http://localhost:${(server.address() as AddressInfo).port}${mount}`
  let behaviour = usual
  const provider = new Provider(
    issuer,
    configurationOf(redirectUris, () => behaviour, tenant),
  )
  const handle = provider.callback()
  const paths: string[] = []
  const interact = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { denies, waitsFor } = behaviour
    await waitsFor
    const refusal = { error: 'access_denied', error_description: 'The person <b>refused</b>.' }
    await provider.interactionFinished(request, response, denies ? refusal : { login: { accountId: person } })
  }
  server.on('request', (request, response) => {
    const { pathname } = new URL(request.url ?? '', issuer)
    paths.push(pathname)
    if (pathname.startsWith('/interaction/')) {
      void interact(request, response)
      return
    }
    // As Express mounts a handler below a path.
    Object.assign(request, { originalUrl: request.url, url: request.url?.slice(mount.length) })
    void handle(request, response)
  })
  return { issuer, behave: changes => (behaviour = { ...usual, ...changes }), paths: () => paths }
}

const usual: Behaviour = { denies: false, waitsFor: Promise.resolve(), audience }

function configurationOf(
  redirectUris: readonly string[],
  behaviour: () => Behaviour,
  tenant: string | undefined,
): Configuration {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = { ...privateKey.export({ format: 'jwk' }), kid: 'first', use: 'sig', alg: 'ES256' }
  return {
    clients: [
      {
        client_id: dashboardClient,
        application_type: 'web',
        token_endpoint_auth_method: 'none',
        redirect_uris: [...redirectUris],
        id_token_signed_response_alg: 'ES256',
      },
    ],
    jwks: { keys: [key] },
    cookies: { keys: ['a'] },
    clientBasedCORS: () => true,
    ttl: { AccessToken: 600, AuthorizationCode: 60, IdToken: 600, Interaction: 600, Session: 600, Grant: 600 },
    ...(tenant !== undefined && {
      extraTokenClaims: () => ({ azp: dashboardClient, oid: objectId, tid: tenant, scp: 'Observe', ver: '2.0' }),
    }),
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    loadExistingGrant: async context => {
      const { oidc } = context
      const grant = new oidc.provider.Grant({ clientId: dashboardClient, accountId: person })
      grant.addOIDCScope('openid')
      grant.addResourceScope(resource, scopes)
      await grant.save()
      return grant
    },
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: scopes,
          audience: behaviour().audience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  }
}
