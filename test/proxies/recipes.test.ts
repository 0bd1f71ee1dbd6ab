import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parse } from 'yaml'
import { isObject } from '../../src/broker/lib/json-members.ts'
import { clientCertHeaders } from '../../src/config/clients.ts'
import { filesBelow, read } from '../support/sources.ts'

const recipes = filesBelow('examples/proxies').filter(path => !path.endsWith('traefik-passthrough.yaml'))
const cleared = ['client-cert', 'client-cert-chain', 'x-forwarded-client-cert']

/** The headers that a recipe removes or overwrites, in lower case. */
const clearing: Readonly<Record<string, (text: string) => readonly string[]>> = {
  'haproxy.cfg': text => [...text.matchAll(/^ *http-request del-header (\S+)$/gm)].map(([, name = '']) => name),
  'nginx.conf': text =>
    [...text.matchAll(/^ *proxy_set_header (\S+-Cert\S*) (?:""|\$verified_client_cert);$/gm)].map(
      ([, name = '']) => name,
    ),
  Caddyfile: text => [...text.matchAll(/^\t*request_header -(\S+)$/gm)].map(([, name = '']) => name),
  'apache.conf': text => [...text.matchAll(/^ *RequestHeader unset (\S+)$/gm)].map(([, name = '']) => name),
  'envoy.yaml': text => [
    ...valuesOf(parse(text), 'request_headers_to_remove').flat().map(String),
    ...(valuesOf(parse(text), 'forward_client_cert_details').includes('SANITIZE_SET')
      ? ['X-Forwarded-Client-Cert']
      : []),
  ],
  'traefik.yaml': text =>
    valuesOf(parse(text), 'customRequestHeaders').flatMap(headers =>
      Object.entries(isObject(headers) ? headers : {}).flatMap(([name, value]) => (value === '' ? [name] : [])),
    ),
}

function valuesOf(value: unknown, key: string): unknown[] {
  if (Array.isArray(value)) return value.flatMap(each => valuesOf(each, key))
  if (!isObject(value)) return []
  return Object.entries(value).flatMap(([name, each]) => [...(name === key ? [each] : []), ...valuesOf(each, key)])
}

describe('a recipe for a proxy', () => {
  for (const path of recipes) {
    const name = path.split('/').at(-1) ?? ''
    const text = read(path)

    test(`${name} clears every header that may contain a certificate, whichever it sets`, () => {
      const names = clearing[name]?.(text).map(header => header.toLowerCase()) ?? []
      assert.deepEqual(names.filter(header => header !== 'x-forwarded-for').toSorted(), cleared)
    })

    test(`${name} names the broker's settings`, () => {
      assert.match(text, /BROKER_TRUSTED_PROXIES=/)
      const [, header = ''] = /BROKER_CLIENT_CERT_HEADER=(\S+)/.exec(text) ?? []
      assert.ok(header === '' ? name === 'traefik.yaml' : clientCertHeaders.some(known => known === header))
    })
  }

  test('there is one for each proxy of the page', () => {
    assert.deepEqual(recipes.map(path => path.split('/').at(-1) ?? '').toSorted(), Object.keys(clearing).toSorted())
    for (const path of recipes) assert.ok(read('docs/proxies.md').includes(`../${path}`), path)
  })
})
