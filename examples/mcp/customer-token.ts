// Token exchange (RFC 8693) with oauth4webapi: the server's own token for a token of a customer's tenant.
import { readFile } from 'node:fs/promises'
import * as oauth from 'oauth4webapi'

const urn = 'urn:ietf:params:oauth'

/**
 * Gets an access token of the customer's tenant for a resource. It keeps no token: the broker has a cache, and knows when a
 * token must no longer be used. Throws an error with the broker's own words if it does not issue one.
 */
export async function customerToken(tenant: string, resource: string): Promise<string> {
  const { BROKER = '', TOKEN_FILE = '' } = process.env
  const broker = { issuer: BROKER, token_endpoint: `${BROKER}/oauth2/token` }
  const client = { client_id: 'orders-mcp' }
  // Read each time, because the file's token is replaced before it expires.
  const ownToken = (await readFile(TOKEN_FILE, 'utf8')).trim()
  const parameters = {
    tenant,
    resource,
    subject_token: ownToken,
    subject_token_type: `${urn}:token-type:jwt`,
    requested_token_type: `${urn}:token-type:access_token`,
  }
  const request = [broker, client, oauth.None(), `${urn}:grant-type:token-exchange`, parameters] as const
  // The broker tries Entra for 15 s.
  const response = await oauth.genericTokenEndpointRequest(...request, { signal: AbortSignal.timeout(20_000) })
  // oauth4webapi reads the errors of 4xx only. A 503 can pass by itself.
  if (response.status >= 500) throw refusal(await response.json())
  try {
    const { access_token: token } = await oauth.processGenericTokenEndpointResponse(broker, client, response)
    return token
  } catch (error) {
    if (!(error instanceof oauth.ResponseBodyError)) throw error
    throw refusal(error.cause)
  }
}

function refusal(body: unknown): Error {
  const { error, error_description: description } = Object(body)
  return new Error(`${error}: ${description}`)
}
