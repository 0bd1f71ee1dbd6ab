import { Type } from 'typebox'
import { count, text } from '../responses.ts'
import { headersOf, json, type Response } from '../components.ts'

/** What the texts of several token endpoints share: example values, fields of schemas, and responses. */

/** A scope. */
export const graph = 'https://graph.microsoft.com/.default'
/** A tenant's id. */
export const contoso = '1a2b3c4d-0000-4000-8000-000000000002'
/** An application's client id. */
export const application = '6f3c0b1e-0000-4000-8000-000000000001'
/** An access token, or a caller's own token. */
export const tokenText = 'eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJ0aWQiOiIuLi4ifQ.c2lnbmF0dXJl'
/** The broker's origin. */
export const origin = 'https://broker.example'

/** The fields of a form with a client assertion (RFC 7521 §4.2). */
export const assertion = {
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  client_assertion: tokenText,
}

/** An API key. */
export const apiKey = 'tb_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM'

/** `security` where the credential can be in the form, for which OpenAPI has no scheme: the empty one. */
export const inFormOrBeside = [{ bearerAuth: [] }, { clientSecretBasic: [] }, { clientCertificate: [] }, {}]

/** Examples of a tenant. */
export const tenants = {
  name: { summary: 'By its name in the policy', value: 'contoso' },
  id: { summary: 'By its id', value: contoso },
}

/** A response's access token. */
export const accessToken = text("Entra's access token for the tenant, as Entra issued it. A secret.")
/** A response's `token_type`. */
export const tokenType = Type.Literal('Bearer', { description: 'How the token is used (RFC 6750).' })
/** A response's `expires_in`. */
export const expiresIn = count('Seconds until the token expires.')

/** A response with a token. */
export const tokenResponse = (
  schema: string,
  examples: Readonly<Record<string, { readonly summary: string; readonly value: object }>>,
): Response => ({
  description: 'The token.',
  headers: headersOf('Cache-Status', 'Cache-Control', 'Pragma', 'RateLimit-Policy', 'RateLimit'),
  content: json(schema, examples),
})

/** A response with a token for Microsoft Graph. */
export const graphTokenResponse = (schema: string, value: object): Response =>
  tokenResponse(schema, { token: { summary: 'For Microsoft Graph', value } })

/** A response with a discovery document. */
export const documentResponse = (schema: string, value: object): Response => ({
  description: 'The document.',
  headers: headersOf('Cache-Control-Metadata'),
  content: json(schema, { document: { summary: 'With BROKER_PUBLIC_URL=https://broker.example', value } }),
})
