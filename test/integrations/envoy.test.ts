import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, describe, test } from 'node:test'
import { createAuthority } from '../../emulator/certificates.ts'
import { decodeJws } from '../../emulator/jws.ts'
import { sample } from '../../emulator/options.ts'
import { encodeKey, hashKey } from '../../src/broker/authentication/api-keys.ts'
import { graph, type Reply, send, startWorld, until } from '../support/broker.ts'
import { freePort } from '../support/ports.ts'
import { read } from '../support/sources.ts'
import { startEnvoy, withoutEnvoy } from './envoy.ts'
import { workplace } from './programs.ts'

/** examples/gateways/envoy.yaml with a real Envoy, a broker with TLS, and an API that records what it receives. */

describe('Envoy with the example', { skip: withoutEnvoy }, async () => {
  if (withoutEnvoy !== false) return
  const world = await startWorld()
  const { file, folder } = await workplace({ after })
  const authority = createAuthority('broker CA')
  const { certPem, keyPem } = authority.issue({ names: ['broker.example'] })
  const apiKey = encodeKey(Buffer.alloc(32, 3))
  await file('broker-ca.pem', authority.caPem)
  await file('broker-api-key', apiKey)
  const broker = await world.broker(
    { after },
    {
      environment: { TLS_CERT_FILE: await file('cert.pem', certPem), TLS_KEY_FILE: await file('key.pem', keyPem) },
      policy: {
        apiKeys: { gateway: { sha256: hashKey(apiKey), expires: '2099-01-01' } },
        rules: [
          { name: 'gateway', callers: [{ apiKey: 'gateway' }], tenants: ['contoso', 'fabrikam'], scopes: [graph] },
        ],
      },
    },
  )
  const received: { readonly url?: string | undefined; readonly authorization?: string | undefined }[] = []
  const api = createServer(({ url, headers: { authorization } }, response) => {
    received.push({ url, authorization })
    response.end('the API')
  })
  await new Promise<void>(resolve => api.listen(0, '127.0.0.1', resolve))
  after(() => void api.close())
  const port = await freePort()
  const apiPort = (api.address() as AddressInfo).port
  const said = startEnvoy(
    { after },
    await file(
      'envoy.yaml',
      filledIn([
        ['address: 0.0.0.0, port_value: 8080', `address: 127.0.0.1, port_value: ${port}`],
        ['address: api.internal, port_value: 8000', `address: 127.0.0.1, port_value: ${apiPort}`],
        ['address: broker.example, port_value: 443', `address: 127.0.0.1, port_value: ${new URL(broker.url).port}`],
        ['/etc/envoy', folder],
      ]),
    ),
  )
  const request = (path: string, headers: Readonly<Record<string, string>> = {}): Promise<Reply> =>
    send(`http://127.0.0.1:${port}${path}`, { headers })
  /** Until it has a token, Envoy responds with 401. */
  await until('Envoy has the tokens of both tenants', async () => {
    said()
    const replies = await Promise.allSettled(['/contoso/', '/fabrikam/'].map(path => request(path)))
    return replies.every(reply => reply.status === 'fulfilled' && reply.value.status === 200)
  })

  const rows = [
    ['/contoso/users', sample.contoso],
    ['/fabrikam/users', sample.fabrikam],
  ] as const
  for (const [path, tenant] of rows)
    test(`${path}: the API receives a token of that customer's tenant`, async () => {
      assert.equal((await request(path)).text, 'the API')
      const { url, authorization = '' } = received.at(-1) ?? {}
      assert.equal(url, '/users')
      assert.equal(decodeJws(authorization.replace('Bearer ', ''))?.payload['tid'], tenant)
    })

  test("the caller's own Authorization does not reach the API", async () => {
    await request('/contoso/users', { authorization: 'Bearer of-the-caller' })
    assert.ok(!received.at(-1)?.authorization?.includes('of-the-caller'))
  })

  test('a path without a tenant, or that leaves one, reaches no other tenant', async () => {
    for (const [path, status] of [
      ['/users', 404],
      ['/contoso/../users', 404],
      ['/contosox/users', 404],
    ] as const)
      assert.equal((await request(path)).status, status, path)
    await send(`http://127.0.0.1:${port}`, { path: '/contoso/%2e%2e/fabrikam/users' })
    const claims = decodeJws(received.at(-1)?.authorization?.replace('Bearer ', '') ?? '')?.payload
    assert.equal(claims?.['tid'], sample.fabrikam)
  })

  test('Envoy requests one token for each tenant, and its log has neither the key nor a token', () => {
    const issued = broker.events('token.issued')
    assert.equal(issued.length, 2)
    assert.deepEqual(new Set(issued.map(({ tenant }) => tenant)), new Set([sample.contoso, sample.fabrikam]))
    assert.ok(issued.every(({ endpoint, cache }) => endpoint === 'oauth_token' && cache === 'miss'))
    assert.ok(!said().includes(apiKey) && !said().includes('eyJ'))
  })
})

/** The example with the test's ports and folder. */
function filledIn(replaced: readonly (readonly [example: string, test: string])[]): string {
  let text = read('examples/gateways/envoy.yaml')
  for (const [from, to] of replaced) {
    assert.ok(text.includes(from), from)
    text = text.replaceAll(from, to)
  }
  return text
}
