import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { decodeJws, type Json } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { encodeKey, hashKey } from '../../src/broker/authentication/api-keys.ts'
import { longestMinExpiresIn } from '../../src/http/schemas/requests.ts'
import { graph, type Reply, send, startWorld } from '../support/broker.ts'
import { customers, documentsOf, valueAt } from './customers.ts'

/**
 * examples/external-secrets/webhook.yaml and examples/gateways/envoy-ai-gateway.yaml, with the request that External Secrets
 * v2.9.0 makes of a generator `Webhook`: `GetWebhookData` and `executeRequest` in providers/v1/webhook/pkg/webhook/webhook.go,
 * and how `GetSecretMap` there and `GetByteValue` in runtime/esutils/utils.go make a Secret of the response. The operator
 * itself does not run here.
 */

/** A generator with the documents beside it. */
interface Example {
  readonly spec: Json
  readonly externalSecret: Json
}

function exampleOf(file: string): Example {
  const documents = documentsOf(file)
  const ofKind = (kind: string) => documents.find(each => each['kind'] === kind)
  const [generator, externalSecret] = [ofKind('Webhook'), ofKind('ExternalSecret')]
  assert.ok(generator && externalSecret, file)
  return { spec: valueAt(generator, 'spec') as Json, externalSecret }
}

const examples = { graph: exampleOf('external-secrets/webhook.yaml'), mcp: exampleOf('gateways/envoy-ai-gateway.yaml') }
const apiKey = encodeKey(Buffer.alloc(32, 7))
const world = await startWorld(customers)
const broker = await world.broker(
  { after },
  {
    policy: {
      apiKeys: { operator: { sha256: hashKey(apiKey), expires: '2099-01-01' } },
      rules: [
        {
          name: 'secrets',
          callers: [{ apiKey: 'operator' }],
          tenants: ['contoso'],
          scopes: [graph, 'api://orders/.default'],
        },
      ],
    },
  },
)

/** A Go template that names fields of the Secrets of a generator, or of its result. */
const filledIn = (template: string, fields: Readonly<Record<string, string>>): string =>
  template.replaceAll(/{{ \.([\w.]+) }}/g, (_, name: string) => fields[name] ?? assert.fail(name))

function request({ spec }: Example, key = apiKey): Promise<Reply> {
  const fields = { [`${String(valueAt(spec, 'secrets', 0, 'name'))}.key`]: key }
  const { pathname, origin } = new URL(String(spec['url']))
  assert.equal(origin, 'https://broker.example')
  const headers = Object.entries(spec['headers'] as Record<string, string>)
  return send(broker.url + pathname, {
    method: String(spec['method']),
    headers: Object.fromEntries(headers.map(([name, value]) => [name, filledIn(value, fields)])),
    body: filledIn(String(spec['body']), fields),
  })
}

/** The fields of the Secret that an ExternalSecret writes. Each field of the response is a field for its template. */
function secretOf({ externalSecret }: Example, response: Json): Readonly<Record<string, string>> {
  const fields = Object.fromEntries(Object.entries(response).map(([name, value]) => [name, String(value)]))
  const templates = valueAt(externalSecret, 'spec', 'target', 'template', 'data') as Record<string, string>
  return Object.fromEntries(Object.entries(templates).map(([name, template]) => [name, filledIn(template, fields)]))
}

const rows = [
  ['examples/external-secrets/webhook.yaml', examples.graph, 'token', 'https://graph.microsoft.com'],
  ['examples/gateways/envoy-ai-gateway.yaml', examples.mcp, 'apiKey', '50000000-0000-4000-8000-000000000002'],
] as const
for (const [file, example, field, audience] of rows)
  describe(file, () => {
    test("the Secret has a token of the customer's tenant", async () => {
      const { status, json, text } = await request(example)
      assert.equal(status, 200, text)
      assert.equal(valueAt(example.spec, 'result', 'jsonPath'), '$')
      const claims = decodeJws(secretOf(example, json)[field] ?? '')?.payload
      assert.deepEqual([claims?.['tid'], claims?.['aud']], [sample.contoso, audience])
    })

    test('until it is written again, the token is valid, and half of its guaranteed life is left', () => {
      const body = JSON.parse(String(example.spec['body'])) as Json
      const [, minutes = ''] = /^(\d+)m$/.exec(String(valueAt(example.externalSecret, 'spec', 'refreshInterval'))) ?? []
      assert.equal(body['min_expires_in'], longestMinExpiresIn)
      assert.equal(Number(minutes) * 60 * 2, longestMinExpiresIn)
    })

    test('it waits longer than the broker tries Entra', () => assert.equal(example.spec['timeout'], '20s'))

    test('the ExternalSecret names the generator, in the same namespace', () => {
      const named = valueAt(example.externalSecret, 'spec', 'dataFrom', 0, 'sourceRef', 'generatorRef')
      const generator = documentsOf(file.replace('examples/', '')).find(each => each['kind'] === 'Webhook')
      const name = valueAt(generator, 'metadata', 'name')
      assert.deepEqual(named, { apiVersion: generator?.['apiVersion'], kind: 'Webhook', name })
      const namespaces = documentsOf(file.replace('examples/', '')).map(each => valueAt(each, 'metadata', 'namespace'))
      assert.equal(new Set(namespaces).size, 1)
    })
  })

test('the Secret with the API key has the label without which the generator does not read it', () => {
  const secret = documentsOf('external-secrets/webhook.yaml').find(each => each['kind'] === 'Secret')
  assert.equal(valueAt(secret, 'metadata', 'labels', 'external-secrets.io/type'), 'webhook')
  assert.deepEqual(Object.keys(valueAt(secret, 'stringData') as Json), ['key'])
  assert.equal(valueAt(secret, 'metadata', 'name'), valueAt(examples.graph.spec, 'secrets', 0, 'secretRef', 'name'))
})

test('the route of Envoy AI Gateway reads the Secret that the ExternalSecret writes', () => {
  const route = documentsOf('gateways/envoy-ai-gateway.yaml').find(each => each['kind'] === 'MCPRoute')
  const secret = valueAt(route, 'spec', 'backendRefs', 0, 'securityPolicy', 'apiKey', 'secretRef', 'name')
  assert.equal(secret, valueAt(examples.mcp.externalSecret, 'spec', 'target', 'name'))
  // `readAPIKey` in internal/controller/mcp_route.go of v1.1.0 reads the field of this name.
  const fields = Object.keys(valueAt(examples.mcp.externalSecret, 'spec', 'target', 'template', 'data') as Json)
  assert.deepEqual(fields, ['apiKey'])
})

describe('a refusal is no Secret: the operator reads a 2xx only', () => {
  const refused: readonly (readonly [why: string, example: Example, key: string, status: number])[] = [
    ['a wrong key', examples.graph, encodeKey(Buffer.alloc(32, 8)), 401],
    [
      'a tenant that is not granted',
      {
        ...examples.graph,
        spec: { ...examples.graph.spec, body: String(examples.graph.spec['body']).replace('contoso', 'fabrikam') },
      },
      apiKey,
      403,
    ],
  ]
  for (const [why, example, key, status] of refused)
    test(`${status}: ${why}`, async () => {
      const reply = await request(example, key)
      // 404 would be a missing secret, and 304 an unchanged one.
      assert.deepEqual([reply.status, reply.json['access_token']], [status, undefined])
    })
})
