import assert from 'node:assert/strict'
import { parseArgs } from 'node:util'
import { test } from 'node:test'
import type { IPod } from 'kubernetes-models/v1/Pod'
import { parse } from 'yaml'
import { parsePolicy } from '../../src/broker/policy/file/parse.ts'
import { readTokenSettings } from '../../src/caller/token-settings.ts'
import { tokenCommand } from '../../src/commands/token.ts'
import { blocksOf } from '../docs/tables.ts'
import { read } from '../support/sources.ts'
import { type Manifest, renderNotes, withHelm } from './helm.ts'
import { typeCheck } from './type-check.ts'

/** The pod of docs/kubernetes.md that requests the first token. */
const page = read('docs/kubernetes.md')
const text = /^kubectl apply -f - <<'END'\n([\s\S]*?)^END$/m.exec(page)?.[1] ?? ''
const pod = parse(text) as IPod & Manifest
const { containers, serviceAccountName, volumes } = pod.spec ?? { containers: [] }
const [container] = containers
const [, ...args] = container?.args ?? []
const options = Object.entries(tokenCommand.options).map(([name, { type }]) => [name, { type }] as const)
const settings = readTokenSettings(parseArgs({ args, options: Object.fromEntries(options) }).values, {})

test('the pod has no field that Kubernetes does not know', async () => {
  assert.deepEqual(Object.fromEntries(await typeCheck(new Map([['pod', [pod]]]))), { pod: [] })
})

test('its command accepts its arguments, and prints no token into its log', () => {
  assert.equal(container?.args?.[0], 'token')
  assert.equal(settings.output, 'summary')
})

test('the policy of the page grants what it requests, to its service account and audience', () => {
  const policy = parsePolicy(blocksOf(page, 'yaml').find(block => block.startsWith('applications:')) ?? '')
  const [rule] = policy.rules
  const [issuer] = policy.issuers
  const { tenant, scope } = settings.requested
  const id = policy.tenants.get(tenant)
  assert.ok(id !== undefined && rule?.tenants !== '*' && rule?.tenants.has(id) && rule.scopes.has(scope))
  const sources = volumes?.flatMap(({ projected }) => projected?.sources ?? []) ?? []
  assert.deepEqual(
    sources.map(({ serviceAccountToken }) => serviceAccountToken?.audience),
    issuer?.audiences,
  )
  const subject = `system:serviceaccount:${pod.metadata?.namespace}:${serviceAccountName}`
  assert.ok(page.includes(`subject: "${subject}"`), subject)
})

test('the files that it reads are in its volumes', () => {
  const mounts = new Map(container?.volumeMounts?.map(({ name, mountPath }) => [name, mountPath]))
  assert.equal(settings.credential.tokenFile, `${mounts.get('token')}/token`)
  assert.equal(settings.credential.caFile, `${mounts.get('ca')}/ca.crt`)
  assert.ok(page.includes('create configmap token-broker-ca --from-file=ca.crt'))
})

test('its image is the one that the values name, with the tag of the chart', () => {
  const repository = /^ {2}repository: (\S+)$/m.exec(page)?.[1] ?? ''
  const version = /^appVersion: '(.+)'$/m.exec(read('helm/Chart.yaml'))?.[1] ?? ''
  assert.equal(container?.image, `${repository}:${version}`)
})

test('the notes of the chart have the same command, which accepts it', withHelm, async () => {
  const shown = await renderNotes('aks')
  const [, line = ''] = /^ +(token --broker [\s\S]+?--output summary)$/m.exec(shown.replaceAll(/\\\n +/g, '')) ?? []
  const words = line.replaceAll(/<[^>]+>/g, 'placeholder').split(/ +/)
  const given = parseArgs({ args: words.slice(1), options: Object.fromEntries(options) }).values
  assert.equal(readTokenSettings(given, {}).output, 'summary')
})
