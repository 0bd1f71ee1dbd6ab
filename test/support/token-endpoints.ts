import assert from 'node:assert/strict'
import { sample } from '../../emulator/options.ts'
import { BrokerError, type ErrorCode, type ErrorParts } from '../../src/errors.ts'
import { tokenEndpoints } from '../../src/http/token-endpoints/all.ts'
import type { TokenEndpoint } from '../../src/http/token-endpoints/token-endpoint.ts'
import { graph, type Reply, send, type SendOptions, type TestBroker, type World } from './broker.ts'

/** Fields of a form or a query. A list repeats a field, `undefined` omits it. */
export type Fields = Readonly<Record<string, string | readonly string[] | undefined>>

/** Form-encodes fields. */
export const encode = (fields: Fields): string =>
  new URLSearchParams(
    Object.entries(fields).flatMap(([name, value]) =>
      value === undefined ? [] : [value].flat().map(each => [name, each]),
    ),
  ).toString()

/** URNs of OAuth: the client assertion type, the grant type of token exchange, and two token types. */
export const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
export const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const jwtType = 'urn:ietf:params:oauth:token-type:jwt'
export const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token'
const form = { 'content-type': 'application/x-www-form-urlencoded' }

/** A function per token endpoint. It sends a valid request, to which `changes` apply. */
export interface TokenEndpoints {
  /** A good caller's token. */
  readonly token: string
  /** Sends a form to any path. */
  readonly post: (path: string, fields: Fields, headers?: Readonly<Record<string, string>>) => Promise<Reply>
  /** The headers replace the good credential. */
  readonly tokens: (changes?: Fields, headers?: Readonly<Record<string, string>>) => Promise<Reply>
  readonly oauth: (changes?: Fields, headers?: Readonly<Record<string, string>>) => Promise<Reply>
  readonly exchange: (changes?: Fields, headers?: Readonly<Record<string, string>>) => Promise<Reply>
  readonly entra: (changes?: Fields, tenant?: string, headers?: Readonly<Record<string, string>>) => Promise<Reply>
  readonly entraV1: (changes?: Fields, tenant?: string, headers?: Readonly<Record<string, string>>) => Promise<Reply>
  readonly identity: (changes?: Fields, tenant?: string, headers?: Readonly<Record<string, string>>) => Promise<Reply>
}

/**
 * Creates the functions for a broker, with a new caller token.
 * @param connection TLS options, if the broker uses TLS
 * @param encodeBody the body as it is sent
 */
export async function tokenEndpointsOf(
  { emulator }: World,
  { url }: Pick<TestBroker, 'url'>,
  connection: Pick<SendOptions, 'ca' | 'cert' | 'key'> = {},
  encodeBody = (body: string) => body,
): Promise<TokenEndpoints> {
  const token = await emulator.mintCallerToken()
  const post = (path: string, fields: Fields, headers = {}) =>
    send(url, {
      ...connection,
      path,
      method: 'POST',
      headers: { ...form, ...headers },
      body: encodeBody(encode(fields)),
    })
  return {
    token,
    post,
    tokens: (changes, headers = { authorization: `Bearer ${token}` }) =>
      send(url, {
        ...connection,
        path: '/tokens',
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: encodeBody(JSON.stringify({ tenant: 'contoso', scope: graph, ...changes })),
      }),
    oauth: (changes, headers) =>
      post(
        '/oauth2/token',
        {
          grant_type: 'client_credentials',
          tenant: 'contoso',
          scope: graph,
          client_assertion: token,
          client_assertion_type: jwtBearer,
          ...changes,
        },
        headers,
      ),
    exchange: (changes, headers) =>
      post(
        '/oauth2/token',
        {
          grant_type: tokenExchange,
          tenant: 'contoso',
          scope: graph,
          subject_token: token,
          subject_token_type: jwtType,
          ...changes,
        },
        headers,
      ),
    entra: (changes, tenant = 'contoso', headers) =>
      post(
        `/${tenant}/oauth2/v2.0/token`,
        {
          grant_type: 'client_credentials',
          client_id: sample.application,
          scope: graph,
          client_assertion: token,
          client_assertion_type: jwtBearer,
          ...changes,
        },
        headers,
      ),
    entraV1: (changes, tenant = 'contoso', headers) =>
      post(
        `/${tenant}/oauth2/token`,
        {
          grant_type: 'client_credentials',
          client_id: sample.application,
          resource: 'https://graph.microsoft.com',
          client_assertion: token,
          client_assertion_type: jwtBearer,
          ...changes,
        },
        headers,
      ),
    identity: (changes, tenant = 'contoso', headers) =>
      send(url, {
        ...connection,
        path: `/identity/${tenant}/token?${encode({
          'api-version': '2019-08-01',
          resource: 'https://graph.microsoft.com',
          ...changes,
        })}`,
        headers: headers ?? { 'x-identity-header': token },
      }),
  }
}

/** Changes to a valid request to any token endpoint. */
export interface EndpointRequest {
  readonly tenant?: string
  readonly scope?: string
  /** `null` for a request without a credential. */
  readonly credential?: string | null
  readonly headers?: Readonly<Record<string, string>>
  /** Other fields of the body or the query. */
  readonly fields?: Fields
}

/** What the tests of all endpoints need to know about one of them. */
interface EndpointRow {
  readonly send: (to: TokenEndpoints, request?: EndpointRequest) => Promise<Reply>
  /** Fields that make a request malformed. */
  readonly malformed: Fields
}

const given = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
const assertionOf = (credential: string | null | undefined): Fields =>
  credential === null
    ? { client_assertion: undefined, client_assertion_type: undefined }
    : given({ client_assertion: credential })

/** By the endpoints' names. */
const rows: Readonly<Record<string, EndpointRow>> = {
  tokens: {
    send: (to, { tenant, scope, credential = to.token, headers, fields } = {}) =>
      to.tokens(
        { ...given({ tenant, scope }), ...fields },
        { ...(credential !== null && { authorization: `Bearer ${credential}` }), ...headers },
      ),
    malformed: { unknown: 'x' },
  },
  oauth_token: {
    send: (to, { tenant, scope, credential, headers, fields } = {}) =>
      to.oauth({ ...given({ tenant, scope }), ...assertionOf(credential), ...fields }, headers),
    malformed: { grant_type: undefined },
  },
  entra_token: {
    send: (to, { tenant, scope, credential, headers, fields } = {}) =>
      to.entra({ ...given({ scope }), ...assertionOf(credential), ...fields }, tenant, headers),
    malformed: { client_id: 'x' },
  },
  entra_v1_token: {
    send: (to, { tenant, scope, credential, headers, fields } = {}) =>
      to.entraV1(
        { ...given({ resource: scope?.replace(/\/\.default$/, '') }), ...assertionOf(credential), ...fields },
        tenant,
        headers,
      ),
    malformed: { client_id: 'x' },
  },
  identity: {
    send: (to, { tenant, scope: resource, credential = to.token, headers, fields } = {}) =>
      to.identity({ ...given({ resource }), ...fields }, tenant, {
        ...(credential !== null && { 'x-identity-header': credential }),
        ...headers,
      }),
    malformed: { resource: undefined },
  },
}

/** Every token endpoint of the broker with its row. */
export const endpointRows: readonly (EndpointRow & { readonly endpoint: TokenEndpoint })[] = tokenEndpoints().map(
  endpoint => {
    const row = rows[endpoint.name]
    assert.ok(row, `test/support/token-endpoints.ts has no row for the endpoint ${endpoint.name}`)
    return { ...row, endpoint }
  },
)

/** A token exchange: the same endpoint as `oauth_token`, with the credential in another field. */
export const exchangeRow: EndpointRow['send'] = (to, { tenant, scope, credential, headers, fields } = {}) =>
  to.exchange(
    {
      ...given({ tenant, scope, subject_token: credential ?? undefined }),
      ...(credential === null && { subject_token: undefined }),
      ...fields,
    },
    headers,
  )

/** A response's status and error, such as `401 invalid_client`. */
export const errorIn = ({ status, json }: Pick<Reply, 'status' | 'json'>): string =>
  `${status} ${String(json['error'] ?? json['code'])}`

/** What an error of an endpoint must be, by the tables of its protocol, which docs/clients.md has too. */
export function expectedError({ protocol }: TokenEndpoint, code: ErrorCode, parts: ErrorParts = {}) {
  const problem = protocol.writeError(new BrokerError(code, '', parts), { id: '', body: undefined, headers: {} })
  const json = JSON.parse(problem.body) as Reply['json']
  return { error: errorIn({ status: problem.status, json }), retryAfter: problem.headers['retry-after'] }
}
