import { test } from 'node:test'
import * as fc from 'fast-check'
import { graph } from '../../support/broker.ts'
import { credential, fuzz, printable, scheme, text } from './world.ts'

const headerName = fc.constantFrom(
  'X-Forwarded-For',
  'X-Forwarded-Client-Cert',
  'Client-Cert',
  'Content-Type',
  'Accept',
  'Expect',
  'Connection',
  'Cookie',
  'Origin',
  'Range',
  'Authorization',
  'Content-Encoding',
  'Transfer-Encoding',
  'Upgrade',
  'Host',
  'X',
)
const tokenRequest = fc.record(
  {
    tenant: fc.oneof(fc.constantFrom('contoso', 'fabrikam', 'nowhere', 'common'), text, fc.jsonValue()),
    scope: fc.oneof(fc.constant(graph), text, fc.jsonValue()),
    application: fc.oneof(fc.constant('default'), text, fc.jsonValue()),
    min_expires_in: fc.oneof(fc.integer(), fc.double(), fc.jsonValue()),
    other: fc.jsonValue(),
  },
  { requiredKeys: [] },
)
const body = fc.oneof(
  { weight: 3, arbitrary: fc.constant(JSON.stringify({ tenant: 'contoso', scope: graph })) },
  { weight: 3, arbitrary: tokenRequest.map(value => JSON.stringify(value)) },
  { weight: 1, arbitrary: text },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 17_000 }) },
)
const path = fc.oneof(
  { weight: 4, arbitrary: fc.constant('/tokens') },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '/livez',
      '/readyz',
      '/health',
      '/metrics',
      '/cache',
      '/cache/entries',
      '/cache/failures',
      '/openapi.json',
    ),
  },
  { weight: 1, arbitrary: fc.webQueryParameters().map(query => `/cache/entries?${query}`) },
  { weight: 1, arbitrary: fc.webQueryParameters().map(query => `/cache/failures?${query}`) },
  { weight: 1, arbitrary: fc.webQueryParameters().map(query => `/decisions?${query}`) },
  { weight: 1, arbitrary: printable.map(each => `/${each.replaceAll(' ', '')}`) },
)
const request = fc
  .record({
    method: fc.oneof(
      { weight: 6, arbitrary: fc.constant('POST') },
      { weight: 3, arbitrary: fc.constant('GET') },
      { weight: 1, arbitrary: fc.constantFrom('PUT', 'DELETE', 'OPTIONS', 'HEAD', 'BREW') },
    ),
    path,
    scheme,
    credential,
    headers: fc.array(fc.tuple(headerName, printable), { maxLength: 3 }),
    body,
  })
  .map(({ method, path: where, scheme: how, credential: what, headers, body: content }) => {
    const length = Buffer.byteLength(content)
    const lines = [
      `${method} ${where} HTTP/1.1`,
      'Host: broker',
      'Connection: close',
      `Authorization: ${how}${what.replaceAll(/[\r\n]/g, '')}`,
      'Content-Type: application/json',
      ...headers.map(([name, value]) => `${name}: ${value}`),
      `Content-Length: ${length}`,
    ]
    return `${lines.join('\r\n')}\r\n\r\n${content}`
  })

test('every request gets a response in time, never with 5xx, and memory does not grow', t =>
  fuzz(t, request, ['200', '400', '401', '404', '405']))
