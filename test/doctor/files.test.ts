import assert from 'node:assert/strict'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import { createAuthority, type LeafOptions } from '../../emulator/certificates.ts'
import type { Json } from '../../emulator/jws.ts'
import type { CheckId } from '../../src/doctor/check-table.ts'
import { freePort } from '../support/ports.ts'
import { idsOf, startDoctorWorld, textOf } from './world.ts'

// Certificates and API keys that end, and the keys of issuers.

const world = await startDoctorWorld()
const { emulator } = world
const ca = createAuthority('callers CA')

const tlsOf = async (t: TestContext, options: LeafOptions, otherKey = false) => {
  const { certPem, keyPem } = ca.issue(options)
  const TLS_KEY_FILE = await world.file(t, otherKey ? ca.issue().keyPem : keyPem)
  return { TLS_CERT_FILE: await world.file(t, certPem), TLS_KEY_FILE }
}

describe('what ends is reported', () => {
  for (const [what, options, otherKey, status, says] of [
    ['a certificate that lives long enough', { days: 60 }, false, 'ok', /ends on \d{4}-\d\d-\d\d/],
    ['a certificate that ends within two weeks', { days: 5 }, false, 'warning', /ends in 4 days[\s\S]*renew it/],
    ['a certificate that has ended', { from: -3, days: -1 }, false, 'failed', /has ended/],
    ['a certificate that is not valid yet', { from: 2, days: 60 }, false, 'failed', /not valid yet/],
    [
      'a key of another certificate',
      {},
      true,
      'failed',
      /TLS_CERT_FILE, TLS_KEY_FILE\n.*the key does not belong|must be a certificate and its private key/,
    ],
  ] as const)
    test(what, async t => {
      const report = await world.examine(t, { environment: await tlsOf(t, options, otherKey) })
      assert.match(textOf(report, 'settings.certificate'), says)
      assert.ok(idsOf(report, status).includes('settings.certificate'))
      assert.deepEqual(idsOf(report, 'failed'), status === 'failed' ? ['settings.certificate'] : [])
    })

  test('an intermediate CA that ends sooner than the certificate', async t => {
    const { certPem, keyPem } = ca.issue({ days: 60 })
    const environment = {
      TLS_CERT_FILE: await world.file(t, `${certPem}\n${ca.caPem}`),
      TLS_KEY_FILE: await world.file(t, keyPem),
    }
    const report = await world.examine(t, { environment })
    assert.match(textOf(report, 'settings.certificate'), /the CA CN=callers CA ends in [67] days/)
  })

  test('a TLS file that does not exist', async t => {
    const environment = { ...(await tlsOf(t, {})), TLS_KEY_FILE: '/nowhere/key.pem' }
    const report = await world.examine(t, { environment })
    assert.match(textOf(report, 'settings.certificate'), /TLS_KEY_FILE\n.*ENOENT/)
  })

  test('client CAs: one that ends soon, and a file without one', async t => {
    const tls = await tlsOf(t, { days: 60 })
    const TLS_CLIENT_CA_FILE = await world.file(t, ca.caPem)
    const soon = await world.examine(t, { environment: { ...tls, TLS_CLIENT_CA_FILE } })
    assert.match(textOf(soon, 'settings.client-ca'), /the CA CN=callers CA ends in [67] days/)
    const none = await world.examine(t, { environment: { ...tls, TLS_CLIENT_CA_FILE: await world.file(t, 'none') } })
    assert.deepEqual(idsOf(none, 'failed'), ['settings.client-ca'])
  })

  test('an API key that has expired, and one that expires soon', async t => {
    const day = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10)
    const apiKeys = {
      old: { sha256: 'a'.repeat(64), expires: '2026-01-01' },
      soon: { sha256: 'b'.repeat(64), expires: day(5) },
      late: { sha256: 'c'.repeat(64), expires: day(90) },
    }
    const report = await world.examine(t, { policy: { apiKeys } })
    assert.equal(report.ok, true)
    assert.match(
      textOf(report, 'settings.callers'),
      /"old" has expired[\s\S]*token-broker key new[\s\S]*"soon" expires in/,
    )
    assert.doesNotMatch(textOf(report, 'settings.callers'), /late/)
  })

  test('an issuer of Entra that matches no token', async t => {
    const entra = { issuer: 'https://login.microsoftonline.com/common/v2.0', audiences: ['x'], jwksFile: '/nowhere' }
    const report = await world.examine(t, {
      policy: { issuers: { emulator: { issuer: emulator.callerIssuer, audiences: ['a'] }, entra } },
    })
    assert.match(textOf(report, 'settings.callers'), /issuers\.entra\.issuer: matches no token/)
  })
})

async function serve(t: TestContext, respond: RequestListener, tls = false): Promise<string> {
  const { certPem: cert, keyPem: key } = ca.issue()
  const server: Server = tls ? createHttpsServer({ cert, key }, respond) : createHttpServer(respond)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => void server.close())
  return `${tls ? 'https://localhost' : 'http://127.0.0.1'}:${(server.address() as AddressInfo).port}`
}

const refuse: RequestListener = (_, response) => response.writeHead(401).end('{"kind":"Status"}')

describe('the keys of each issuer', () => {
  const rows: readonly {
    readonly fault: string
    readonly says: RegExp
    readonly plant: (t: TestContext) => Promise<Json>
  }[] = [
    {
      fault: 'a private cluster that refuses anonymous reads',
      says: /HTTP 401[\s\S]*kubectl get --raw \/openid\/v1\/jwks > jwks\.json[\s\S]*issuers\.cluster\.jwksFile[\s\S]*jwksTokenFile/,
      plant: async t => ({ issuer: await serve(t, refuse) }),
    },
    {
      fault: 'a CA that is not trusted',
      says: /issued by a CA that is not trusted here[\s\S]*issuers\.cluster\.caFile/,
      plant: async t => ({ issuer: await serve(t, refuse, true) }),
    },
    {
      fault: 'an issuer that cannot be reached',
      says: /ECONNREFUSED[\s\S]*a private cluster, or a firewall[\s\S]*curl/,
      plant: async () => ({ issuer: `http://127.0.0.1:${await freePort()}` }),
    },
    {
      fault: 'an issuer that does not respond',
      says: /a private cluster, or a firewall/,
      plant: async t => ({ issuer: await serve(t, () => undefined) }),
    },
    {
      fault: 'a discovery document of another issuer',
      says: /names another issuer[\s\S]*Compare issuers\.cluster/,
      plant: async t => ({
        issuer: await serve(t, (_, response) => response.end('{"issuer":"https://other.example"}')),
      }),
    },
    {
      fault: 'a jwksFile that does not exist',
      says: /issuers\.cluster\.jwksFile: ENOENT[\s\S]*mount the file/,
      plant: () => Promise.resolve({ issuer: 'https://cluster.example', jwksFile: '/nowhere/jwks.json' }),
    },
  ]
  for (const { fault, says, plant } of rows)
    test(fault, async t => {
      const issuers = {
        emulator: { issuer: emulator.callerIssuer, audiences: ['token-broker'] },
        cluster: { audiences: ['token-broker'], ...(await plant(t)) },
      }
      const report = await world.examine(t, {
        policy: { issuers },
        environment: { BROKER_UPSTREAM_TIMEOUT_MS: '2000' },
      })
      const failed: readonly CheckId[] = ['issuers.keys']
      assert.deepEqual(idsOf(report, 'failed'), failed)
      const lines = report.checks.filter(({ id }) => id === 'issuers.keys')
      assert.deepEqual(
        lines.map(({ subject, status }) => `${subject} ${status}`),
        ['emulator ok', 'cluster failed'],
      )
      assert.match(textOf(report, 'issuers.keys'), says)
    })

  test('of twenty, and a line says how many more there are', async t => {
    const issuer = (nth: number): Json => ({
      issuer: `https://cluster-${nth}.example`,
      audiences: ['token-broker'],
      jwksFile: '/nowhere/jwks.json',
    })
    const issuers = Object.fromEntries(Array.from({ length: 23 }, (_, nth) => [`cluster-${nth}`, issuer(nth)]))
    const emulated = { issuer: emulator.callerIssuer, audiences: ['token-broker'] }
    const report = await world.examine(t, { policy: { issuers: { emulator: emulated, ...issuers } } })
    const lines = report.checks.filter(({ id }) => id === 'issuers.keys')
    assert.equal(lines.filter(({ status }) => status !== 'skipped').length, 20)
    const left = lines.find(({ status }) => status === 'skipped')
    assert.equal(left?.text, '4 more issuers are not checked: only the first 20 of the policy are')
  })
})
