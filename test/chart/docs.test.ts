import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { errorTable, messageOf } from '../../src/errors.ts'
import { readTlsPair } from '../../src/outbound/files/tls-files.ts'
import { tlsMessages } from '../../src/service/listeners.ts'
import { notReadyMessage } from '../../src/telemetry/not-ready.ts'
import { needNames } from '../../src/service/wire.ts'
import { configurationErrorsOf } from '../support/config-errors.ts'
import { helmVersion, installHelm, parseManifests, render, runHelm, withHelm } from './helm.ts'
import { read } from '../support/sources.ts'

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

test('the policy of docs/kubernetes.md is one that the broker accepts without a warning', () => {
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
  assert.equal(values.length, 4)
  for (const block of values) assert.ok(await render('minimal', '--values', await fileWith(t, block)))
})

/** The error for TLS files that are not a certificate and its key. */
const tlsFault = () => {
  const file = join(import.meta.dirname, 'helm.ts')
  return readTlsPair({ certFile: file, keyFile: file }).then(() => '', messageOf)
}

test('the values, files and messages that it names exist', async () => {
  const keys = [
    ...page.matchAll(
      /`((?:identity|tls(?!\.(?:crt|key))|settings|networkPolicy|serviceMonitor|prometheusRule|grafanaDashboard|autoscaling)\.[\w.]+)/g,
    ),
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
  for (const message of [...Object.values(tlsMessages), notReadyMessage, needNames.issuers])
    assert.ok(page.includes(message), `the page does not say: ${message}`)
  for (const code of ['federation_misconfigured', 'consent_required', 'invalid_token'] as const)
    assert.ok(page.includes(code) && code in errorTable, code)
  for (const [words, fault] of [
    ['AKS workload identity sets it', configurationErrorsOf({ BROKER_IDENTITY_SOURCE: 'workload-identity' }).join()],
    ['must be a certificate and its private key', await tlsFault()],
  ] as const)
    assert.ok(page.includes(words) && fault.includes(words), words)
})

test('a skipped test says how to install the Helm that CI uses', () => {
  assert.ok(read('.github/workflows/ci.yml').includes(`helm.sh/helm/v4/cmd/helm@${helmVersion}`))
  assert.match(helmVersion, /^v4\.\d+\.\d+$/)
  assert.ok(installHelm.endsWith(`helm.sh/helm/v4/cmd/helm@${helmVersion}`))
})

test('federated credentials of one app registration have different names, wherever they come from', () => {
  const text = [read('docs/azure.md'), page, read('test/chart/rendered/minimal.notes.txt')].join('\n')
  const names = [...text.matchAll(/(?:"name": "|\bname: "|--arg name ")(token-broker[^,]*)"/g)].map(([, name]) => name)
  const ofCluster = 'token-broker-$CLUSTER'
  assert.deepEqual(names, [
    'token-broker-managed-identity',
    // The same credential in both guides: the cluster's issuer and the broker's service account.
    ofCluster,
    `token-broker-'"$CLUSTER"'`,
    `token-broker-token-broker-'"$CLUSTER"'`,
  ])
})

test('the notes make a valid name of any context of kubectl', () => {
  const notes = read('test/chart/rendered/minimal.notes.txt')
  const command = /^ +CLUSTER=\$\(kubectl config current-context \|(.+)\)$/m.exec(notes)?.[1] ?? ''
  const rows: readonly (readonly [context: string, name: string])[] = [
    ['aks-prod', 'aks-prod'],
    ['arn:aws:eks:eu-west-1:1234:cluster/prod', 'arn-aws-eks-eu-west-1-1234-cluster-prod'],
    ['admin@kubernetes', 'admin-kubernetes'],
    ['x'.repeat(300), 'x'.repeat(40)],
  ]
  for (const [context, name] of rows) {
    const { stdout } = spawnSync('sh', ['-c', `printf '%s\\n' "$1" | ${command}`, 'sh', context], { encoding: 'utf8' })
    assert.equal(stdout, `${name}\n`)
    assert.match(`token-broker-token-broker-${name}`, /^[a-z0-9][\w-]{2,119}$/i)
  }
})
