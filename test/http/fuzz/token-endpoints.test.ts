import { test } from 'node:test'
import * as fc from 'fast-check'
import { sample } from '../../../emulator/options.ts'
import { tokenEndpoints } from '../../../src/http/token-endpoints/all.ts'
import type { RequestBody } from '../../../src/http/token-endpoints/token-endpoint.ts'
import { graph } from '../../support/broker.ts'
import { accessTokenType, jwtBearer, jwtType, tokenExchange } from '../../support/token-endpoints.ts'
import { credential, fuzz, good, printable, scheme, text } from './world.ts'

/** Mostly good, because nothing after a bad credential is checked. */
const presented = fc.oneof({ weight: 4, arbitrary: fc.constant(good) }, { weight: 1, arbitrary: credential })
const tenant = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('contoso', sample.contoso, 'fabrikam') },
  { weight: 1, arbitrary: fc.constantFrom('nowhere', 'common', '..', '%2e%2e', 'a%2fb', '%zz', '%00', '') },
  { weight: 1, arbitrary: text.map(encodeWhole) },
)
const clientId = fc.oneof({ weight: 4, arbitrary: fc.constant(sample.application) }, { weight: 1, arbitrary: text })
const scope = fc.oneof(
  { weight: 5, arbitrary: fc.constant(graph) },
  { weight: 2, arbitrary: fc.constantFrom('https://graph.microsoft.com', `openid ${graph}`, `${graph} ${graph}`) },
  { weight: 1, arbitrary: text },
)
const claims = fc.oneof(
  fc.constant('{"access_token":{"xms_cc":{"values":["cp1"]}}}'),
  fc.jsonValue({ maxDepth: 3 }).map(value => JSON.stringify(value)),
  text,
)
/** As part of a URI, which cannot contain lone surrogates. */
function encodeWhole(value: string): string {
  return encodeURIComponent(value.toWellFormed())
}

const target = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('https://graph.microsoft.com', graph) },
  { weight: 1, arbitrary: text },
)

const fieldValues = {
  grant_type: fc.oneof(
    { weight: 3, arbitrary: fc.constant('client_credentials') },
    { weight: 2, arbitrary: fc.constant(tokenExchange) },
    { weight: 1, arbitrary: fc.oneof(fc.constant('authorization_code'), text) },
  ),
  tenant,
  scope,
  resource: target,
  audience: target,
  client_id: clientId,
  application: fc.oneof(fc.constant('default'), clientId, text),
  client_assertion: presented,
  client_assertion_type: fc.oneof({ weight: 4, arbitrary: fc.constant(jwtBearer) }, { weight: 1, arbitrary: text }),
  subject_token: presented,
  subject_token_type: fc.oneof(fc.constantFrom(jwtType, accessTokenType), text),
  claims,
  client_secret: text,
}
type Field = keyof typeof fieldValues
/** Fields of a good request: some are left out, others are added or sent twice. */
const fieldsOf = (usual: readonly Field[]) =>
  fc
    .tuple(
      fc.record(Object.fromEntries(usual.map(name => [name, fieldValues[name]]))),
      fc.subarray([...usual], { minLength: usual.length - 1 }),
      fc.array(
        fc.oneof(
          fc
            .constantFrom(...(Object.keys(fieldValues) as Field[]))
            .chain(name => fieldValues[name].map(value => [name, value])),
          fc.tuple(text, text),
        ),
        { maxLength: 1 },
      ),
    )
    .map(([values, kept, more]) => [
      ...kept.map(name => [name, String(values[name])]),
      ...more.map(([name = '', value = '']) => [name, value]),
    ])
    .map(pairs => new URLSearchParams(pairs.map(([name = '', value = '']) => [name, value])).toString())

const content = (usual: readonly Field[]) =>
  fc.oneof(
    { weight: 8, arbitrary: fieldsOf(usual) },
    { weight: 1, arbitrary: text },
    { weight: 1, arbitrary: printable },
  )
const headers = fc.array(
  fc.tuple(
    fc.constantFrom('Content-Type', 'X-Identity-Header', 'Sec-Fetch-Site', 'Client-Cert', 'Metadata', 'Expect', 'X'),
    printable,
  ),
  { maxLength: 1 },
)
const authorization = fc.oneof(
  { weight: 5, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.tuple(scheme, credential).map(([how, what]) => `${how}${what}`) },
)
/** A request as bytes on the wire. */
const raw = (method: string, path: string, lines: readonly (readonly [name: string, value: string])[], body = '') =>
  [
    `${method} ${path} HTTP/1.1`,
    'Host: broker',
    'Connection: close',
    ...lines.map(([name, value]) => `${name}: ${value.replaceAll(/[\r\n]/g, '')}`),
    `Content-Length: ${Buffer.byteLength(body)}`,
    '',
    body,
  ].join('\r\n')

const post = (path: fc.Arbitrary<string>, usual: readonly Field[]) =>
  fc
    .tuple(path, content(usual), headers, authorization)
    .map(([where, body, more, by]) =>
      raw(
        'POST',
        where,
        [
          ['Content-Type', 'application/x-www-form-urlencoded'],
          ...(by === undefined ? [] : ([['Authorization', by]] as const)),
          ...more,
        ],
        body,
      ),
    )

/** The fields of a good request with a client assertion, by an endpoint's schema. */
function usualFields({ schema }: RequestBody): readonly Field[] {
  const { required = [], properties = {} } = schema as { required?: readonly string[]; properties?: object }
  const more = ['scope', 'client_assertion', 'client_assertion_type', 'claims'].filter(name => name in properties)
  return [...new Set([...required, ...more])].filter(name => name in fieldValues) as Field[]
}
const forms = tokenEndpoints().flatMap(({ path, body }) =>
  body?.mediaType === 'application/x-www-form-urlencoded'
    ? [
        post(
          tenant.map(whose => path.replace(':tenant', whose)),
          usualFields(body),
        ),
      ]
    : [],
)
const exchange = ['grant_type', 'scope', 'tenant', 'subject_token', 'subject_token_type'] as const
const identity = fc
  .tuple(tenant, scope, fc.option(clientId), fc.option(fc.webQueryParameters()), presented, headers)
  .map(([whose, resource, client, query, by, more]) => {
    const ids = client === null ? '' : `&client_id=${encodeWhole(client)}`
    const path = `/identity/${whose}/token?resource=${encodeWhole(resource)}${ids}&${query ?? ''}`
    return raw('GET', path, [['X-Identity-Header', by], ...more])
  })
const others = fc
  .tuple(
    fc.constantFrom('GET', 'POST', 'HEAD', 'PUT'),
    tenant.chain(whose =>
      fc.constantFrom(
        `/${whose}/v2.0/.well-known/openid-configuration`,
        '/.well-known/oauth-authorization-server',
        `/${whose}/oauth2/v2.0/token`,
        `/identity/${whose}`,
        '/oauth2/token/',
      ),
    ),
  )
  .map(([method, path]) => raw(method, path, []))

test('every request in another protocol gets a response in time, never with 5xx, and memory does not grow', t =>
  fuzz(t, fc.oneof(...forms, post(fc.constant('/oauth2/token'), exchange), identity, others), [
    '200',
    '400',
    '401',
    '404',
    '405',
    '415',
  ]))
