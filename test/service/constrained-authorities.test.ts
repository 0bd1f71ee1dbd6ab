import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { constrainedMessage } from '../../src/service/listeners.ts'
import { startWorld, until } from '../support/broker.ts'
import { extensions, forge } from '../support/forge.ts'

const world = await startWorld()
const rules = [
  { name: 'a', callers: [{ san: 'spiffe://prod.example/a' }], tenants: ['contoso'], scopes: ['https://x/.default'] },
]
const authority = (name: string, ...more: readonly Buffer[]) =>
  forge({ name, extensions: [extensions.authority(), ...more] })
const plain = authority('plain')
const constrained = authority('constrained', extensions.permittedUris('prod.example'))

test('a warning names authorities of which no forwarded certificate is accepted, at start and after a change', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const caFile = join(folder, 'ca.crt')
  await writeFile(caFile, `${plain.certPem}${constrained.certPem}`)
  const broker = await world.broker(t, {
    policy: { rules },
    environment: {
      TLS_CLIENT_CA_FILE: caFile,
      BROKER_TRUSTED_PROXIES: '127.0.0.1',
      BROKER_CLIENT_CERT_HEADER: 'client-cert',
    },
  })
  const warnings = () => broker.logLines().filter(({ msg }) => msg === constrainedMessage)
  assert.deepEqual(
    warnings().map(({ subjects }) => subjects),
    [['CN=constrained']],
  )
  await writeFile(caFile, constrained.certPem)
  await until('a second warning', () => warnings().length === 2)
  const reloaded = () => broker.logLines().filter(({ msg }) => msg === 'client CA certificates reloaded').length
  const before = reloaded()
  await writeFile(caFile, plain.certPem)
  await until('the new authorities', () => reloaded() > before)
  assert.equal(warnings().length, 2, 'none of authorities without constraints')
})
