import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { connect } from 'node:tls'
import { createAuthority, type Leaf } from '../../../emulator/certificates.ts'
import { InvalidConfigurationError } from '../../../src/errors.ts'
import { readTlsPair } from '../../../src/outbound/files/tls-files.ts'
import { graph, send, startWorld, until } from '../../support/broker.ts'

const world = await startWorld()
const ca = createAuthority('broker CA')

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}
async function write(folder: string, { certPem, keyPem }: Leaf): Promise<{ certFile: string; keyFile: string }> {
  await mkdir(folder, { recursive: true })
  const [certFile, keyFile] = [join(folder, 'tls.crt'), join(folder, 'tls.key')]
  await writeFile(certFile, certPem)
  await writeFile(keyFile, keyPem)
  return { certFile, keyFile }
}
const startBroker = (t: TestContext, folder: string) =>
  world.broker(t, {
    environment: { TLS_CERT_FILE: join(folder, 'tls.crt'), TLS_KEY_FILE: join(folder, 'tls.key'), HOST: '127.0.0.1' },
  })

/** The common name of the certificate that a new connection is shown. */
function shownBy(url: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const options = { host: '127.0.0.1', port: Number(new URL(url).port), servername: 'localhost', ca: ca.caPem }
  const socket = connect(options, () => {
    resolve(String(socket.getPeerCertificate().subject.CN))
    socket.destroy()
  })
  socket.on('error', reject)
  return promise
}

test('with TLS files it serves https, and no plain http', async t => {
  const folder = await temporaryFolder(t)
  await write(folder, ca.issue())
  const broker = await startBroker(t, folder)
  assert.match(broker.url, /^https:/)
  const authorization = `Bearer ${await world.emulator.mintCallerToken()}`
  const { status } = await send(`${broker.url}/tokens`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: JSON.stringify({ tenant: 'contoso', scope: graph }),
    ca: ca.caPem,
  })
  assert.equal(status, 200)
  await assert.rejects(send(broker.url.replace('https:', 'http:')))
})

test('TLS 1.1 and older are refused', async t => {
  const folder = await temporaryFolder(t)
  await write(folder, ca.issue())
  const { url } = await startBroker(t, folder)
  const port = Number(new URL(url).port)
  // Without the lower security level this side would refuse first.
  const old = { port, ca: ca.caPem, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
  const socket = connect(old)
  const connected = new Promise((resolve, reject) => socket.on('error', reject).on('secureConnect', resolve))
  await assert.rejects(connected, { code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' })
})

test('a certificate that is renewed in its place is shown to new connections, without a restart', async t => {
  const folder = await temporaryFolder(t)
  await write(folder, ca.issue({ commonName: 'first' }))
  const { url, logText } = await startBroker(t, folder)
  assert.equal(await shownBy(url), 'first')
  const second = ca.issue({ commonName: 'second' })
  await write(folder, second)
  await until('the renewal', async () => (await shownBy(url)) === 'second')
  assert.match(logText(), /TLS certificate reloaded/)
  assert.ok(!logText().includes(second.keyPem.split('\n')[1] ?? ''))
})

test('a certificate that is renewed by swapping a link, as Kubernetes does, is shown to new connections', async t => {
  const folder = await temporaryFolder(t)
  await write(join(folder, '..first'), ca.issue({ commonName: 'first' }))
  await write(join(folder, '..second'), ca.issue({ commonName: 'second' }))
  await write(join(folder, '..third'), ca.issue({ commonName: 'third' }))
  await symlink('..first', join(folder, '..data'))
  for (const name of ['tls.crt', 'tls.key']) await symlink(join('..data', name), join(folder, name))
  const { url } = await startBroker(t, folder)
  assert.equal(await shownBy(url), 'first')
  // A watch on the file itself would notice the first swap and none after it.
  for (const next of ['second', 'third']) {
    await symlink(`..${next}`, join(folder, '..data_tmp'))
    await rename(join(folder, '..data_tmp'), join(folder, '..data'))
    await until(`the renewal to ${next}`, async () => (await shownBy(url)) === next)
  }
})

test('a pair that does not fit together is reported, and the certificate that was loaded stays', async t => {
  const folder = await temporaryFolder(t)
  await write(folder, ca.issue({ commonName: 'first' }))
  const { url, logLines } = await startBroker(t, folder)
  const other = ca.issue({ commonName: 'other' })
  await writeFile(join(folder, 'tls.crt'), other.certPem)
  await until('the report', () => logLines().some(line => line['level'] === 'error'))
  assert.equal(await shownBy(url), 'first')
  await writeFile(join(folder, 'tls.key'), other.keyPem)
  await until('the renewal', async () => (await shownBy(url)) === 'other')
})

/** Its first certificate alone is good, and fits the key. */
function brokenChain(): Leaf {
  const leaf = ca.issue()
  return { ...leaf, certPem: `${leaf.certPem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n` }
}

const mismatched: readonly (readonly [what: string, pair: Leaf, where: string])[] = [
  ['a key of another certificate', { ...ca.issue(), keyPem: ca.issue().keyPem }, 'TLS_CERT_FILE, TLS_KEY_FILE'],
  ['a certificate that is none', { ...ca.issue(), certPem: 'nonsense' }, 'TLS_CERT_FILE, TLS_KEY_FILE'],
  ['an empty certificate', { ...ca.issue(), certPem: '' }, 'TLS_CERT_FILE, TLS_KEY_FILE'],
  ['an empty key', { ...ca.issue(), keyPem: '' }, 'TLS_CERT_FILE, TLS_KEY_FILE'],
  ['a chain that breaks off', brokenChain(), 'TLS_CERT_FILE, TLS_KEY_FILE'],
  ['a certificate over 256 KiB', { ...ca.issue(), certPem: 'x'.repeat(257 * 1024) }, 'TLS_CERT_FILE'],
]
for (const [what, pair, where] of mismatched)
  test(`at start, ${what} is an error that names the variable`, async t => {
    const paths = await write(await temporaryFolder(t), pair)
    await assert.rejects(readTlsPair(paths), (error: unknown) => {
      assert.ok(error instanceof InvalidConfigurationError)
      assert.deepEqual(
        error.errors.map(each => each.where),
        [where],
      )
      return true
    })
  })

test('at start, both missing files are reported', async () => {
  await assert.rejects(readTlsPair({ certFile: '/nowhere/tls.crt', keyFile: '/nowhere/tls.key' }), (error: unknown) => {
    assert.ok(error instanceof InvalidConfigurationError)
    assert.deepEqual(
      error.errors.map(each => each.where),
      ['TLS_CERT_FILE', 'TLS_KEY_FILE'],
    )
    return true
  })
})
