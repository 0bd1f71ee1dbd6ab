import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { graph, sampleCaller, startWorld } from '../../support/broker.ts'
import { type Fields, tokenEndpointsOf } from '../../support/token-endpoints.ts'

/** Which resource a request to `POST /oauth2/token` is for: `scope`, `resource` (RFC 8707) or `audience` (RFC 8693 §2.1). */

const resource = 'https://graph.microsoft.com'
const world = await startWorld()
const broker = await world.broker({ after })
const { oauth, exchange } = await tokenEndpointsOf(world, broker)
const grants = { 'client credentials': oauth, 'token exchange': exchange }

type Row = readonly [why: string, fields: Fields]
const accepted: readonly Row[] = [
  ['resource in place of scope: /.default is appended', { scope: undefined, resource }],
  ['audience in place of scope', { scope: undefined, audience: resource }],
  ['resource as a scope: nothing is appended', { scope: undefined, resource: graph }],
  ['scope and resource that name the same, as an MCP client sends both', { resource }],
  ['all three, in both spellings', { resource, audience: graph }],
  ['resource beside an empty scope, which counts as absent', { scope: '', resource }],
  ['resource beside scopes that act for a user, which are ignored', { scope: 'openid', resource }],
  ['scopes that act for a user, as libraries add them', { scope: `openid ${graph} profile offline_access` }],
  ['an empty resource and an empty audience, which count as absent', { resource: '', audience: '' }],
]

const refused: readonly (readonly [...Row, error: string])[] = [
  ['two resources in scope', { scope: `${graph} https://management.azure.com/.default` }, 'invalid_scope'],
  ['the same resource twice in scope', { scope: `${graph} ${graph}` }, 'invalid_scope'],
  ['a scope that acts for a user, and that libraries do not add', { scope: `${graph} email` }, 'invalid_scope'],
  ['nothing but scopes that act for a user', { scope: 'openid profile' }, 'invalid_request'],
  ['none of the three', { scope: undefined }, 'invalid_request'],
  ['none of the three, all empty', { scope: '', resource: '', audience: '' }, 'invalid_request'],
  ['scope and resource differ', { resource: 'https://management.azure.com' }, 'invalid_target'],
  ['scope and resource differ in a slash, which counts', { resource: `${resource}/` }, 'invalid_target'],
  ['scope and resource differ in case, which counts', { resource: 'https://Graph.microsoft.com' }, 'invalid_target'],
  ['resource and audience differ', { scope: undefined, resource, audience: 'api://orders' }, 'invalid_target'],
  ['a resource beside two scopes', { scope: `${graph} api://orders/.default`, resource }, 'invalid_target'],
  ["a scope's name beside a resource: a name is no resource", { scope: 'graph', resource }, 'invalid_target'],
  ['two resources (RFC 8707 §2)', { resource: [resource, 'api://orders'] }, 'invalid_target'],
  ['the same resource twice', { resource: [resource, resource] }, 'invalid_target'],
  ['a second resource after an empty one', { resource: ['', resource] }, 'invalid_target'],
  ['two audiences (RFC 8693 §2.1)', { audience: [resource, 'api://orders'] }, 'invalid_target'],
  ['a resource with a blank', { scope: undefined, resource: `${resource} x` }, 'invalid_target'],
  ['a resource beyond ASCII', { scope: undefined, resource: 'https://gräph' }, 'invalid_target'],
  ['a resource of 481 characters', { scope: undefined, resource: `api://${'a'.repeat(475)}` }, 'invalid_target'],
]

for (const [grant, send] of Object.entries(grants)) {
  describe(`${grant}: the resource is that of scope, resource or audience`, () => {
    for (const [why, fields] of accepted)
      test(why, async () => {
        const { status, json, text } = await send(fields)
        assert.deepEqual([status, json['scope']], [200, graph], text)
      })
  })

  describe(`${grant}: a request for several resources, or for none, is refused`, () => {
    for (const [why, fields, error] of refused)
      test(`${error}: ${why}`, async () => {
        const { status, json, text } = await send(fields)
        assert.deepEqual([status, json['error']], [400, error], text)
      })
  })
}

describe('the policy decides by the scope that the resource stands for, byte for byte', () => {
  const rule = { name: 'one', callers: [sampleCaller], tenants: ['contoso'] }
  const withSlash = 'https://management.azure.com//.default'
  const rows: readonly (readonly [why: string, resource: string, status: number])[] = [
    ['a slash at the end makes two', 'https://management.azure.com/', 200],
    ['without it, the scope is another one', 'https://management.azure.com', 400],
    ['a resource of 480 characters is well-formed, and not granted', `api://${'a'.repeat(474)}`, 400],
  ]
  for (const [why, named, status] of rows)
    test(why, async t => {
      const here = await world.broker(t, { policy: { rules: [{ ...rule, scopes: [withSlash] }] } })
      const to = await tokenEndpointsOf(world, here)
      const reply = await to.exchange({ scope: undefined, resource: named })
      assert.deepEqual([reply.status, reply.json['error']], [status, status === 200 ? undefined : 'invalid_target'])
      const event = here.events(status === 200 ? 'token.issued' : 'token.denied')[0]
      assert.equal(event?.['scope'], status === 200 ? withSlash : `${named}/.default`)
    })
})

test('a resource that client credentials may not have is unauthorized_client: the client is refused', async () => {
  const { status, json } = await oauth({ scope: undefined, resource: 'https://management.azure.com' })
  assert.deepEqual([status, json['error']], [400, 'unauthorized_client'])
})

/** Upstream errors of requests that name the same scope in different parameters. */
const byParameter: readonly (readonly [why: string, fields: Fields, error: string])[] = [
  ['scope', {}, 'invalid_scope'],
  ['scope, beside an empty resource', { resource: '' }, 'invalid_scope'],
  ['resource', { scope: undefined, resource }, 'invalid_target'],
  ['audience', { scope: undefined, audience: resource }, 'invalid_target'],
  ['scope and resource', { resource }, 'invalid_target'],
]
for (const grant of ['oauth', 'exchange'] as const)
  for (const [why, fields, error] of byParameter)
    test(`${grant}: an invalid_scope of Entra is ${error}, if the request names the resource in ${why} (RFC 8707 §2)`, async t => {
      const to = await tokenEndpointsOf(world, await world.broker(t))
      world.emulator.fault({ kind: 'aadsts', at: 'token', code: 70011, error: 'invalid_scope' })
      t.after(() => world.emulator.clearFaults())
      for (const how of ['from Entra', 'cached']) {
        const { status, json, text } = await to[grant](fields)
        assert.deepEqual([status, json['error']], [400, error], `${how}: ${text}`)
        assert.deepEqual(json['upstream'], { error: 'invalid_scope', codes: [70011] })
      }
    })

test('the response says which parameters disagree', async () => {
  const { json } = await exchange({ resource: 'api://orders' })
  assert.match(
    String(json['error_description']),
    /^A token is for one resource, but scope, resource and audience name /,
  )
})
