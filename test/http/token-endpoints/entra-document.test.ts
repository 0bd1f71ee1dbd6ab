import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { send, startWorld } from '../../support/broker.ts'

const world = await startWorld()
const { emulator } = world
const broker = await world.broker({ after }, { environment: { BROKER_PUBLIC_URL: 'https://broker.example' } })

describe('the OpenID document', () => {
  const url = (tenant: string) => `${broker.url}/${tenant}/v2.0/.well-known/openid-configuration`
  test("names the broker's public URL, whatever Host says, and the keys of Entra", async () => {
    const { status, json } = await send(url('contoso'), { headers: { host: 'evil.example' } })
    assert.equal(status, 200)
    const base = 'https://broker.example/contoso'
    assert.partialDeepStrictEqual(json, {
      issuer: `${base}/v2.0`,
      authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
      token_endpoint: `${base}/oauth2/v2.0/token`,
      jwks_uri: `${emulator.entraUrl}/common/discovery/v2.0/keys`,
      token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt', 'client_secret_basic'],
    })
  })
  test('is the same for known and unknown tenants', async () => {
    const [known, none] = await Promise.all(
      ['contoso', 'unknown'].map(async name => (await send(url(name))).text.replaceAll(name, 'NAME')),
    )
    assert.equal(known, none)
  })
  for (const tenant of ['common', 'organizations', 'Contoso', '..%2fcontoso', 'a'.repeat(64), 'a'.repeat(200)])
    test(`is 400 for a malformed tenant: ${tenant.slice(0, 20)}`, async () => {
      const { status, json } = await send(url(tenant))
      assert.deepEqual([status, json['error']], [400, 'invalid_request'])
    })
  test('is 404 without BROKER_PUBLIC_URL, as an error of Entra’s protocol', async t => {
    const here = await world.broker(t)
    const { status, json } = await send(`${here.url}/contoso/v2.0/.well-known/openid-configuration`)
    assert.equal(status, 404)
    assert.match(String(json['error_description']), /BROKER_PUBLIC_URL/)
  })
})
