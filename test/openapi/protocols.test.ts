import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { graph, type Reply, send } from '../support/broker.ts'
import { assertDocumented, document, operationOf } from './document.ts'
import { brokerOptions, documentedWorld } from './world.ts'

/** Answers in protocols of others are as the document says, the examples of requests among what is asked. */

const world = await documentedWorld()
const { emulator } = world
const { policy } = brokerOptions(world)
const publicUrl = 'https://broker.example'
const broker = await world.broker({ after }, { policy: policy ?? {}, environment: { BROKER_PUBLIC_URL: publicUrl } })
const token = await emulator.mintCallerToken()
const expired = await emulator.mintCallerToken({}, { expiresIn: -60 })
const type = { 'content-type': 'application/x-www-form-urlencoded' }
const { applications = {} } = (policy ?? {}) as { applications?: Record<string, string> }
const clientId = applications['default'] ?? ''

const form = (path: string, body: Readonly<Record<string, string>>) =>
  send(broker.url + path, { method: 'POST', headers: type, body: new URLSearchParams(body).toString() })

/** The example's form with a credential that is good, or another one. */
function posted(operationId: string, path: string, credential = token, change: Readonly<Record<string, string>> = {}) {
  const { content = {} } = operationOf(operationId).requestBody ?? {}
  const examples = Object.values(content['application/x-www-form-urlencoded']?.examples ?? {})
  assert.ok(examples.length > 0)
  return examples.map(({ value }) => {
    const body = { ...(value as Record<string, string>) }
    for (const name of ['client_assertion', 'subject_token']) if (name in body) body[name] = credential
    return form(path, { ...body, ...change })
  })
}

const identity = (query: string, headers: Readonly<Record<string, string>> = { 'x-identity-header': token }) =>
  send(`${broker.url}/identity/contoso/token?resource=${encodeURIComponent(graph)}${query}`, { headers })

const rows: readonly (readonly [operationId: string, status: number, ask: () => readonly Promise<Reply>[]])[] = [
  ['issueOAuthToken', 200, () => posted('issueOAuthToken', '/oauth2/token')],
  ['issueOAuthToken', 400, () => posted('issueOAuthToken', '/oauth2/token', token, { tenant: 'fabrikam' })],
  ['issueOAuthToken', 401, () => posted('issueOAuthToken', '/oauth2/token', expired).slice(0, 1)],
  ['issueOAuthToken', 400, () => posted('issueOAuthToken', '/oauth2/token', token, { scope: 'User.Read' })],
  ['issueOAuthToken', 413, () => posted('issueOAuthToken', '/oauth2/token', 'x'.repeat(17_000))],
  ['issueEntraToken', 200, () => posted('issueEntraToken', '/contoso/oauth2/v2.0/token')],
  ['issueEntraToken', 400, () => posted('issueEntraToken', '/fabrikam/oauth2/v2.0/token')],
  ['issueEntraToken', 401, () => posted('issueEntraToken', '/contoso/oauth2/v2.0/token', expired)],
  ['issueEntraToken', 401, () => posted('issueEntraToken', '/tailspin/oauth2/v2.0/token')],
  ['getIdentityToken', 200, () => [identity(''), identity(`&client_id=${clientId}`)]],
  ['getIdentityToken', 400, () => [identity('&client_id=x')]],
  ['getIdentityToken', 401, () => [identity('', {}), identity('', { 'x-identity-header': expired })]],
  ['getOAuthMetadata', 200, () => [send(`${broker.url}/.well-known/oauth-authorization-server`)]],
  ['getOpenIdConfiguration', 200, () => [send(`${broker.url}/contoso/v2.0/.well-known/openid-configuration`)]],
  ['getOpenIdConfiguration', 400, () => [send(`${broker.url}/common/v2.0/.well-known/openid-configuration`)]],
]

describe('an answer in a protocol of others is as the document says', () => {
  for (const [nth, [operationId, status, ask]] of rows.entries())
    test(`${nth}: ${operationId} ${status}`, async () => {
      for (const reply of await Promise.all(ask())) {
        assert.equal(reply.status, status, reply.text)
        assertDocumented(operationOf(operationId), reply)
      }
    })

  test('also when the broker cannot help, with Retry-After', async t => {
    const here = await world.broker(t, brokerOptions(world))
    emulator.fault({ kind: 'reset', at: 'identity' })
    t.after(() => emulator.clearFaults())
    const body = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: clientId,
      scope: graph,
      client_assertion: token,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    })
    const options = { method: 'POST', headers: type }
    const asked: readonly (readonly [operationId: string, reply: Reply])[] = [
      ['issueEntraToken', await send(`${here.url}/contoso/oauth2/v2.0/token`, { ...options, body: body.toString() })],
      [
        'issueOAuthToken',
        await send(`${here.url}/oauth2/token`, { ...options, body: `${body.toString()}&tenant=contoso` }),
      ],
      [
        'getIdentityToken',
        await send(`${here.url}/identity/contoso/token?resource=${graph}`, { headers: { 'x-identity-header': token } }),
      ],
    ]
    for (const [operationId, reply] of asked) {
      assert.equal(reply.status, 503, reply.text)
      assertDocumented(operationOf(operationId), reply)
    }
  })
})

test('the description names every endpoint that speaks a protocol of others', () => {
  const paths = Object.keys(document.paths)
  for (const path of ['/oauth2/token', '/{tenant}/oauth2/v2.0/token', '/identity/{tenant}/token'])
    assert.ok(paths.includes(path), path)
})
