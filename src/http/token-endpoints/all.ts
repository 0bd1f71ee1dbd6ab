import { entraEndpoint } from './entra.ts'
import { entraV1Endpoint } from './entra-v1.ts'
import { identityEndpoint } from './identity.ts'
import { oauthEndpoint } from './oauth.ts'
import type { TokenEndpoint } from './token-endpoint.ts'
import { tokensEndpoint } from './tokens.ts'

/**
 * Every token endpoint of the broker, as new values for one server. This is the only list: the listeners, `openapi.yaml`
 * and the tests of all endpoints read it.
 */
export const tokenEndpoints = (): readonly TokenEndpoint[] => [
  tokensEndpoint(),
  oauthEndpoint,
  entraEndpoint,
  entraV1Endpoint,
  identityEndpoint(),
]
