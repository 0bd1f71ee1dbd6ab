import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parsePolicy } from '../../src/broker/policy/parse.ts'
import { helmVersion, installHelm, parseManifests, render, runHelm, withHelm } from './helm.ts'
import { read, sourcesBelow } from '../support/sources.ts'

const page = read('docs/kubernetes.md')
const blocks = [...page.matchAll(/```yaml\n([\s\S]+?)```/g)].map(([, block]) => block ?? '')
const policy = blocks.find(block => block.startsWith('applications:')) ?? ''
const values = blocks.filter(block => block !== policy)

async function fileWith(t: TestContext, text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'text.yaml')
  await writeFile(path, text)
  return path
}

test('the policy of docs/kubernetes.md is one that the broker accepts and acts upon whole', () => {
  assert.deepEqual(parsePolicy(policy).warnings, [])
})

test('its values install it', withHelm, async t => {
  const whole = values.find(block => block.startsWith('image:')) ?? ''
  const given = ['--values', await fileWith(t, whole), '--set-file', `policy=${await fileWith(t, policy)}`]
  const text = await runHelm('template', 'token-broker', 'helm', '--namespace', 'token-broker', ...given)
  const config = parseManifests(text).find(({ kind }) => kind === 'ConfigMap') as { data?: unknown } | undefined
  assert.deepEqual(config?.data, { 'policy.yaml': policy })
})

test('its other examples of values are accepted', withHelm, async t => {
  assert.equal(values.length, 3)
  for (const block of values) assert.ok(await render('minimal', '--values', await fileWith(t, block)))
})

test('it names the very values, files and messages that there are', () => {
  const keys = [
    ...page.matchAll(/`((?:identity|tls(?!\.(?:crt|key))|settings|networkPolicy|serviceMonitor|autoscaling)\.[\w.]+)/g),
  ]
  assert.ok(keys.length > 5)
  const valuesText = read('helm/values.yaml')
  for (const [, key = ''] of keys) {
    const last = key.split('.').at(-1) ?? ''
    assert.match(valuesText, new RegExp(`^ *(# )?${last}:`, 'm'), key)
  }
  for (const [, path = ''] of page.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
    const target = join(dirname('docs/kubernetes.md'), path)
    assert.ok(existsSync(join(import.meta.dirname, '../..', target)), path)
  }
  const sources = sourcesBelow('src').map(read).join('\n').replaceAll("\\'", "'")
  for (const message of [
    'the TLS certificate was renewed from its files',
    'the new TLS files cannot be used; the certificate that was loaded before stays',
    'are no certificate and its key',
    'AKS workload identity sets it',
    'not ready yet',
    "an issuer's keys",
    'federation_misconfigured',
    'consent_required',
    'invalid_token',
  ]) {
    assert.ok(page.includes(message), `the page no longer says: ${message}`)
    assert.ok(sources.includes(message), `the broker no longer says: ${message}`)
  }
})

test('whoever lacks Helm is told how to install the one that CI uses', () => {
  assert.ok(read('.github/workflows/ci.yml').includes(`helm.sh/helm/v4/cmd/helm@${helmVersion}`))
  assert.match(helmVersion, /^v4\.\d+\.\d+$/)
  assert.ok(installHelm.endsWith(`helm.sh/helm/v4/cmd/helm@${helmVersion}`))
})
