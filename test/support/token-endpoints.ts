import { sample } from '../../emulator/options.ts'
import { graph, type Reply, send, type SendOptions, type TestBroker, type World } from './broker.ts'

/** Fields of a form or a query: a list repeats one, `undefined` leaves it out. */
export type Fields = Readonly<Record<string, string | readonly string[] | undefined>>

export const encode = (fields: Fields): string =>
  new URLSearchParams(
    Object.entries(fields).flatMap(([name, value]) =>
      value === undefined ? [] : [value].flat().map(each => [name, each]),
    ),
  ).toString()

export const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
export const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const jwtType = 'urn:ietf:params:oauth:token-type:jwt'
export const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token'
const form = { 'content-type': 'application/x-www-form-urlencoded' }

/** Each way in, with a good request that changes make bad. */
export interface TokenEndpoints {
  /** A good caller's token. */
  readonly token: string
  /** The headers replace the good credential. */
  readonly tokens: (changes?: Fields, headers?: Readonly<Record<string, string>>) => Promise<Reply>
  readonly oauth: (changes?: Fields, headers?: Readonly<Record<string, string>>) => Promise<Reply>
  readonly exchange: (changes?: Fields, headers?: Readonly<Record<string, string>>) => Promise<Reply>
  readonly entra: (changes?: Fields, tenant?: string, headers?: Readonly<Record<string, string>>) => Promise<Reply>
  readonly identity: (changes?: Fields, tenant?: string, headers?: Readonly<Record<string, string>>) => Promise<Reply>
}

/** @param connection what TLS needs, where the broker speaks it */
export async function tokenEndpointsOf(
  { emulator }: World,
  { url }: Pick<TestBroker, 'url'>,
  connection: Pick<SendOptions, 'ca' | 'cert' | 'key'> = {},
): Promise<TokenEndpoints> {
  const token = await emulator.mintCallerToken()
  const post = (path: string, fields: Fields, headers = {}) =>
    send(url, { ...connection, path, method: 'POST', headers: { ...form, ...headers }, body: encode(fields) })
  return {
    token,
    tokens: (changes, headers = { authorization: `Bearer ${token}` }) =>
      send(url, {
        ...connection,
        path: '/tokens',
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ tenant: 'contoso', scope: graph, ...changes }),
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
